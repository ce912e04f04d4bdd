"""What an argument may be, said in the same words wherever one is given.

In: a value that a user gave. Out: the same, NumPy's numbers as Python's, which records and hashes know; or a WatchError
that says what was expected, and what came.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from reprlib import repr as briefly
from typing import Any, Final

from darklantern.errors import WatchError

MOST: Final = 1 << 53
"""that a number may be unless it says so: beyond, other programs' JSON rounds"""


@dataclass(frozen=True)
class Kind:
    """What may be given for an argument."""

    expected: str
    holds: Callable[[Any], bool]
    plain: Callable[[Any], Any] = lambda value: value

    def __or__(self, other: "Kind") -> "Kind":
        """Either."""
        return Kind(
            f"{self.expected} or {other.expected}",
            lambda value: self.holds(value) or other.holds(value),
            lambda value: self.plain(value) if self.holds(value) else other.plain(value),
        )


def taken(name: str, value: Any, kind: Kind, hint: str) -> Any:
    """`value` as what `name` takes. Raises WatchError for anything else."""
    if not kind.holds(value):
        raise WatchError(f"{name}: expected {kind.expected}, got {briefly(value)}", hint=hint)
    return kind.plain(value)


def whole(least: int, most: int = MOST) -> Kind:
    """A whole number from `least` to `most`; true and false are none."""
    return Kind(
        f"a whole number ≥ {least}" if most == MOST else f"a whole number from {least} to {most}",
        lambda value: _is_number(value, Integral) and least <= value <= most,
        int,
    )


def number(says: str, holds: Callable[[Any], bool]) -> Kind:
    """A number for which `holds`, and which a float holds; `says` so in words."""
    return Kind(says, lambda value: _is_number(value, Real) and -MOST <= value <= MOST and holds(value), float)


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether it is text that a file can hold: half of a surrogate pair is none."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


NOTHING: Final = Kind("None", lambda value: value is None)
FLAG: Final = Kind("True or False", lambda value: isinstance(value, bool))
TEXT: Final = Kind("text", is_text)
FUNCTION: Final = Kind("a function", callable)
SHARE: Final = number("a number between 0 and 1", lambda value: 0 < value < 1)
