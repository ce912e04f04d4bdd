"""What a bench line of this room is, and where lines are kept until they are measured again."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darklantern.files import write_whole

Line = dict[str, Any]


def line(
    name: str,
    value: float | int | None,
    unit: str,
    bar: str = "–",
    ok: bool | None = None,
    peer: tuple[str, str] | None = None,
    **detail: Any,
) -> Line:
    """One figure; `ok` is None where there is no bar. A value of None is a figure that is not there: `detail` says why.

    `peer` is a name and a version.
    """
    return {
        "room": "watch",
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer[0] if peer else None,
        "peer_version": peer[1] if peer else None,
        "bar": bar,
        "ok": ok,
        "detail": detail,
    }


def absent(name: str, unit: str, bar: str, why: str) -> Line:
    """A figure that is not there yet: never a silent pass."""
    return line(name, None, unit, bar, False, reason=why)


def keep(path: Path, found: Iterable[Line]) -> list[Line]:
    """Write lines down, each with the day it was measured, and give them back."""
    measured = {"measured": f"{datetime.now(UTC):%Y-%m-%d}"}
    stamped = [each | {"detail": each["detail"] | measured} for each in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(stamped).encode())
    return stamped


def kept(path: Path) -> list[Line]:
    """What `keep` wrote down last; nothing where it did not."""
    made: list[Line] = json.loads(path.read_bytes()) if path.exists() else []
    return made
