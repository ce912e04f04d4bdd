"""Keywords of `watch` that it doesn't take, said where they belong."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import signature
from typing import ParamSpec, TypeVar

from darklantern.errors import WatchError
from darklantern.models.paths import nearest
from darklantern.watch.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which raises WatchError for a keyword that is none of its own, and says whose it is."""
    known = signature(function).parameters
    settings = {field.name for field in fields(Settings)}

    @wraps(function)
    def called(*args: P.args, **given: P.kwargs) -> R:
        for name, value in given.items():
            if name in settings:
                raise WatchError(
                    f"watch takes no {name}=, which is one of its settings",
                    hint=f"settings=dl.Settings({name}={value!r}), with `import darklantern as dl`",
                )
            if name not in known:
                close = nearest(name, [*known, *settings])
                raise WatchError(
                    f"watch takes no {name}=", hint=f"did you mean {' or '.join(close)}?" if close else "help(dl.watch)"
                )
        return function(*args, **given)

    return called
