"""A user's own function from value to value, so that what goes wrong in it names the site."""

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from darklantern.errors import SiteError
from darklantern.models.fitting import keeping_kind
from darklantern.models.sameness import sameness
from darklantern.models.shim import framework_of, is_array
from darklantern.models.sites import Site


def named(asked: Callable[..., Any]) -> str:
    """What a function is called in a plan."""
    return getattr(asked, "__name__", type(asked).__name__)


@dataclass(frozen=True)
class Told:
    """What an Edit is made of: its function, the arrays for it, and a key of all else that it reads, taken anew."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]
    reads: Callable[[], Hashable]


def told(asked: Callable[..., Any], site: Site) -> Told:
    """`asked` as what an Edit calls; arrays that `functools.partial` holds for it become operands.

    Raises SiteError for a function that takes more than a value.
    """
    _check_takes_a_value(asked, site)
    called, operands, rest = _parted(asked) if isinstance(asked, partial) else (asked, (), asked)
    name = named(asked)  # not `asked` itself, with its arrays

    def applied(value: Any, _: tuple[str, ...], *arrays: Any) -> Any:
        try:
            new = called(value, *arrays)
        except Exception as error:
            error.add_note(f"in the edit {name} at {site}")
            raise
        alike = is_array(new) and framework_of(new) == framework_of(value)
        return keeping_kind(new, value, f"the edit {name} at {site}") if alike else new

    return Told(applied, operands, lambda: sameness(rest))


@dataclass(frozen=True)
class _Place:
    """Where an array stands among the operands."""

    number: int


def _parted(asked: "partial[Any]") -> tuple[Callable[..., Any], tuple[Any, ...], Any]:
    """A partial call as one that is given its arrays, those arrays, and the rest."""
    arrays: list[Any] = []

    def place(given: Any) -> Any:
        if not is_array(given) or isinstance(given, np.generic):
            return given
        arrays.append(given)
        return _Place(len(arrays) - 1)

    function, args = asked.func, tuple(map(place, asked.args))
    kwargs = {name: place(given) for name, given in asked.keywords.items()}

    def called(value: Any, *operands: Any) -> Any:
        def there(given: Any) -> Any:
            return operands[given.number] if isinstance(given, _Place) else given

        return partial(function, *map(there, args), **{name: there(given) for name, given in kwargs.items()})(value)

    return called, tuple(arrays), (function, args, kwargs)


def _check_takes_a_value(asked: Callable[..., Any], site: Site) -> None:
    try:
        signature = inspect.signature(asked)
    except (TypeError, ValueError):  # some builtins do not tell
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise SiteError(
            f"the edit {named(asked)} at {site} is given one argument, the value: {error}",
            hint="lambda value: ...; what else it needs it can hold itself, as functools.partial does",
        ) from error
