"""Keywords of `watch`: those that it doesn't take are said where they belong, the others are checked before it begins.

What is to be done at an alarm, a look or a finding, the signals and the examples are more than one kind of thing: they
are checked where they are read, before anything is touched too.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from darklantern.errors import WatchError
from darklantern.models.paths import nearest
from darklantern.records.references import References
from darklantern.watch.arguments import FLAG, FUNCTION, NOTHING, SHARE, TEXT, Kind, is_text, number, taken, whole
from darklantern.watch.runs.files import folder_of
from darklantern.watch.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_PATH: Final = Kind(
    "a path", lambda value: isinstance(value, str | Path) and is_text(str(value)) and "\0" not in str(value)
)
_RUN: Final = Kind("a run's name or its folder", lambda value: _PATH.holds(value) and bool(str(value)))
_REFERENCES: Final = Kind("References", lambda value: isinstance(value, References))
_SEED: Final = whole(0, (1 << 64) - 1)
_SECONDS: Final = number("seconds, more than 0", lambda value: value > 0)
_NAMED: Final = "a text that names it, or its hash; leave it out where nothing is claimed"
_KINDS: Final[Mapping[str, tuple[Kind, str]]] = {
    "references": (_REFERENCES | _PATH | NOTHING, "`darklantern watch calibrate` writes a file of them"),
    "recipe": (TEXT, _NAMED),
    "data": (TEXT, _NAMED),
    "alpha": (SHARE, "alpha=0.05 is a false alarm in one of 20 clean runs"),
    "overhead": (SHARE, "overhead=0.01 is one per cent"),
    "readout": (FUNCTION | NOTHING, "readout=lambda residual: model.unembed(model.norm(residual)), say"),
    "weights": (FUNCTION | NOTHING, "weights=lambda state: state.params, say, of a JAX loop"),
    "call": (FUNCTION | NOTHING, "call=lambda inputs: ..., what the model is called with"),
    "batch": (FUNCTION | NOTHING, "batch=lambda batch: (inputs, targets)"),
    "run": (_RUN | NOTHING, 'run="a name", or run="runs/folder"'),
    "hang_after": (_SECONDS | NOTHING, "600 is ten minutes"),
    "step": (whole(0), "the number of updates done before, such as that of the checkpoint which was loaded"),
    "goes_on": (FLAG, "goes_on=True takes up what an earlier process left in the folder of `run`"),
    "seed": (_SEED, "seed=0 does; another draws trusted examples in another order"),
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which raises WatchError for a keyword that is none of its own, and says whose it is; and for a value
    that none of its own takes."""
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
            given[name] = _plain(name, value)
        return function(*args, **given)

    return called


def _plain(name: str, value: Any) -> Any:
    if name == "settings":
        return _settings(value)
    if name not in _KINDS:
        return value
    kind, hint = _KINDS[name]
    found = taken(name, value, kind, hint)
    if name == "run" and found is not None:
        folder_of(found)  # which a word that is no name fails
    return found


def _settings(given: Any) -> Settings:
    """Settings as they are, the usual ones for None. Raises WatchError for what is none."""
    if given is None or isinstance(given, Settings):
        return given or Settings()
    told = ", ".join(f"{name}={value!r}" for name, value in given.items()) if isinstance(given, Mapping) else "every=10"
    raise WatchError(f"expected settings as Settings, got {type(given).__name__}", hint=f"settings=dl.Settings({told})")
