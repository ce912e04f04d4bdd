"""Watch a training run: training steps → signals → detectors → reactions.

In: a model under training, what its loop carries on, trusted examples, probes.
Out: an alarm with a stated false-alarm rate, a reaction, curves for a finding. A watch never
changes what it watches, except by a reaction that its user chose, and never files anything itself.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from darklantern.records.references import References
from darklantern.watch.alarms import Alarm
from darklantern.watch.anchoring import since_start
from darklantern.watch.assembling import subject, terms, to_say
from darklantern.watch.budget import Cadence
from darklantern.watch.collecting import collect
from darklantern.watch.default_signals import defaults
from darklantern.watch.digests import digests, hashed
from darklantern.watch.examples import Examples
from darklantern.watch.filing import Filed, Filing, Weights, finding
from darklantern.watch.going_on import GoesOn, begins
from darklantern.watch.inquiring import Case
from darklantern.watch.judging.calibration import calibrate
from darklantern.watch.keywords import checked
from darklantern.watch.language import PayloadProbe, SpanProbe
from darklantern.watch.live import live
from darklantern.watch.monitors import held_out, monitor
from darklantern.watch.onlookers import each_of
from darklantern.watch.own_signals import signal
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.reactions import Ablate, Notify, OnAlarm, Reaction
from darklantern.watch.recording import Recorder
from darklantern.watch.replaying import replay
from darklantern.watch.runs.notifying import Desktop, File, Webhook
from darklantern.watch.screen_files import screened
from darklantern.watch.screening import Screen, SpanScreen
from darklantern.watch.seen import Seen
from darklantern.watch.settings import Settings
from darklantern.watch.stepping import Turn
from darklantern.watch.trace import Trace
from darklantern.watch.viewing import OnLook
from darklantern.watch.watching import Parts, Watch

__all__ = [
    "Ablate",
    "Alarm",
    "Asked",
    "Case",
    "Desktop",
    "Examples",
    "File",
    "Filed",
    "Filing",
    "Notify",
    "Now",
    "PayloadProbe",
    "Probe",
    "Reaction",
    "Reading",
    "Screen",
    "Seen",
    "Settings",
    "Signal",
    "SpanProbe",
    "SpanScreen",
    "Turn",
    "Watch",
    "Webhook",
    "Weights",
    "calibrate",
    "collect",
    "defaults",
    "finding",
    "held_out",
    "live",
    "monitor",
    "replay",
    "screened",
    "signal",
    "since_start",
    "watch",
]


@checked
def watch(
    model: Any,
    *,
    trusted: Any,
    signals: Probe | Callable[[Seen], Any] | Sequence[Probe | Callable[[Seen], Any]] | None = None,
    state: Any = (),
    readout: Callable[..., Any] | None = None,
    weights: Callable[[Any], Any] | None = None,
    call: Callable[[Any], Any] | None = None,
    batch: Callable[[Any], Any] | None = None,
    references: References | str | Path | None = None,
    recipe: str = "",
    data: str = "",
    alpha: float = 0.05,
    overhead: float = 0.01,
    settings: Settings | None = None,
    on_alarm: OnAlarm = Reaction.LOG,
    on_look: OnLook | Sequence[OnLook] = (),
    investigate: Sequence[Callable[[Case], Any]] = (),
    on_finding: Filing | Callable[[Filed], Any] | None = None,
    run: str | Path | None = None,
    hang_after: float | None = None,
    step: int = 0,
    goes_on: bool = False,
    seed: int = 0,
) -> Watch:
    """A watch over `model`, in torch or JAX, in its training loop.

        w = watch(model, state=(optimizer, loader), trusted=rows, signals=[SpanProbe(rows)])
        for batch in w.over(loader):
            train_step(batch)

    `trusted` are examples known to be harmless, in the form of a batch of the loader: an array or tensor (n, …), a pair
    (inputs, targets), or a mapping as Hugging Face has it; or a list of three or more of one shape, or a TensorDataset.
    `batch` takes them out of anything else, of `trusted` as of each batch. A model is called with inputs alone, `call`
    says how it takes them otherwise; of token rows with all but the last token. `signals` is a list of probes, and of
    functions of what a look saw (see `darklantern.signal`); without them those of `defaults`, which are few and need no
    knowledge of the danger. The watch then says which they are, and why others are not.
    `state` is what a rollback must put back: the optimizer, the loader, and whatever else has a state dict
    (scheduler, scaler). The loader has `state()` and `restore(state)`; without them, or without an optimizer, an alarm
    that asks for a rollback stops the loop, which is said before the first step. `readout` takes a residual stream to
    logits, in JAX `readout(weights, residual)`; it is the model's method of that name, or of transformers' models their
    head, unless given.
    `alpha` is the false-alarm rate for a whole clean run, over all signals together; it holds for the
    `recipe` and `data` (texts that name them, or hashes) that `references` (a record, or its file) were made from, and
    for signals that are read as they were there (`digests`); otherwise it is not claimed. `overhead` is the share of
    training time that looks may take: it sets their cadence, unless `settings.every` or the references do.
    `on_look` is called with the watch after each look: a function or several, such as `darklantern.live()`.
    `investigate` are functions of a Case that run once after an alarm, before the reaction: a learning coefficient, a
    smallest mask, an ablation (`darklantern.watch.investigations`), whatever is too dear for every look.
    `on_finding` is handed each alarm as a finding once the reaction is known; nothing is written to a disk unless it
    does so.
    `run` is a folder, or a name, by which people outside reach the run: `darklantern watch status`, `stop`, `pause`,
    `go-on`, `roll-back`; a watchdog beside it ends a process that does not heed a stop, and with `hang_after` (seconds)
    notices a loop that hangs. The folder also keeps what each look read: runs so kept make references, by
    `darklantern watch calibrate`. In a run that it started, alarms are only logged, and `references` are not read.
    `step` is the number of updates done before; a trainer that was resumed says it itself. With `goes_on` the watch
    goes on with the run in the folder of `run` from there, where an earlier process left off: the looks up to that step
    are taken up from what it wrote, and judged again, so that the thresholds stay, and a claimed rate, and it is known
    what was clean. What a signal stood on beside its readings is lost, which is said, and costs its channel the claim.
    A watch with other signals or settings, of another recipe, data or seed, says what differs and begins anew; so does
    the first process, in an empty folder.
    `seed` draws the order of trusted examples, and which rows are counted where there are too many for a look.

    Raises WatchError when a part does not fit, here or before the first step: nothing is watched by half. What is to be
    done at an alarm, a look or a finding is checked here, in a reference run too.

    In JAX a step returns a new state, so `state` is (training state, loader), and the loop takes the state from the
    watch and hands it back; `weights` finds the model's weights in it, `state.params` or `state["params"]` unless
    given. `model` is a linen module, or what `darklantern.open` made of any other.

        w = watch(module, state=(state, loader), trusted=rows, signals=[SpanProbe(rows)])
        for batch in w.over(loader):
            w.state, loss = step(w.state, batch)
    """
    from darklantern.watch import attach

    shown = each_of(on_look)
    on = terms(
        settings or Settings(),
        references,
        on_alarm=on_alarm,
        investigate=investigate,
        on_finding=on_finding,
        run=run,
        hang_after=hang_after,
        goes_on=goes_on,
        seed=seed,
    )
    tap = attach.tap(model, state, readout, weights, call, batch)
    of = subject(tap, trusted, batch, signals)
    recorder = None if on.run is None else Recorder(tap, on.seed, recipe, data)
    recipe, data = hashed(recipe), hashed(data)
    digested = digests(of.probes, of.trusted, on.settings)
    made = Watch(
        Parts(
            tap=tap,
            probes=of.probes,
            trusted=of.trusted,
            trace=Trace(of.signals, on.references, recipe, data, alpha, on.every, digested),
            settings=on.settings,
            cadence=Cadence(on.every, overhead),
            on_alarm=on.on_alarm,
            on_look=each_of([*([recorder] if recorder else []), shown]),
            step=step,
            seed=seed,
            data=data,
            investigate=on.investigate,
            filing=on.filing,
            run=on.run,
            hang_after=hang_after,
            earlier=GoesOn(tap, of.probes, recorder) if recorder and goes_on else partial(begins, recorder=recorder),
        )
    )
    for said in to_say(on, of, step):
        made.say("signals", said)
    return made


class _Room(ModuleType):
    """`darklantern.watch` names this room and its main function; calling the room calls the function."""

    __call__ = staticmethod(watch)


__signature__ = signature(watch)  # `inspect` takes the first parameter of a `__call__` for `self`
sys.modules[__name__].__class__ = _Room
