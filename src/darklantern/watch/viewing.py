"""What a watch may show: every view, writer and report reads this and nothing else of it.

In: a watch, or the trace of one. Out: frozen values. Held-out monitors are counted here and left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from darklantern.records.findings import Event, Series
from darklantern.watch.detectors import Threshold, first_crossing
from darklantern.watch.probes import Reading, Signal
from darklantern.watch.trace import Trace

OnLook = Callable[[Any], Any]
"""what is called with the watch after each look"""


@dataclass(frozen=True)
class SignalView:
    """One signal, look by look; where steps go back, a rollback undid what came before."""

    signal: Signal
    unit: str
    """of the statistic"""
    steps: tuple[int, ...]
    readings: tuple[Reading, ...]
    statistic: tuple[float, ...]
    threshold: Threshold | None

    @property
    def name(self) -> str:
        return self.signal.name

    @property
    def alarm(self) -> int | None:
        """The first step at which the statistic was over its threshold."""
        limit = self.threshold
        return None if limit is None else first_crossing(self.steps, self.statistic, limit.value)

    @property
    def series(self) -> Series:
        """The statistic against its threshold, for a finding."""
        return Series(
            name=self.name,
            role=self.signal.role,
            tier=self.signal.tier,
            unit=self.unit,
            steps=self.steps,
            values=self.statistic,
            threshold=None if self.threshold is None else self.threshold.value,
            alarm=self.alarm,
        )


@dataclass(frozen=True)
class Costs:
    """What looks cost, as measured."""

    budget: float
    """the share of training time that they may take"""
    overhead: float | None
    """the share that they took; None before it was measured"""
    every: int | None
    """steps between looks; None while the first steps are being timed"""
    looking_s: float
    training_s: float


@dataclass(frozen=True)
class View:
    """A watch at one moment, as anyone may see it."""

    step: int
    looks: int
    """those that stand; `undone` more were undone by rollbacks"""
    undone: int
    signals: tuple[SignalView, ...]
    held_out: int
    """monitors that may alarm too and are not shown"""
    alarms: tuple[str, ...]
    events: tuple[Event, ...]
    uncalibrated: str
    """why no false-alarm rate is claimed; empty when one is"""
    stopped: str
    costs: Costs | None
    """None where nothing was trained beside the looks"""

    def first(self, role: str) -> int | None:
        """The step of the first look at which a signal of that role was over its threshold."""
        over = [
            look
            for each in self.signals
            if each.signal.role == role and each.threshold is not None
            for look, value in enumerate(each.statistic)
            if value > each.threshold.value
        ]
        return self.signals[0].steps[min(over)] if over else None

    @property
    def series(self) -> tuple[Series, ...]:
        """The curves of all signals."""
        return tuple(each.series for each in self.signals)


def view(watch: Any) -> View:
    """What may be shown of a `Watch` now."""
    cadence = watch.cadence
    costs = Costs(
        budget=cadence.overhead,
        overhead=watch.overhead if watch.seconds_training else None,
        every=cadence.every,
        looking_s=watch.seconds_looking,
        training_s=watch.seconds_training,
    )
    return seen_in(
        watch.trace,
        step=watch.step,
        alarms=tuple(map(str, watch.alarms)),
        events=tuple(watch.events),
        stopped=watch.stopped,
        costs=costs,
    )


def seen_in(
    trace: Trace,
    *,
    step: int | None = None,
    alarms: Sequence[str] = (),
    events: Sequence[Event] = (),
    stopped: str = "",
    costs: Costs | None = None,
) -> View:
    """What may be shown of a trace, as a replay leaves one."""
    past = trace.past
    steps = tuple(each.step for each in past)
    signals = tuple(
        SignalView(
            signal=track.signal,
            unit=trace.unit(name),
            steps=steps,
            readings=tuple(each.readings[name] for each in past),
            statistic=tuple(each.statistics[name] for each in past),
            threshold=trace.limit(name),
        )
        for name, track in trace.shown.items()
    )
    return View(
        step=step if step is not None else steps[-1] if steps else 0,
        looks=len(trace.steps),
        undone=len(past) - len(trace.steps),
        signals=signals,
        held_out=len(trace.tracks) - len(signals),
        alarms=tuple(alarms),
        events=tuple(events),
        uncalibrated=trace.uncalibrated,
        stopped=stopped,
        costs=costs,
    )
