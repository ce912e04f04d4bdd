"""A user's own function from value to value, so that what goes wrong in it names the site."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.fitting import keeping_kind
from darklantern.models.sites import Site


def named(asked: Callable[..., Any]) -> str:
    """What a function is called in a plan."""
    return getattr(asked, "__name__", type(asked).__name__)


def told(asked: Callable[..., Any], site: Site) -> Callable[[Any, tuple[str, ...]], Any]:
    """`asked` as what an Edit calls. Raises SiteError for a function that takes more than a value."""
    _check_takes_a_value(asked, site)

    def applied(value: Any, _: tuple[str, ...]) -> Any:
        try:
            new = asked(value)
        except Exception as error:
            error.add_note(f"in the edit {named(asked)} at {site}")
            raise
        return keeping_kind(new, value, f"the edit {named(asked)} at {site}") if isinstance(new, Tensor) else new

    return applied


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
