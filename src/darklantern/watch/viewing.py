"""What a watch may show: every view, writer and report reads this and nothing else of it.

In: a watch, or the trace of one. Out: frozen values. Held-out monitors are counted here and left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, overload

from darklantern.counted import counted
from darklantern.records.findings import Event, Series
from darklantern.watch.judging.detectors import Threshold, first_crossing, percent
from darklantern.watch.probes import Reading, Signal
from darklantern.watch.trace import Past, Trace

T = TypeVar("T")
OnLook = Callable[[Any], Any]
"""what is called with the watch after each look"""


class Column(Sequence[T]):
    """One thing of each look, read where it lies: nothing is copied, so that a view costs the same after 10,000 looks.

    Looks are only ever appended; those that came after this was made are not in it.
    """

    def __init__(self, past: Sequence[Past], pick: Callable[[Past], T]) -> None:
        self._past, self._count, self._pick = past, len(past), pick

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        found = range(self._count)[index]
        return self._pick(self._past[found]) if isinstance(found, int) else tuple(self._at(found))

    def __iter__(self) -> Iterator[T]:
        return self._at(range(self._count))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def _at(self, looks: range) -> Iterator[T]:
        return (self._pick(self._past[look]) for look in looks)


@dataclass(frozen=True)
class SignalView:
    """One signal, look by look; where steps go back, a rollback undid what came before."""

    signal: Signal
    unit: str
    """of the statistic"""
    steps: Sequence[int]
    readings: Sequence[Reading]
    statistic: Sequence[float]
    threshold: Threshold | None
    judged_from: int = 1
    """the first look, counted from 1 among those that stand, whose statistic says anything; 0 stands before it"""

    @property
    def name(self) -> str:
        return self.signal.name

    @property
    def alarm(self) -> int | None:
        """The first step at which the statistic was over its threshold."""
        limit = self.threshold
        return None if limit is None else first_crossing(self.steps, self.statistic, limit.value)

    def judged(self, look: int) -> bool:
        """Whether the statistic at `look` says anything yet; False where there is no such look."""
        at = range(len(self.steps))[look] if -len(self.steps) <= look < len(self.steps) else -1
        number, earliest = 0, None
        while at >= 0 and number < self.judged_from:  # those that stood then: each a later step than the one before
            if earliest is None or self.steps[at] < earliest:
                number, earliest = number + 1, self.steps[at]
            at -= 1
        return number >= self.judged_from

    @property
    def judged_looks(self) -> list[int]:
        """The looks whose statistic says anything."""
        return [look for look in range(len(self.steps)) if self.judged(look)]

    @property
    def series(self) -> Series:
        """The statistic against its threshold, for a finding."""
        return Series(
            name=self.name,
            role=self.signal.role,
            tier=self.signal.tier,
            unit=self.unit,
            steps=tuple(self.steps),
            values=tuple(self.statistic),
            threshold=None if self.threshold is None else self.threshold.value,
            alarm=self.alarm,
        )


@dataclass(frozen=True)
class Costs:
    """What looks cost, as measured."""

    budget: float | None
    """the share of training time that they may take; None where their cadence was fixed by hand"""
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
    screened_rows: int = 0
    """rows of batches that were left out, each time that they came"""
    unjudged: str = ""
    """which signals cannot be judged yet, and from which look on they are; empty where all can"""

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
        budget=None if watch.settings.every is not None else cadence.overhead,
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
        screened_rows=watch.screened_rows,
    )


def replayed(trace: Trace) -> View:
    """What may be shown of a replay: an alarm for each signal inside that crossed its threshold, at its first look over
    it."""
    seen = seen_in(trace)
    crossed = [each for each in seen.signals if each.signal.role == "signal" and each.alarm is not None]
    return replace(seen, alarms=tuple(_crossing(each) for each in sorted(crossed, key=lambda each: each.alarm or 0)))


def _crossing(each: SignalView) -> str:
    limit = each.threshold
    assert limit is not None
    value = next(value for value in each.statistic if value > limit.value)
    rate = f"false-alarm rate at most {percent(limit.alpha)} a run" if limit.calibrated else "uncalibrated"
    return f"step {each.alarm}: {each.name} at {value:.1f}, threshold {limit.value:.1f} ({rate}; {limit.reason})"


def seen_in(
    trace: Trace,
    *,
    step: int | None = None,
    alarms: Sequence[str] = (),
    events: Sequence[Event] = (),
    stopped: str = "",
    costs: Costs | None = None,
    screened_rows: int = 0,
) -> View:
    """What may be shown of a trace, as a replay leaves one."""
    past = trace.past
    steps = Column(past, lambda each: each.step)
    signals = tuple(
        SignalView(
            signal=track.signal,
            unit=trace.unit(name),
            steps=steps,
            readings=Column(past, partial(_reading, name)),
            statistic=Column(past, partial(_statistic, name)),
            threshold=trace.limit(name),
            judged_from=trace.judged_from[name],
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
        screened_rows=screened_rows,
        unjudged=unjudged(len(trace.steps), {name: trace.judged_from[name] for name in trace.shown}),
    )


def unjudged(looks: int, judged_from: Mapping[str, int]) -> str:
    """What cannot be judged after so many looks, and from which look on it is; empty where all can."""
    waiting = {name: at for name, at in judged_from.items() if looks < at and (looks or at > 1)}
    if not waiting:
        return ""
    first = min(waiting.values())
    if len(waiting) == len(judged_from):
        return f"{counted(looks, 'look')}: nothing is judged before look {first}"
    return f"{counted(looks, 'look')}: {', '.join(waiting)} not judged before look {first}"


def _reading(name: str, past: Past) -> Reading:
    return past.readings[name]


def _statistic(name: str, past: Past) -> float:
    return past.statistics[name]
