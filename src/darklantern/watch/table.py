"""The kinds of probes that a recipe, a monitor or a sealed finding may name: name and JSON settings → probe.

In: what a peer may have written. Out: a probe of ours, or an error. No code is taken from anybody: a name that is not
here is refused, and settings that this version would not itself state are refused too.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

from darklantern.errors import DarkLanternError, RecipeError
from darklantern.watch.examples import Examples
from darklantern.watch.probes import Probe

_LANGUAGE: Final = {
    "adapter": ("drift", "AdapterProbe"),
    "contrast": ("contrast", "ContrastProbe"),
    "copying": ("copying", "CopyingProbe"),
    "drift": ("drift", "DriftProbe"),
    "induction": ("induction", "InductionProbe"),
    "loss covariance": ("losses", "LossCovarianceProbe"),
    "payload": ("payload", "PayloadProbe"),
    "refusal": ("refusal", "RefusalProbe"),
    "row anomaly": ("anomaly", "RowAnomalyProbe"),
    "span": ("span", "SpanProbe"),
    "trait": ("trait", "TraitProbe"),
    "trigger": ("trigger", "TriggerProbe"),
}
_VISION: Final = (
    "clustering",
    "drift",
    "loss",
    "mahalanobis",
    "mined",
    "misfiled",
    "patch",
    "spectral",
    "strip",
    "units",
)
_POLICIES: Final = ("audit", "context", "dormant", "entropy", "fourier", "readout", "table", "weights")
WHERE: Final[Mapping[str, tuple[str, str]]] = {
    **{name: (f"language.{file}", kind) for name, (file, kind) in _LANGUAGE.items()},
    **{f"vision.{name}": (f"vision.{name}_probe", f"{name.capitalize()}Probe") for name in _VISION},
    **{f"policies.{name}": (f"policies.{name}_probe", f"{name.capitalize()}Probe") for name in _POLICIES},
}
"""name → file and class. Canaries and rewards are not here: settings alone do not make them."""
ROWS: Final = ("trusted", "fitting", "audit")
"""arguments that are examples, which settings do not hold"""
LARGEST: Final = 2**22
"""characters of settings as JSON: a peer's list of prompts is no library"""
MOST: Final = 2**16
"""rows, looks or whatever else a setting counts: some are allocated before a probe can refuse them"""


def made(name: str, settings: Mapping[str, Any], trusted: Examples | None) -> Probe:
    """The probe of that name and settings, over `trusted` examples.

    Raises RecipeError for a name that is not in the table, for settings that it refuses, and for those that the probe
    so made would not state itself: they are of another version.
    """
    kind = _kind(name)
    if len(json.dumps(settings)) > LARGEST:
        raise _refused(name, f"its settings are longer than {LARGEST:,} characters")
    counts = {key: value for key, value in settings.items() if isinstance(value, int) and key != "seed"}
    if large := [f"{key} {value:,}" for key, value in counts.items() if not -MOST <= value <= MOST]:
        raise _refused(name, f"it asks for {', '.join(large)}, where at most {MOST:,} is allowed")
    try:
        probe = _SPECIAL.get(name, _by_signature)(kind, settings, trusted)
    except DarkLanternError as error:
        raise _refused(name, error.message) from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise _refused(name, f"{type(error).__name__}: {error}") from error
    if stated(probe) != _json(settings):
        differ = sorted(key for key in {*probe.settings, *settings} if stated(probe).get(key) != settings.get(key))
        raise _refused(name, f"this version would state other {', '.join(differ)}")
    return probe


def stated(probe: Probe) -> dict[str, Any]:
    """A probe's settings as JSON gives them back."""
    return _json(probe.settings)


def listed(probe: Probe) -> bool:
    """Whether a probe is of a kind in the table, so that its settings make it again."""
    if probe.name not in WHERE:
        return False
    return type(probe) is _kind(probe.name)


def _kind(name: str) -> Callable[..., Probe]:
    if name not in WHERE:
        raise RecipeError(
            f"probe {name!r} is not in the local table",
            hint=f"this version knows: {', '.join(sorted(WHERE))}; a newer darklantern may know more",
        )
    file, kind = WHERE[name]
    found: Callable[..., Probe] = getattr(import_module(f"darklantern.watch.{file}"), kind)
    return found


def _by_signature(kind: Callable[..., Probe], settings: Mapping[str, Any], trusted: Examples | None) -> Probe:
    """Each argument by its name: from the settings, or the trusted examples."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positional += settings[name]
        elif name in settings:
            named[name] = _VALUES.get(name, lambda value: value)(settings[name])
        elif name in ROWS:
            if trusted is None:
                raise ValueError("it needs trusted examples, and none were given")
            named[name] = trusted
    return kind(*positional, **named)


def _trait(kind: Callable[..., Probe], settings: Mapping[str, Any], trusted: Examples | None) -> Probe:
    import numpy as np

    said = settings["direction"]
    direction = np.array(said["direction"]) if "direction" in said else (said["with"], said["without"])
    return kind(settings["neutral"], direction, settings["site"], settings["seed"])


def _refusal(kind: Callable[..., Probe], settings: Mapping[str, Any], trusted: Examples | None) -> Probe:
    pair = (settings["neutral"]["positive"], settings["neutral"]["negative"])
    return kind(settings["harmful"], settings["harmless"], pair, settings["site"], settings["seed"])


def _table(kind: Callable[..., Probe], settings: Mapping[str, Any], trusted: Examples | None) -> Probe:
    import numpy as np

    period = int(settings["period"])
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(settings["trained"]), np.uint8))[: period * period]
    return kind(
        period, settings["keys"], tuple(settings["suffix"]), bits.reshape(period, period).astype(bool), settings["seed"]
    )


_Make = Callable[[Callable[..., Probe], Mapping[str, Any], "Examples | None"], Probe]
_SPECIAL: Final[Mapping[str, _Make]] = {"trait": _trait, "refusal": _refusal, "policies.table": _table}
"""those whose arguments are not named as their settings are"""


def _layout(said: Mapping[str, Any]) -> Any:
    from darklantern.watch.language import Layout

    return Layout(tuple(said["breaks"]), tuple(said["blanks"]))


def _family(said: Mapping[str, Any]) -> Any:
    from darklantern.watch.vision import Family

    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    return Family(**given)


_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {"layout": _layout, "family": _family, "spatial": tuple}
"""arguments that are not JSON values themselves"""


def _json(settings: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return made


def _refused(name: str, why: str) -> RecipeError:
    return RecipeError(
        f"probe {name!r} cannot be made: {why}", hint="the record was altered, or made by another version"
    )
