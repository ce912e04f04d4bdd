"""The watch: looks at a model every few steps of a training loop, raises an alarm, reacts."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.records.findings import Event
from darklantern.watch import detectors
from darklantern.watch.attach.tap import Tap
from darklantern.watch.detectors import Threshold
from darklantern.watch.probes import Bytes, Probe, Reading, Seen
from darklantern.watch.screening import SUSPICIOUS, Screen, screen
from darklantern.watch.spans import Candidate, SpanCounter
from darklantern.watch.trace import Trace


class Reaction(Enum):
    """What to do about an alarm."""

    LOG = "keep the record and the clean state, go on"
    ROLL_BACK = "restore the last clean state, screen suspect rows, go on"
    STOP = "end the loop at this step"


@dataclass(frozen=True)
class Settings:
    """What a watch does, apart from its probes. Part of the recipe that a calibration holds for."""

    every: int = 10
    """steps between looks"""
    margin: int = 2
    """looks to go back beyond the last quiet one"""
    quiet: float = 1.0
    """standard deviations up to which the joint statistic counts as not yet rising"""
    history: int = 16
    """looks whose rows and snapshots are kept"""
    rollbacks: int = 3
    """after so many, an alarm stops the loop"""


@dataclass(frozen=True)
class Kept:
    """A training state in memory, with the number of looks taken before it."""

    step: int
    looks: int
    snapshot: Any


@dataclass(frozen=True)
class Alarm:
    """A crossing of the joint threshold."""

    step: int
    signal: str
    """the signal that stood highest"""
    statistic: float
    threshold: Threshold
    clean: Kept
    """the last state from before the rise"""
    suspects: tuple[Candidate, ...]
    """spans that stand out in the rows trained on since then"""

    def __str__(self) -> str:
        limit = self.threshold
        rate = f"false-alarm rate at most {limit.alpha:.1%} a run" if limit.calibrated else "uncalibrated"
        return (
            f"step {self.step}: {self.signal} at {self.statistic:.1f}, threshold {limit.value:.1f} "
            f"({rate}; {limit.reason}). Last clean state: step {self.clean.step}"
        )


class Watch:
    """A watch over one training run. `darklantern.watch` makes it.

        for batch in watch.over(loader):
            train_step(batch)

    Costs one forward pass over the probes' rows and one copy of the training state every
    `settings.every` steps; `overhead` says what that came to. The joint statistic needs reference
    runs: without limits the watch records and never alarms, and says so when it attaches.
    """

    def __init__(
        self,
        tap: Tap,
        probes: Sequence[Probe],
        trusted: Bytes,
        trace: Trace,
        settings: Settings,
        on_alarm: Callable[[Alarm], Reaction],
        on_look: Callable[["Watch"], None] = lambda watch: None,
        step: int = 0,
    ) -> None:
        self.trace, self.settings, self.step = trace, settings, step
        self.alarms: list[Alarm] = []
        self.events: list[Event] = []
        self.screen: Screen | None = None
        self.screened_rows = 0
        self.seconds_looking = 0.0
        self.seconds_training = 0.0
        self._tap, self._probes = tap, list(probes)
        self._on_alarm, self._on_look = on_alarm, on_look
        self._spans = SpanCounter(trusted, settings.history)
        self._fresh: list[Bytes] = []
        self._kept: deque[Kept] = deque(maxlen=settings.history)
        self._armed = True
        self._rollbacks = 0

    @property
    def alarm(self) -> Alarm | None:
        """The first alarm."""
        return self.alarms[0] if self.alarms else None

    @property
    def overhead(self) -> float:
        """Time spent looking, as a share of the time spent in the user's loop body."""
        return self.seconds_looking / self.seconds_training if self.seconds_training else 0.0

    def over(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield `loader`'s batches; look, and react, between them.

        After a rollback the loader stands where the clean state was taken, and batches come without
        the suspect rows; a batch that loses all its rows is skipped.
        """
        if not self._kept:
            self._self_test()
            self._keep()
        go_on = True
        while go_on:
            go_on = False
            for batch in loader:
                batch, rows = self._screened(batch)
                self._fresh.append(rows)
                started = time.perf_counter()
                if len(rows):
                    yield batch
                looked = time.perf_counter()
                self.seconds_training += looked - started
                self.step += 1
                if self.step % self.settings.every:
                    continue
                reaction = self._look_and_react()
                self.seconds_looking += time.perf_counter() - looked
                self._on_look(self)
                if reaction is Reaction.STOP:
                    return
                if reaction is Reaction.ROLL_BACK:
                    go_on = True  # the loader's cursor has moved back: iterate it anew
                    break

    def roll_back(self) -> Screen:
        """Restore the last clean state; from then on leave out rows with the spans suspected at the alarm.

        Raises WatchError without an alarm, or when no span stands out: then a person must look.
        """
        if self._armed:
            raise WatchError("there is no alarm to roll back from", hint="wait for an alarm")
        alarm = self.alarms[-1]
        found = screen(alarm.suspects)
        self.screen = found if self.screen is None else Screen(self.screen.spans + found.spans)
        self._tap.restore(alarm.clean.snapshot)
        self._spans.forget(len(self.trace.steps) - alarm.clean.looks)
        self._fresh.clear()
        self._kept = deque((kept for kept in self._kept if kept.looks < alarm.clean.looks), maxlen=self._kept.maxlen)
        self._kept.append(alarm.clean)
        self.trace.cut(alarm.clean.looks)
        self.step = alarm.clean.step
        self._armed, self._rollbacks = True, self._rollbacks + 1
        held = ", ".join(repr(c.span.decode(errors="replace")) for c in found.spans)
        self.events.append(Event(step=self.step, label="rollback", text=f"screening rows that hold {held}"))
        return self.screen

    def _look_and_react(self) -> Reaction:
        self._look()
        raised = self._judge()
        reaction = Reaction.LOG
        if raised is not None:
            self._armed = False
            self.alarms.append(raised)
            self.events.append(Event(step=raised.step, label="alarm", text=str(raised)))
            reaction = self._on_alarm(raised)
            if reaction is Reaction.ROLL_BACK and self._rollbacks == self.settings.rollbacks:
                reaction = self._stop(f"{self._rollbacks} rollbacks did not hold; a person must look")
            elif reaction is Reaction.ROLL_BACK and not raised.suspects:
                reaction = self._stop("no span of the new rows stands out, so there is nothing to screen")
        if reaction is Reaction.ROLL_BACK:
            self.roll_back()
        else:
            self._keep()
        return reaction

    def _stop(self, why: str) -> Reaction:
        """Fail closed: going on blind would train the same thing again."""
        self.events.append(Event(step=self.step, label="stop", text=why))
        return Reaction.STOP

    def _look(self) -> None:
        """One forward pass over the rows of all probes; each probe reads its own part."""
        self._spans.add(np.concatenate(self._fresh))
        self._fresh.clear()
        self.trace.add(self.step, self._readings())

    def _readings(self) -> dict[str, Reading]:
        parts = [probe.rows(self._spans) for probe in self._probes]
        sites = tuple(dict.fromkeys(site for probe in self._probes for site in probe.sites))
        lenses = tuple(dict.fromkeys(site for probe in self._probes for site in probe.lenses))
        seen = self._tap.see(np.concatenate(parts), sites, lenses)
        readings = {}
        end = 0
        for probe, rows in zip(self._probes, parts, strict=True):
            part = slice(end, end := end + len(rows))
            for signal, reading in zip(probe.signals, probe.read(_part(seen, part)), strict=True):
                if not np.isfinite(reading.contrast):
                    raise WatchError(
                        f"signal {signal.name!r} read {reading} at step {self.step}",
                        hint="the model's values are no longer finite; training has probably diverged",
                    )
                readings[signal.name] = reading
        return readings

    def _judge(self) -> Alarm | None:
        limit = self.trace.limits.get("joint")
        if not self._armed or limit is None or self.trace.joint[-1] <= limit.value:
            return None
        quiet = detectors.rise_began(self.trace.joint, self.settings.quiet) + 1 - self.settings.margin
        before = [kept for kept in self._kept if kept.looks <= quiet]
        clean = before[-1] if before else self._kept[0]
        since = max(1, len(self.trace.steps) - clean.looks)
        suspects = tuple(self._spans.candidates(8, since, least=SUSPICIOUS))
        return Alarm(self.step, self.trace.highest().signal.name, self.trace.joint[-1], limit, clean, suspects)

    def _keep(self) -> None:
        self._kept.append(Kept(self.step, len(self.trace.steps), self._tap.snapshot(self.step)))

    def _screened(self, batch: Any) -> tuple[Any, Bytes]:
        rows = self._tap.rows(batch)
        if self.screen is None:
            return batch, rows
        suspect = self.screen.suspect(rows)
        self.screened_rows += int(suspect.sum())
        return self._tap.keep(batch, ~suspect), rows[~suspect]

    def _self_test(self) -> None:
        """Before the first step: every site must fire and every signal must read a finite number.

        Raises SiteError or WatchError. Probes that keep their first reading keep this one, so the
        state at attach is their reference.
        """
        self._readings()


def _part(seen: Seen, part: slice) -> Seen:
    return Seen(
        sites={site: value[part] for site, value in seen.sites.items()},
        log_probs=seen.log_probs[part],
        lenses={site: value[part] for site, value in seen.lenses.items()},
    )
