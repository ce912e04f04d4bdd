"""The watch: looks at a model every few steps of a training loop, raises an alarm, reacts."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darklantern.errors import DarkLanternError, WatchError
from darklantern.files import write_whole
from darklantern.records.findings import Event
from darklantern.watch import agreeing, detectors, reactions
from darklantern.watch.alarms import Alarm
from darklantern.watch.attach.tap import Tap
from darklantern.watch.budget import Cadence
from darklantern.watch.examples import Examples, Pool, Tokens
from darklantern.watch.filing import Filed, Filer, Filing, Taken
from darklantern.watch.keeping import Kept, States
from darklantern.watch.looking import Looker
from darklantern.watch.notifying import Note, Notices
from darklantern.watch.outside import Outside
from darklantern.watch.probes import Now, Probe
from darklantern.watch.reactions import Ablate, Chosen, Notify, OnAlarm, Reaction
from darklantern.watch.run_files import Command
from darklantern.watch.screening import SUSPICIOUS, Screen, SpanScreen, together
from darklantern.watch.settings import Settings
from darklantern.watch.spans import GRAM, SpanCounter
from darklantern.watch.trace import Trace
from darklantern.watch.viewing import view

LOG = logging.getLogger("darklantern.watch")


@dataclass(frozen=True)
class Turn:
    """What a loop is to do with a batch: train on `batch` (None: on nothing), or leave off."""

    batch: Any
    reaction: Reaction = Reaction.LOG
    """ROLL_BACK: the state is an earlier one, draw anew from the loader; STOP: end the loop"""


@dataclass
class Parts:
    """What `darklantern.watch` puts together for a Watch."""

    tap: Tap
    probes: Sequence[Probe]
    trusted: Examples
    trace: Trace
    settings: Settings
    cadence: Cadence
    on_alarm: OnAlarm = Reaction.LOG
    on_look: Callable[["Watch"], None] = lambda watch: None
    step: int = 0
    seed: int = 0
    """of the order in which trusted examples are drawn"""
    data: str = ""
    """hash of what is trained on; empty where it is not known"""
    filing: Filing | None = None
    run: str | Path | None = None
    hang_after: float | None = None


class Watch:
    """A watch over one training run. `darklantern.watch` makes it.

        for batch in watch.over(loader):
            train_step(batch)

    Costs one forward pass over the probes' rows and one copy of the training state at each look; `overhead` says
    what that came to. Without reference runs it still alarms at something large, and `events` says from the start
    that no false-alarm rate is claimed.
    """

    def __init__(self, parts: Parts) -> None:
        tap, settings = parts.tap, parts.settings
        self.trace, self.settings, self.step = parts.trace, settings, parts.step
        self.cadence = parts.cadence
        self.alarms: list[Alarm] = []
        self.events: list[Event] = []
        self.screen: Screen | None = None
        self.screened_rows = 0
        self.seconds_looking = 0.0
        self.seconds_training = 0.0
        self.asked: list[reactions.Chosen] = []
        """what was agreed to do about the newest alarm, mildest first"""
        self.resume = ""
        """after a stop where data cannot be rewound: how to go on from before the rise, without the suspects"""
        self.filer = Filer(parts.filing, tap, tuple(parts.probes), parts.trusted, parts.data, parts.seed)
        self.findings: list[Filed] = []
        """of each alarm, where `on_finding` asks for them"""
        self._tap, self._looker = tap, Looker(tap, parts.probes, settings.history)
        self._on_alarm, self._on_look = parts.on_alarm, parts.on_look
        self._trusted = Pool(parts.trusted, parts.seed)
        self._spans = _counter(parts.trusted, settings.history)
        self._fresh: list[Tokens] = []
        """the rows trained on since the last look"""
        self._since = 0
        """batches since the last look"""
        self._states = States(settings.states)
        self._held: Kept | None = None
        """the state after `step` updates, kept before the next batch is drawn, if a look is due there"""
        self._after: dict[int, int] = {}
        """step of a kept state → hash of the batch that came after it"""
        self._just_kept: int | None = None
        self._above: frozenset[str] = frozenset()
        """channels that stand over their thresholds since an alarm that said so"""
        self._alarm_look: int | None = None
        """the number of looks at the newest alarm that was not rolled back"""
        self._tainted: int | None = None
        """no state with more looks before it is clean, since an alarm passed that was not rolled back"""
        self._rollbacks = 0
        self._ablations: list[Any] = []
        self._outside = Outside(parts.run, tap.ranks, self._say, parts.hang_after)
        self._notices: list[Notices] = []
        self._stopped = ""
        self._open = self._fed = self._started = False
        self._training_since: float | None = None
        self._looked = -1
        """the step of the newest look"""
        self._lap = 0.0
        """seconds that the step under way took so far, up to its newest batch"""
        if parts.trace.uncalibrated:
            self._say("uncalibrated", parts.trace.uncalibrated)
        if tap.rewinds:
            self._say("no rollback", f"{tap.rewinds}; an alarm that asks for one stops the loop instead")

    def __repr__(self) -> str:
        shown = self.trace.shown
        last = ", ".join(f"{name} {track.statistic[-1]:+.1f}" for name, track in shown.items() if track.statistic)
        channels = [name for name in self.trace.channels if name == "joint" or name in shown]
        limits = ", ".join(f"{name} {self.trace.limits[name].value:.1f}" for name in channels)
        said = "; ".join(f"alarm at {alarm}" for alarm in self.alarms) or "no alarm"
        return (
            f"watch at step {self.step}, {len(self.trace.steps)} looks, {said}; threshold {limits}"
            f"{' (uncalibrated)' if self.trace.uncalibrated else ''}{'; ' if last else ''}{last}"
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
    def stopped(self) -> str:
        """Why the watch ended the loop; empty while it has not."""
        return self._stopped

    @property
    def notes(self) -> list[tuple[Probe, Any]]:
        """What each probe noted at the newest look: of a SpanProbe, for instance, what inserting each span does."""
        return self._looker.notes

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

    def report(self, path: str | Path, title: str = "Training watch") -> Path:
        """Write what may be shown of this watch as one self-contained HTML page; `path`. Raises StoreError."""
        from darklantern.watch.reporting import report

        write_whole(Path(path), report(view(self), title).encode())
        return Path(path)

    # the loop

    def over(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield `loader`'s batches; look, and react, between them, and once more when they end.

        A batch that was handed out counts as a step, also when `break` or an exception ends the loop
        there; calling `over` again goes on from it. After a rollback the loader stands where the clean
        state was taken, and batches come without the suspect examples (in JAX with clean ones in their places, since
        each shape would be compiled anew); one that loses all is skipped.
        Raises WatchError after a stop, and for a loop in which a rollback could not work.
        """
        self._enter(loader)
        try:
            going, rewound = True, False
            while going:
                going = rewound = yield from self._pass(loader, rewound)
        finally:
            self._open = False
            self.left()

    def on(self, trainer: Any) -> "Watch":
        """Watch what `trainer` trains, a Trainer of transformers or of Lightning; the watch itself comes back.

            w = watch(model, trusted=rows, signals=[SpanProbe(rows)]).on(trainer)
            trainer.train()

        Its data cannot be rewound: an alarm that asks for a rollback stops the training, and `resume` says how to go
        on from the last clean checkpoint without the suspect rows. Raises WatchError for what is no such trainer.
        """
        from darklantern.watch import attach

        attach.on(self, self._tap, trainer)
        return self

    def before(self, batch: Any) -> Turn:
        """A batch is about to be trained on: look if a look is due, react to what it shows, screen the batch.

        For loops that are not `for batch in watch.over(loader)`: adapters call this before each batch and `after`
        after each update, which may be made of several batches: there is one look before the first of them.
        Raises WatchError for a batch that the watch cannot read, and after a stop.
        """
        self._check_going()
        if (asked := self._heed(self._outside.asked())) is not Reaction.LOG:
            return Turn(None, asked)
        if self._training_since is not None:
            self._lap += time.perf_counter() - self._training_since
            self._training_since = None
        with self._on_the_clock():
            examples = self._tap.examples(batch)
            self._check_width(examples)
        if not self._started:
            self._start(examples)
        elif self._since and self.cadence.due(self.step) and self.step != self._looked:
            reaction = self._settle(examples)
            if reaction is not Reaction.LOG:
                return Turn(None, reaction)
        with self._on_the_clock():
            self._check_again(examples)
            kept = np.ones(len(examples), dtype=bool)
            if self.screen is not None:
                kept = ~self.screen.suspect(examples)
                self.screened_rows += int((~kept).sum())
                if not kept.all():
                    batch, examples = self._tap.keep(batch, kept), examples.take(kept)
            if self._spans is not None:
                self._fresh.append(examples.tokens)
            self._since += 1
            self._fed = True
        self._training_since = time.perf_counter()
        return Turn(batch if kept.any() else None)

    def after(self) -> None:
        """The update on what `before` handed out is done."""
        if self._training_since is None:
            return
        seconds = self._lap + time.perf_counter() - self._training_since
        self._training_since, self._lap = None, 0.0
        self.seconds_training += seconds
        self.step += 1
        self.cadence.stepped(seconds)
        self._outside.beat(self.step)

    def finish(self) -> Reaction:
        """The loop has ended: one more look at what it trained on since the last."""
        return self._settle(None) if self._since and self._started else Reaction.LOG

    def left(self) -> None:
        """The loop is over for now, by its end or an error; for adapters, as `before`."""
        self._outside.left(self.step)

    def roll_back(self) -> Screen:
        """Restore the last clean state; from then on leave out the examples suspected at the alarm.

        Raises WatchError, changing nothing, without an alarm, when no state is known to be clean, where the loop
        cannot be rewound, and when nothing stands out: then a person must look.
        """
        if self._tainted is None:
            raise WatchError("there is no alarm to roll back from", hint="wait for an alarm")
        if self._tap.rewinds:
            raise WatchError(f"the run cannot be rolled back: {self._tap.rewinds}", hint=self.resume or _STATE)
        alarm = self.alarms[-1]
        if alarm.clean is None:
            raise WatchError(self._none_clean(), hint="start again from a state that you trust, with a new watch")
        if alarm.screen is None:
            raise WatchError(_NOTHING, hint="stop and look at the rows; going on unscreened would train the same again")
        clean = alarm.clean
        agreeing.together(self._tap.ranks, lambda: self._tap.restore(clean.snapshot), "the rollback")
        looks = len(self.trace.steps) - alarm.clean.looks
        self.screen = alarm.screen if self.screen is None else together((self.screen, alarm.screen))
        if self._spans is not None:
            self._spans.forget(looks)
        self._looker.forget(looks)
        self._fresh.clear()
        self._since = 0
        self._states.back_to(alarm.clean)
        self.trace.cut(alarm.clean.looks)
        self.step = self._just_kept = self._looked = alarm.clean.step
        self.cadence.back_to(self.step)
        self._held = self._tainted = self._alarm_look = None
        self._above, self._stopped, self._rollbacks = frozenset(), "", self._rollbacks + 1
        self._say("rollback", f"screening {alarm.screen}")
        return self.screen

    def _enter(self, loader: Iterable[Any]) -> None:
        self._check_going()
        self._check_reactions(reactions.wanted(self._on_alarm))
        if self._open:
            raise WatchError(
                "a loop over this watch is still open; in two at once each would see half of the batches",
                hint="leave that loop first, or close() its iterator; one watch takes several probes",
            )
        if self._tap.loader is not None and loader is not self._tap.loader:
            raise WatchError(
                f"the watch was given another loader in `state` than this {type(loader).__name__}, "
                "so a rollback would not rewind this one",
                hint="call over() with the very loader of `state`; wrap over(), not the loader",
            )
        self._open = True

    def _check_going(self) -> None:
        if self._stopped:
            raise WatchError(
                f"the watch stopped this run at step {self.step}: {self._stopped}",
                hint="look at watch.alarms; then roll_back(), or go on from a state that you trust with a new watch",
            )

    def _start(self, examples: Examples) -> None:
        """Before the first step: every site must fire and every signal read a finite number.

        The state at attach is what probes compare with from then on.
        """
        self._outside.open()
        with self._on_the_clock() as clock:
            agreeing.look(self._tap.ranks, lambda: self._looker.look(self._now(examples)))
            self._keep()
            self.filer.begin()
        self.cadence.start(self.step, clock())
        self._started, self._looked = True, self.step

    def _pass(self, loader: Iterable[Any], rewound: bool) -> Generator[Any, None, bool]:
        """One pass over the loader. True when a rollback moved its cursor: then iterate it anew, `rewound`."""
        batches, drawn = iter(loader), False
        before = self._tap.cursor()  # after `iter`, at which some loaders draw the order of what comes
        while True:
            if (asked := self._heed(self._outside.asked())) is not Reaction.LOG:
                return asked is Reaction.ROLL_BACK
            looks = not self._started or bool(self._since and self.cadence.due(self.step))
            with self._on_the_clock():
                if looks:
                    self._hold(before)
                begun = before if not self._fed else self._tap.cursor() if looks else ""
            try:
                batch = next(batches)
            except StopIteration:
                if rewound and not drawn:  # the clean state was that at the end of a pass: go on with the one after it
                    return (yield from self._pass(loader, rewound=False))
                break
            drawn = True
            with self._on_the_clock():
                if not self._fed:
                    self._check_moves(before)
                # Two cursors a look: what moves the loader behind the watch's back must not go unseen.
                before = self._tap.cursor() if self.cadence.due(self.step + 1) else ""
            turn = self._turn(batch, begun)
            if turn.reaction is not Reaction.LOG:
                return turn.reaction is Reaction.ROLL_BACK
            rollbacks = self._rollbacks
            try:
                if turn.batch is not None:
                    yield turn.batch
            finally:
                if self._rollbacks == rollbacks:
                    self.after()
            if self._rollbacks != rollbacks:
                return True  # rolled back within the loop's body
        if not self._fed:
            raise WatchError(
                "the loader gave no batch, so nothing was watched",
                hint="it may stand at its end; restore it, or make a fresh one for this watch",
            )
        return self.finish() is Reaction.ROLL_BACK

    def _turn(self, batch: Any, begun: str) -> Turn:
        """As `before`; a batch that is not trained on goes back to the loader."""
        try:
            turn = self.before(batch)
        except BaseException:
            self._tap.go_to(begun)
            raise
        if turn.reaction is Reaction.STOP:
            self._tap.go_to(begun)
        return turn

    # a look

    def _settle(self, fresh: Examples | None) -> Reaction:
        """Look, judge, react. LOG means: go on."""
        started = time.perf_counter()
        self._tap.wait()
        self.seconds_training += time.perf_counter() - started
        step = self.step
        with self._on_the_clock() as clock:
            if self._held is None:
                self._hold("")
            try:
                raised = self._look(fresh)
            except Exception as error:  # noqa: BLE001 - whatever went wrong in a look must not break the run
                failure: Exception | None = error
            else:
                failure = None
                if raised is None:
                    self._keep()
        self.cadence.looked(step, clock())
        if failure is not None:
            return self._failed(failure)
        taken = None if raised is None else self._take(raised)
        reaction = Reaction.LOG if raised is None else self._react(raised)
        if taken is not None:
            self._file(taken)
        if raised is not None and reaction is Reaction.LOG:
            self._keep()
        self._on_look(self)
        return reaction if reaction is not Reaction.LOG else self._heed(self._outside.together())

    def _look(self, fresh: Examples | None) -> Alarm | None:
        """One look, and the alarm that it raises. One that fails leaves everything as it was before it."""
        if self._spans is not None:
            self._spans.add(self._fresh)
        try:
            looked = agreeing.look(self._tap.ranks, lambda: self._looker.look(self._now(fresh)))
        except BaseException:
            if self._spans is not None:
                self._spans.forget(1)
            raise
        self._fresh = []
        self._since = 0
        self._looked = self.step
        self.trace.add(self.step, looked)
        return self._judge()

    def _failed(self, error: Exception) -> Reaction:
        """A look went wrong: the run itself is whole, and what comes next is for a person to say."""
        self._held = None
        self._looked = self.step
        self._say("failure", f"the look at step {self.step} failed: {error}")
        if self.settings.on_failure == "go on":
            return Reaction.LOG
        if self.settings.on_failure == "raise" or not self._outside.can_ask:
            raise error
        return self._pause(f"the look failed: {error}")

    def _take(self, alarm: Alarm) -> Taken | None:
        """What a finding needs from before the reaction."""
        try:
            return self.filer.take(self, alarm, self._spans)
        except Exception as error:  # noqa: BLE001 - the weights' writer is the user's: the reaction must come anyway
            self._say("not filed", f"the finding of the alarm at step {alarm.step}: {_why(error)}")
            return None

    def _file(self, taken: Taken) -> None:
        """Hand over the finding. A keeper that fails is said: the finding stays in `findings`, the loop goes on."""
        try:
            filed = self.filer.file(self, taken)
            self.findings.append(filed)
            if self.filer.filing is not None and self._tap.ranks.rank == 0:
                self.filer.filing.keep(filed)
        except Exception as error:  # noqa: BLE001 - a keeper is the user's: a full library must not end the run
            self._say("not filed", f"the finding of the alarm at step {taken.alarm.step}: {_why(error)}")

    def _now(self, fresh: Examples | None) -> Now:
        return Now(self.step, self._trusted, fresh, self._spans)

    def _judge(self) -> Alarm | None:
        standing, looks = self.trace.standing(), len(self.trace.steps)
        self._above &= {each.channel for each in standing}
        risen = next((each for each in standing if each.channel not in self._above), None)
        if risen is None or (self._alarm_look is not None and looks - self._alarm_look < self.settings.cooldown):
            return None
        self._above |= {each.channel for each in standing}
        clean = self._states.clean(self._clean_looks(risen.channel))
        since = max(1, looks - (clean.looks if clean else 0))
        suspects = tuple(self._spans.candidates(8, since, least=SUSPICIOUS)) if self._spans is not None else ()
        suspects = agreeing.suspects(self._tap.ranks, suspects)
        screen = SpanScreen(suspects) if suspects else None
        return Alarm(
            self.step,
            risen.signal,
            risen.statistic,
            risen.threshold,
            clean,
            suspects,
            screen,
            risen.says,
            risen.channel,
        )

    def _react(self, alarm: Alarm) -> Reaction:
        """What the loop is to do: go on (LOG), draw anew (ROLL_BACK), or end (STOP)."""
        self._alarm_look = len(self.trace.steps)
        self._tainted = self._clean_looks(alarm.channel)
        self.alarms.append(alarm)
        self._say("alarm", str(alarm))
        rollbacks = self._rollbacks
        asked = self.asked = agreeing.chosen(
            self._tap.ranks,
            lambda: reactions.chosen(self._on_alarm, alarm),
            lambda: self._rollbacks != rollbacks,
        )
        if self._rollbacks != rollbacks:
            return Reaction.ROLL_BACK  # on_alarm did it itself
        self._outside.beat(self.step, str(alarm))
        for reaction in asked:
            if isinstance(reaction, Notify):
                self._notify(reaction, alarm)
            elif isinstance(reaction, Ablate):
                self._ablations.append(self._tap.ablate(reaction.edits))
                self._say("ablate", ", ".join(map(str, reaction.edits)))
            elif reaction is Reaction.CHECKPOINT:
                self._checkpoint(alarm)
        if asked[-1] is Reaction.STOP:
            return self._stop("on_alarm asked for it")
        if asked[-1] is Reaction.ROLL_BACK:
            return self._roll_back_or_stop(alarm, rollbacks)
        return self._pause(str(alarm)) if asked[-1] is Reaction.PAUSE else Reaction.LOG

    def _notify(self, reaction: Notify, alarm: Alarm) -> None:
        notices = Notices(reaction.places)
        data = "; ".join(map(str, alarm.suspects))
        notices.send(Note(run=self._outside.name or "run", step=self.step, text=str(alarm), data=data))
        self._notices.append(notices)

    def _checkpoint(self, alarm: Alarm) -> None:
        """Both states into the run's folder. A disk that is full must not break the run: it is said."""
        ranks = self._tap.ranks
        folder = self._outside.folder
        if ranks.count > 1 and self._outside.can_ask:  # each has its own cursor and streams, and often its own pieces
            folder = Path(ranks.gather(str(folder))[0])
        if folder is None:
            return
        rank = f"-rank{ranks.rank}" if ranks.count > 1 else ""
        for tag, kept in (("clean", alarm.clean), ("alarm", self._held)):
            if kept is None or kept.snapshot is None:
                self._say("checkpoint", f"there is no {tag} state to write")
                continue
            path = folder / "checkpoints" / f"{alarm.step:08d}-{tag}-{kept.step:08d}{rank}.safetensors"
            try:
                path.parent.mkdir(exist_ok=True)
                self._say("checkpoint", f"{path.name}, SHA-256 {self._tap.save(kept.snapshot, path)}")
            except (DarkLanternError, OSError) as error:
                self._say("failure", f"{path.name} was not written: {error}")

    # what people ask for

    def _heed(self, commands: Sequence[Command]) -> Reaction:
        """Do what was asked from outside; LOG means: go on."""
        for command in commands:
            if command.do == "pause":
                self._outside.answer(command, self.step, "paused")
                reaction = self._pause(f"{command.user} asked for a pause: {command.why}")
            else:
                reaction = self._obey(command)
            if reaction is not Reaction.LOG:
                return reaction
        return Reaction.LOG

    def _pause(self, why: str) -> Reaction:
        """Wait for a person. What they say that cannot be done is answered, and the wait goes on."""
        if not self._outside.can_ask:
            return self._stop(f"nobody could answer a pause, since the watch was given no run: {why}")
        self._say("pause", why)
        while True:
            command = self._outside.wait(self.step, why, str(self.alarms[-1]) if self.alarms else None)
            if command.do == "go on":
                self._outside.answer(command, self.step, "training goes on")
                self._say("go on", f"{command.user}: {command.why}")
                return Reaction.LOG
            if (reaction := self._obey(command)) is not Reaction.LOG:
                return reaction

    def _obey(self, command: Command) -> Reaction:
        if command.do == "stop":
            self._outside.answer(command, self.step, f"stopped at step {self.step}")
            return self._stop(f"{command.user} asked for it: {command.why}")
        if command.do != "roll back":
            self._outside.answer(command, self.step, "the run does not wait for it", done=False)
            return Reaction.LOG
        try:
            self.roll_back()
        except DarkLanternError as error:
            self._outside.answer(command, self.step, error.message, done=False)
            self._say("failure", f"{command.user} asked for a rollback: {error.message}")
            return Reaction.LOG
        self._outside.answer(command, self.step, f"training goes on from step {self.step}")
        return Reaction.ROLL_BACK

    def _roll_back_or_stop(self, alarm: Alarm, rollbacks: int) -> Reaction:
        """Fail closed: going on blind would train the same thing again."""
        if self._tap.rewinds:
            return self._stop(f"no rollback: {self._tap.rewinds}")
        if rollbacks >= self.settings.rollbacks:
            return self._stop(f"{rollbacks} rollbacks did not hold; a person must look")
        if alarm.clean is None:
            return self._stop(self._none_clean())
        if alarm.screen is None:
            return self._stop(_NOTHING)
        self.roll_back()
        return Reaction.ROLL_BACK

    def _stop(self, why: str) -> Reaction:
        self._stopped = why
        self._say("stop", why)
        return Reaction.STOP

    def _none_clean(self) -> str:
        return (
            f"no state is known to be clean: none was kept {self.settings.margin} looks before the statistic "
            f"was last at or below {self.settings.quiet:.0%} of its threshold"
        )

    def _clean_looks(self, *channels: str) -> int:
        """States with up to so many looks before them are from before a rise in `channels` (all); −1 if none is."""
        each = channels or self.trace.channels
        last = min(
            detectors.rise_began(self.trace.curve(name), self.settings.quiet * self.trace.limits[name].value)
            for name in each
        )
        found = -1 if last < 0 else last + 1 - self.settings.margin
        return found if self._tainted is None else min(found, self._tainted)

    # states

    def _hold(self, before: str) -> None:
        """Take the state as it is, with the loader's cursor from before the next batch is drawn."""
        if before and before != self._tap.cursor():
            raise WatchError(
                f"the loader moved while its batch of step {self.step - 1} was trained on",
                hint="draw batches from over() only, in one loop; one watch takes several probes",
            )
        snapshot = self._tap.snapshot(self.step) if self._tap.keeps else None
        self._held = Kept(self.step, len(self.trace.steps), snapshot)

    def _keep(self) -> None:
        """The held state joins those that a rollback may go to."""
        if self._held is None:
            self._hold("")
        assert self._held is not None
        kept = Kept(self.step, len(self.trace.steps), self._held.snapshot)
        self._held = None
        self._states.add(kept, self._clean_looks())
        self._just_kept = kept.step
        self._after = {step: rows for step, rows in self._after.items() if step in self._states.steps}

    # what a loop may not do

    def _check_width(self, examples: Examples) -> None:
        trusted = self._trusted.examples
        if examples.inputs.shape[1:] != trusted.inputs.shape[1:] and not (examples.are_tokens and trusted.are_tokens):
            raise WatchError(
                f"a batch has examples {examples.inputs.shape[1:]}, the trusted ones are {trusted.inputs.shape[1:]}",
                hint="trusted examples have the shape of the loader's",
            )

    def _check_moves(self, before: str) -> None:
        if before and self._tap.cursor() == before:
            raise WatchError(
                "the loader's state() is the same before and after a batch, so a rollback could not rewind it",
                hint="count a batch in state() before it is handed out, and say all that decides the next one",
            )

    def _check_again(self, examples: Examples) -> None:
        """After a rollback the loader must give what it gave the first time."""
        if self._just_kept is None:
            return
        found = hash(examples.inputs.tobytes())
        if self._after.setdefault(self._just_kept, found) != found:
            raise WatchError(
                f"after the rollback to step {self._just_kept} the loader gave another batch than the first time",
                hint="restore(state) must also hold for the next iteration over the loader, and decide its order",
            )
        self._just_kept = None

    def _check_reactions(self, wanted: Sequence[Chosen]) -> None:
        """What needs a folder, where a person could answer or find something, is refused without one."""
        for reaction in wanted:
            if reaction in (Reaction.PAUSE, Reaction.CHECKPOINT) and not self._outside.can_ask:
                raise WatchError(
                    f"{reaction} needs the folder of a run, and the watch was given none",
                    hint='watch(..., run="runs/x"), or run="x" for one in your state folder',
                )

    def _say(self, label: str, text: str) -> None:
        self.events.append(Event(step=self.step, label=label, text=text))
        LOG.log(logging.INFO if label in ("uncalibrated", "rollback") else logging.WARNING, "%s: %s", label, text)

    @contextmanager
    def _on_the_clock(self) -> Iterator[Callable[[], float]]:
        started = time.perf_counter()
        try:
            yield lambda: time.perf_counter() - started
        finally:
            self.seconds_looking += time.perf_counter() - started


_STATE = "state=(optimizer, loader), and a loader that can be rewound: darklantern.rewindable(dataset, batch_size=...)"
_NOTHING = "nothing of the new rows stands out, so there is nothing to screen"


def _why(error: Exception) -> str:
    return error.message if isinstance(error, DarkLanternError) else repr(error)


def _counter(trusted: Examples, history: int) -> SpanCounter | None:
    if not trusted.are_tokens:
        return None
    rows = trusted.tokens
    if not len(rows) or rows.shape[1] < GRAM:
        raise WatchError(
            f"expected trusted rows of at least {GRAM} tokens, got {len(rows)} rows of {rows.shape[1]}",
            hint="give rows of text that you know to be harmless, as wide as the loader's",
        )
    return SpanCounter(rows, history)
