"""Times and sizes as people write them: 90s, 10min, 2h; 512MiB, 2GiB."""

import re
from typing import Final

from darklantern.errors import BoxError

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def seconds(text: str) -> float:
    """A time in seconds. Raises BoxError."""
    return _amount(text, _SECONDS, "a time", "90s, 10min or 2h")


def size(text: str) -> int:
    """A size in bytes. Raises BoxError."""
    return int(_amount(text, {unit: float(count) for unit, count in _BYTES.items()}, "a size", "512MiB or 2GiB"))


def _amount(text: str, units: dict[str, float], what: str, hint: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?) ?([a-zA-Z]+)", text.strip())
    if found is None or found[2] not in units or float(found[1]) == 0:
        raise BoxError(f"expected {what}, got {text!r}", hint=hint)
    return float(found[1]) * units[found[2]]
