"""The watch: looks at a model every few steps of a training loop, raises an alarm, reacts."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.records.findings import Event
from darklantern.watch import detectors
from darklantern.watch.attach.tap import Tap
from darklantern.watch.detectors import Threshold
from darklantern.watch.keeping import Kept, States
from darklantern.watch.looking import Looker
from darklantern.watch.probes import Probe
from darklantern.watch.rows import Bytes, byte_rows
from darklantern.watch.screening import SUSPICIOUS, Screen, screen
from darklantern.watch.spans import GRAM, Candidate, SpanCounter
from darklantern.watch.trace import Trace


class Reaction(Enum):
    """What to do about an alarm."""

    LOG = "keep the record and the clean state, go on"
    ROLL_BACK = "restore the last clean state, screen suspect rows, go on"
    STOP = "end the loop at this step"


@dataclass(frozen=True)
class Settings:
    """What a watch does, apart from its probes. A calibration holds for one `every` and `history`."""

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

    def __post_init__(self) -> None:
        # A history shorter than the margin would drop every state before it can count as clean.
        if self.every < 1 or self.margin < 0 or self.history < max(1, self.margin) or self.rollbacks < 0:
            raise WatchError(
                f"expected every ≥ 1, margin ≥ 0, history ≥ 1 and ≥ margin, rollbacks ≥ 0, got {self}",
                hint="Settings() are those of the demo",
            )


@dataclass(frozen=True)
class Alarm:
    """A crossing of the joint threshold."""

    step: int
    signal: str
    """the signal that stood highest"""
    statistic: float
    threshold: Threshold
    clean: Kept | None
    """the last state from before the rise, however old; None when the statistic rose with the first looks"""
    suspects: tuple[Candidate, ...]
    """spans that stand out in the rows trained on since then, `Settings.history` looks back at most"""

    def __str__(self) -> str:
        limit = self.threshold
        rate = f"false-alarm rate at most {limit.alpha:.1%} a run" if limit.calibrated else "uncalibrated"
        return (
            f"step {self.step}: {self.signal} at {self.statistic:.1f}, threshold {limit.value:.1f} "
            f"({rate}; {limit.reason}). Last clean state: {f'step {self.clean.step}' if self.clean else 'none'}"
        )


class Watch:
    """A watch over one training run. `darklantern.watch` makes it.

        for batch in watch.over(loader):
            train_step(batch)

    Costs one forward pass over the probes' rows and one copy of the training state every
    `settings.every` steps; `overhead` says what that came to. Without reference runs it still alarms
    at something large, and `events` says from the start that no false-alarm rate is claimed.
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
        rows = byte_rows(trusted, "trusted rows")
        if not len(rows) or rows.shape[1] < GRAM:
            raise WatchError(
                f"expected trusted rows of at least {GRAM} bytes, got {len(rows)} rows of {rows.shape[1]}",
                hint="give rows of text that you know to be harmless, as wide as the loader's",
            )
        self.trace, self.settings, self.step = trace, settings, step
        self.alarms: list[Alarm] = []
        self.events: list[Event] = []
        self.screen: Screen | None = None
        self.screened_rows = 0
        self.seconds_looking = 0.0
        self.seconds_training = 0.0
        self._tap, self._looker = tap, Looker(tap, probes)
        self._on_alarm, self._on_look = on_alarm, on_look
        self._spans, self._width = SpanCounter(rows, settings.history), rows.shape[1]
        self._fresh: list[Bytes] = []
        self._states = States(settings.history)
        self._after: dict[int, int] = {}
        """step of a kept state → hash of the batch that came after it"""
        self._just_kept: int | None = None
        self._armed, self._rollbacks = True, 0
        self._stopped = ""
        self._open = self._fed = False
        limit = trace.limits["joint"]
        if not limit.calibrated:
            self.events.append(Event(step=step, label="uncalibrated", text=limit.reason))

    def __repr__(self) -> str:
        tracks = self.trace.tracks.values()
        last = ", ".join(f"{t.signal.name} {t.statistic[-1]:+.1f}" for t in tracks if t.statistic)
        limit = self.trace.limits["joint"]
        said = "; ".join(f"alarm at {alarm}" for alarm in self.alarms) or "no alarm"
        return (
            f"watch at step {self.step}, {len(self.trace.steps)} looks, {said}; threshold {limit.value:.1f}"
            f"{'' if limit.calibrated else ' (uncalibrated)'}{'; ' if last else ''}{last}"
        )

    @property
    def alarm(self) -> Alarm | None:
        """The first alarm."""
        return self.alarms[0] if self.alarms else None

    @property
    def overhead(self) -> float:
        """Time that the watch takes in the loop, as a share of the time spent in the user's loop body."""
        return self.seconds_looking / self.seconds_training if self.seconds_training else 0.0

    @property
    def state(self) -> Any:
        """What a JAX loop trains: taken before each step, handed back after it, another one after a rollback.

            watch.state, loss = step(watch.state, batch)

        Raises WatchError for a state that was not taken from here, and in a torch loop, which needs none.
        """
        return self._tap.state

    @state.setter
    def state(self, new: Any) -> None:
        self._tap.state = new

    def over(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield `loader`'s batches; look, and react, between them, and once more when they end.

        A batch that was handed out counts as a step, also when `break` or an exception ends the loop
        there; calling `over` again goes on from it. After a rollback the loader stands where the clean
        state was taken, and batches come without the suspect rows (in JAX with clean ones in their places, since
        each shape would be compiled anew); one that loses all is skipped.
        Raises WatchError after a stop, and for a loop in which a rollback could not work.
        """
        self._enter(loader)
        try:
            if not self._states:
                self._start()
            going = not self._due() or self._settle() is not Reaction.STOP
            while going:
                going = yield from self._pass(loader)
        finally:
            self._open = False

    def roll_back(self) -> Screen:
        """Restore the last clean state; from then on leave out rows with the spans suspected at the alarm.

        Raises WatchError, changing nothing, without an alarm, when no state is known to be clean, and
        when no span stands out: then a person must look.
        """
        if self._armed:
            raise WatchError("there is no alarm to roll back from", hint="wait for an alarm")
        alarm = self.alarms[-1]
        if alarm.clean is None:
            raise WatchError(self._none_clean(), hint="start again from a state that you trust, with a new watch")
        found = screen(alarm.suspects)
        self._tap.restore(alarm.clean.snapshot)
        self.screen = found if self.screen is None else Screen(self.screen.spans + found.spans)
        self._spans.forget(len(self.trace.steps) - alarm.clean.looks)
        self._fresh.clear()
        self._states.back_to(alarm.clean)
        self.trace.cut(alarm.clean.looks)
        self.step = self._just_kept = alarm.clean.step
        self._armed, self._stopped, self._rollbacks = True, "", self._rollbacks + 1
        held = ", ".join(repr(c.span.decode(errors="replace")) for c in found.spans)
        self.events.append(Event(step=self.step, label="rollback", text=f"screening rows that hold {held}"))
        return self.screen

    def _enter(self, loader: Iterable[Any]) -> None:
        if self._stopped:
            raise WatchError(
                f"the watch stopped this run at step {self.step}: {self._stopped}",
                hint="look at watch.alarms; then roll_back(), or go on from a state that you trust with a new watch",
            )
        if self._open:
            raise WatchError(
                "a loop over this watch is still open; in two at once each would see half of the batches",
                hint="leave that loop first, or close() its iterator; one watch takes several probes",
            )
        if loader is not self._tap.loader:
            raise WatchError(
                f"the watch was given another loader in `state` than this {type(loader).__name__}, "
                "so a rollback would not rewind this one",
                hint="call over() with the very loader of `state`; wrap over(), not the loader",
            )
        self._open = True

    def _start(self) -> None:
        """Before the first step: every site must fire and every signal read a finite number.

        The state at attach is what probes compare with from then on.
        """
        with self._on_the_clock():
            self._looker.look(self._spans, self.step)
            self._keep()

    def _pass(self, loader: Iterable[Any]) -> Generator[Any, None, bool]:
        """One pass over the loader. True when a rollback moved its cursor: then iterate it anew."""
        rollbacks, before = self._rollbacks, self._tap.cursor()
        for batch in loader:
            with self._on_the_clock():
                batch, rows = self._take(batch, before)
                # Two states a look: what moves the loader behind the watch's back must not go unseen.
                now = self._tap.cursor() if (self.step + 1) % self.settings.every == 0 else None
            started = time.perf_counter()
            try:
                if len(rows):
                    yield batch
            finally:
                self.seconds_training += time.perf_counter() - started
                if self._rollbacks == rollbacks:
                    self.step += 1
            if self._rollbacks == rollbacks and self._due():
                self._check_unmoved(now)
                if self._settle() is Reaction.STOP:
                    return False
            if self._rollbacks != rollbacks:
                return True
        if not self._fed:
            raise WatchError(
                "the loader gave no batch, so nothing was watched",
                hint="it may stand at its end; restore it, or make a fresh one for this watch",
            )
        return not (self._fresh and self._settle() is Reaction.STOP) and self._rollbacks != rollbacks

    def _take(self, batch: Any, before: str) -> tuple[Any, Bytes]:
        """The batch and its rows, without suspect rows."""
        rows = self._tap.rows(batch)
        if rows.shape[1] != self._width:
            raise WatchError(
                f"a batch has rows of {rows.shape[1]} bytes, the trusted rows have {self._width}",
                hint="what is frequent is counted by row: cut trusted rows to the width of the loader's",
            )
        if not self._fed and self._tap.cursor() == before:
            raise WatchError(
                "the loader's state() is the same before and after a batch, so a rollback could not rewind it",
                hint="count a batch in state() before it is handed out, and say all that decides the next one",
            )
        self._fed = True
        self._check_again(rows)
        if self.screen is not None:
            suspect = self.screen.suspect(rows)
            self.screened_rows += int(suspect.sum())
            batch, rows = self._tap.keep(batch, ~suspect), rows[~suspect]
        self._fresh.append(rows)
        return batch, rows

    def _check_again(self, rows: Bytes) -> None:
        """After a rollback the loader must give what it gave the first time."""
        if self._just_kept is None:
            return
        found = hash(rows.tobytes())
        if self._after.setdefault(self._just_kept, found) != found:
            raise WatchError(
                f"after the rollback to step {self._just_kept} the loader gave another batch than the first time",
                hint="restore(state) must also hold for the next iteration over the loader, and decide its order",
            )
        self._just_kept = None

    def _check_unmoved(self, before: str | None) -> None:
        if before != self._tap.cursor():
            raise WatchError(
                f"the loader moved while its batch of step {self.step - 1} was trained on",
                hint="draw batches from over() only, in one loop; one watch takes several probes",
            )

    def _due(self) -> bool:
        return bool(self._fresh) and self.step % self.settings.every == 0

    def _settle(self) -> Reaction:
        started = time.perf_counter()
        self._tap.wait()
        self.seconds_training += time.perf_counter() - started
        with self._on_the_clock():
            reaction = self._look_and_react()
        self._on_look(self)
        return reaction

    def _look_and_react(self) -> Reaction:
        self._spans.add(np.concatenate(self._fresh))
        self._fresh.clear()
        self.trace.add(self.step, self._looker.look(self._spans, self.step))
        raised = self._judge()
        reaction = Reaction.LOG if raised is None else self._react(raised)
        if reaction is not Reaction.ROLL_BACK:
            self._keep()
        return reaction

    def _judge(self) -> Alarm | None:
        limit = self.trace.limits["joint"]
        if not self._armed or self.trace.joint[-1] <= limit.value:
            return None
        clean = self._states.clean(self._clean_looks())
        since = max(1, len(self.trace.steps) - (clean.looks if clean else 0))
        suspects = tuple(self._spans.candidates(8, since, least=SUSPICIOUS))
        return Alarm(self.step, self.trace.highest().signal.name, self.trace.joint[-1], limit, clean, suspects)

    def _react(self, alarm: Alarm) -> Reaction:
        self._armed = False
        self.alarms.append(alarm)
        self.events.append(Event(step=alarm.step, label="alarm", text=str(alarm)))
        rollbacks = self._rollbacks
        reaction = self._on_alarm(alarm)
        if not isinstance(reaction, Reaction):
            raise WatchError(
                f"on_alarm returned {reaction!r}, expected a Reaction",
                hint="return Reaction.LOG, Reaction.ROLL_BACK or Reaction.STOP",
            )
        if self._rollbacks != rollbacks:
            return Reaction.ROLL_BACK  # on_alarm did it itself
        if reaction is Reaction.STOP:
            self._stopped = "on_alarm asked for it"
        if reaction is Reaction.ROLL_BACK:
            if rollbacks >= self.settings.rollbacks:
                return self._stop(f"{rollbacks} rollbacks did not hold; a person must look")
            if alarm.clean is None:
                return self._stop(self._none_clean())
            if not alarm.suspects:
                return self._stop("no span of the new rows stands out, so there is nothing to screen")
            self.roll_back()
        return reaction

    def _stop(self, why: str) -> Reaction:
        """Fail closed: going on blind would train the same thing again."""
        self._stopped = why
        self.events.append(Event(step=self.step, label="stop", text=why))
        return Reaction.STOP

    def _none_clean(self) -> str:
        return (
            f"no state is known to be clean: none was kept {self.settings.margin} looks before the joint statistic "
            f"was last at or below {self.settings.quiet:g}"
        )

    def _clean_looks(self) -> int:
        """States with up to so many looks before them are from before the rise; −1 if none is."""
        last = detectors.rise_began(self.trace.joint, self.settings.quiet)
        return -1 if last < 0 else last + 1 - self.settings.margin

    def _keep(self) -> None:
        kept = Kept(self.step, len(self.trace.steps), self._tap.snapshot(self.step))
        self._states.add(kept, self._clean_looks())
        self._just_kept = kept.step
        self._after = {step: rows for step, rows in self._after.items() if step in self._states.steps}

    @contextmanager
    def _on_the_clock(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds_looking += time.perf_counter() - started
