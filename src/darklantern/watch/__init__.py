"""Watch a training run: training steps → signals → detectors → reactions.

In: a model under training, its optimizer or training state and a loader that can rewind, trusted rows, probes.
Out: an alarm with a stated false-alarm rate, a reaction, curves for a finding. A watch never
changes what it watches, except by a reaction that its user chose, and never files anything itself.
"""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from darklantern.records.references import References
from darklantern.watch import detectors
from darklantern.watch.calibration import calibrate
from darklantern.watch.payload_probe import PayloadProbe
from darklantern.watch.probes import Probe, Reading, Signal
from darklantern.watch.rows import Bytes
from darklantern.watch.span_probe import SpanProbe
from darklantern.watch.trace import Trace
from darklantern.watch.watching import Alarm, Reaction, Settings, Watch

__all__ = [
    "Alarm",
    "PayloadProbe",
    "Probe",
    "Reaction",
    "Reading",
    "Settings",
    "Signal",
    "SpanProbe",
    "Watch",
    "calibrate",
    "watch",
]


def watch(
    model: Any,
    *,
    state: tuple[Any, Any],
    trusted: Bytes,
    probes: Sequence[Probe],
    readout: Callable[..., Any] | None = None,
    weights: Callable[[Any], Any] | None = None,
    references: References | None = None,
    recipe: str = "",
    data: str = "",
    alpha: float = 0.05,
    settings: Settings | None = None,
    on_alarm: Callable[[Alarm], Reaction] = lambda alarm: Reaction.LOG,
    on_look: Callable[[Watch], None] = lambda watch: None,
    step: int = 0,
) -> Watch:
    """A watch over `model`, a language model of byte rows in torch or JAX, in its training loop.

    The model takes integer tokens (n, width − 1) and returns logits, alone, as `logits` of what it returns,
    or in a tuple. `state` is (optimizer, loader), in JAX (training state, loader); the loader yields integer
    tensors or arrays (batch, width) and has `state()` and `restore(state)` so that a rollback restores the
    data cursor too. `readout` takes a residual stream to logits, in JAX `readout(weights, residual)`; it is
    the model's method of that name unless given. `trusted` are rows (n, width) known to be harmless.
    `alpha` is the false-alarm rate for a whole clean run, over all signals together; it holds for the
    `recipe` and `data` (hashes) that `references` were made from and is otherwise not claimed. `step` is
    the number of updates done before.

    Raises WatchError when a part does not fit, here or before the first step: nothing is watched by half.

        w = watch(model, state=(optimizer, loader), trusted=rows, probes=[SpanProbe(rows)])
        for batch in w.over(loader):
            train_step(batch)

    In JAX a step returns a new state, so the loop takes the state from the watch and hands it back; `weights`
    finds the model's weights in it, `state.params` or `state["params"]` unless given. `model` is a linen
    module, or what `darklantern.open` made of any other.

        w = watch(module, state=(state, loader), trusted=rows, probes=[SpanProbe(rows)])
        for batch in w.over(loader):
            w.state, loss = step(w.state, batch)
    """
    from darklantern.watch import attach

    signals = [signal for probe in probes for signal in probe.signals]
    limits = detectors.limits(references, recipe, data, alpha) if references else {}
    trace = Trace(signals, references, limits)
    tap = attach.tap(model, state, readout, weights)
    return Watch(tap, probes, trusted, trace, settings or Settings(), on_alarm, on_look, step)


class _Room(ModuleType):
    """`darklantern.watch` names this room and its main function; calling the room calls the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return watch(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
