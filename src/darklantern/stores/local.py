"""What a device keeps for itself: small values that no log holds, in parts that do not know of each other.

In: a connection inside a transaction, rows. Out: rows. What they mean is not known here.
"""

from collections.abc import Iterable
from typing import Any

Row = tuple[str, str, bytes | None]
"""(part, name, value); None removes it"""


def read(connection: Any) -> dict[str, dict[str, bytes]]:
    """Part → name → value."""
    found: dict[str, dict[str, bytes]] = {}
    for part, name, value in connection.execute("SELECT part, name, value FROM local"):
        found.setdefault(part, {})[name] = value
    return found


def write(connection: Any, rows: Iterable[Row]) -> None:
    """Put values in, each in place of an older one, or take them out."""
    for part, name, value in rows:
        if value is None:
            connection.execute("DELETE FROM local WHERE part = ? AND name = ?", (part, name))
        else:
            connection.execute("INSERT OR REPLACE INTO local VALUES (?, ?, ?)", (part, name, value))
