"""A signal of one's own: a function from what a look saw to a number."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.code_hash import code_hash
from darklantern.watch.examples import Array, Examples
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen

ROWS = 16
"""trusted examples that a function is shown unless it asks for rows of its own"""
UNKNOWN = "unknown"
"""what settings call the things that they cannot speak for, so that no calibration holds for them"""
Function = Callable[[Seen], Any]


class OwnSignal(Probe):
    """A function as a probe of one signal. `darklantern.signal` makes it."""

    name: ClassVar[str] = "own"

    def __init__(
        self, function: Function, signal: Signal, rows: Array | None, sites: Sequence[str], output: bool
    ) -> None:
        self.function, self.sites, self.output = function, tuple(sites), output
        self.signals = (signal,)
        self._rows = None if rows is None else np.asarray(rows)
        self.__doc__ = function.__doc__

    def __call__(self, seen: Seen) -> Any:
        """The function itself, as it was."""
        return self.function(seen)

    @property
    def settings(self) -> Mapping[str, Any]:
        rows = None if self._rows is None else hashlib.sha256(np.ascontiguousarray(self._rows).tobytes()).hexdigest()
        found = code_hash(self.function)
        told = {"function": found.sha256, "rows": rows, "sites": list(self.sites), "output": self.output}
        return told | ({UNKNOWN: list(found.unknown)} if found.unknown else {})

    def inputs(self, now: Now) -> Asked:
        return Asked(_shown(now.trusted.examples) if self._rows is None else self._rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        said = self.function(seen)
        try:
            value, placebo = said if isinstance(said, tuple) else (said, 0.0)
            return (Reading(float(value), float(placebo)),)
        except (TypeError, ValueError) as error:
            raise WatchError(
                f"signal {self.signals[0].name!r} gave {said!r}, expected a number, or (value, placebo)",
                hint="return float(...), or two of them",
            ) from error


def signal(
    function: Function | None = None,
    *,
    rows: Any = None,
    sites: Sequence[str] = (),
    output: bool | None = None,
    name: str = "",
    unit: str = "",
    tier: Literal["I0", "I1", "I2"] = "I0",
    role: Literal["signal", "behaviour"] = "signal",
    compares: Literal["difference", "ratio"] = "difference",
    grain: float = 0.0,
    says: Literal["circuit", "novelty"] = "novelty",
) -> Any:
    """A signal of one's own, from a function of what a look saw.

        @dl.signal(sites=["layers.1:out"], unit="norm")
        def loudness(seen):
            return np.linalg.norm(seen["layers.1:out"], axis=-1).mean()

        w = dl.watch(model, trusted=rows, signals=[loudness], ...)

    `rows` are the inputs to run, as the model takes them; without them the first trusted examples, of token rows all
    but the last token. `sites` are recorded; the model's output is there if there are none, or with `output=True`.
    The function returns a number, higher being more dangerous, or (value, placebo): the same measurement on
    material that no danger concerns, against which it is held. Its name and the first line of its docstring are
    shown, unless `name` says otherwise. It claims novelty unless you say "circuit": new but harmless data must then
    leave it quiet. A calibration holds for the function as its code and the values that it uses are (see `code_hash`);
    for one that uses what no hash can speak for, such as a model, no rate is claimed.

    Raises WatchError for what is no function, or has no name.
    """
    if function is None:
        return lambda found: signal(
            found,
            rows=rows,
            sites=sites,
            output=output,
            name=name,
            unit=unit,
            tier=tier,
            role=role,
            compares=compares,
            grain=grain,
            says=says,
        )
    called = name or getattr(function, "__name__", "").replace("_", " ")
    if not callable(function) or called in ("", "<lambda>"):
        raise WatchError(
            f"expected a function with a name, got {function!r}", hint="def it, or signal(function, name='...')"
        )
    reads = (function.__doc__ or called).strip().split("\n")[0]
    made = Signal(called, tier, role, unit, reads, grain, compares=compares, says=says, source="one's own")
    return OwnSignal(function, made, rows, sites, not sites if output is None else output)


def as_probes(given: Any) -> list[Probe]:
    """Probes as they are, functions as `signal` makes them; one of them alone is a list of one.

    Raises WatchError for what is neither.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        given = [given]
    found = []
    for each in given:
        if isinstance(each, Probe):
            found.append(each)
        elif callable(each) and not isinstance(each, type):
            found.append(signal(each))
        else:
            raise WatchError(
                f"expected probes or functions as signals, got {each!r}",
                hint="SpanProbe(trusted), say, an instance and not the class; or a function of what a look saw",
            )
    return found


def _shown(trusted: Examples) -> Array:
    inputs = trusted.inputs[:ROWS]
    return inputs[:, :-1] if trusted.are_tokens else inputs
