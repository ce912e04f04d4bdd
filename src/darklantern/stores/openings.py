"""The rows of the open-log: what was opened when, in order.

In: an entry's bytes with what it is looked up by. Out: entries in order. What they say, and how each holds on to the
one before, is the library's.
"""

from collections.abc import Iterator
from typing import Any


def latest(connection: Any, what: str, act: str) -> int | None:
    """When this was last done with it, in seconds, or None when it never was."""
    return connection.execute("SELECT max(time) FROM openings WHERE what = ? AND act = ?", (what, act)).fetchone()[0]


def append(connection: Any, what: str, act: str, time: int, entry: bytes) -> None:
    """Put one entry at the end."""
    connection.execute("INSERT INTO openings (act, what, time, entry) VALUES (?, ?, ?, ?)", (act, what, time, entry))


def entries(connection: Any) -> Iterator[bytes]:
    """All entries in order."""
    return (entry for (entry,) in connection.execute("SELECT entry FROM openings ORDER BY number"))
