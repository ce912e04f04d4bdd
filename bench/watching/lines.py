"""What a bench line of this room is."""

from typing import Any

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
