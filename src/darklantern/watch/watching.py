"""The watch over a training loop: hands out its batches, looks between them, goes back where that is asked."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darklantern.drawing.lettering import harmless
from darklantern.errors import WatchError
from darklantern.files import write_whole
from darklantern.records.findings import Event
from darklantern.watch import agreeing
from darklantern.watch.alarms import Alarm
from darklantern.watch.answering import NOTHING, Answers, none_clean
from darklantern.watch.attach.tap import Tap
from darklantern.watch.batches import Batch, InHand
from darklantern.watch.budget import Cadence
from darklantern.watch.casebook import Casebook
from darklantern.watch.clock import Clock
from darklantern.watch.examples import Examples
from darklantern.watch.filing import Filed, Filer, Filing
from darklantern.watch.going_on import Earlier
from darklantern.watch.inquiring import Investigated, Investigation
from darklantern.watch.keeping import Keeper
from darklantern.watch.observing import Observer
from darklantern.watch.outside import Outside
from darklantern.watch.passes import Passes
from darklantern.watch.probes import Probe
from darklantern.watch.reactions import Chosen, Notify, OnAlarm, Reaction, wanted
from darklantern.watch.resume_lines import explain
from darklantern.watch.screening import Screen, any_of
from darklantern.watch.sentry import Sentry
from darklantern.watch.settings import Settings
from darklantern.watch.trace import Trace
from darklantern.watch.viewing import unjudged, view

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
    investigate: Sequence[Investigation] = ()
    data: str = ""
    """hash of what is trained on; empty where it is not known"""
    filing: Filing | None = None
    run: str | Path | None = None
    hang_after: float | None = None
    earlier: Callable[["Watch"], Earlier | None] = lambda watch: None
    """what an earlier process saw of the run, where this one goes on with it"""


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
        self.rollbacks = 0
        self.went_on = False
        """whether it took up the looks of an earlier process"""
        self.resume = ""
        """the lines that go on from before the rise, without the suspects, in another process: once a trainer was
        stopped, whose data cannot be rewound, or a loop of a run was, or a checkpoint was written"""
        self.filer = Filer(parts.filing, tap, tuple(parts.probes), parts.trusted, parts.data, parts.seed)
        self._casebook = Casebook(self, self.filer, parts.investigate)
        self._clock = Clock()
        self._tap = tap
        self._observer = Observer(tap, parts.probes, parts.trusted, parts.trace, settings, parts.seed)
        self._keeper = Keeper(tap, settings.states, settings.margin)
        places = [place for each in wanted(parts.on_alarm) if isinstance(each, Notify) for place in each.places]
        self._outside = Outside(parts.run, tap.ranks, self.say, parts.hang_after, places)
        self._answers = Answers(self, tap, self._outside, parts.on_alarm, settings)
        self._answers.check_attached()
        self._passes = Passes()
        self._in_hand = InHand()
        self._sentry = Sentry(
            run=self,
            tap=tap,
            observer=self._observer,
            keeper=self._keeper,
            outside=self._outside,
            answers=self._answers,
            casebook=self._casebook,
            clock=self._clock,
            passes=self._passes,
            on_look=parts.on_look,
            explain=lambda watch: None if self._on_trainer else explain(watch, tap),
            earlier=parts.earlier,
        )
        self._open = self._fed = False
        self._rewound = False
        """since the last batch was drawn"""
        self._on_trainer = False
        self._own_loop = ""
        """why a loop that calls `before` itself cannot be rolled back"""
        self._sentry.say_uncalibrated()
        self._no_rollback_said = False
        if tap.rewinds and tap.keeps:
            self._say_no_rollback()
        elif tap.rewinds:  # without a state it may be handed to a trainer yet, which has a reason of its own
            self._keeper.few()
        if tap.keeps and (said := self._keeper.check_room()):
            self.say("states", said)

    def __repr__(self) -> str:
        shown = self.trace.shown
        looks, judged_from = len(self.trace.steps), {name: self.trace.judged_from[name] for name in shown}
        judged = {name: track.statistic for name, track in shown.items() if looks and looks >= judged_from[name]}
        last = ", ".join(f"{name} {statistic[-1]:+.1f}" for name, statistic in judged.items())
        waits = unjudged(looks, judged_from)
        channels = [name for name in self.trace.channels if name == "joint" or name in shown]
        limits = ", ".join(f"{name} {self.trace.limits[name].value:.1f}" for name in channels)
        said = "; ".join(f"alarm at {alarm}" for alarm in self.alarms) or "no alarm"
        return harmless(
            f"watch at step {self.step}, {len(self.trace.steps)} looks, {said}; threshold {limits}"
            f"{' (uncalibrated)' if self.trace.uncalibrated else ''}{'; ' if last else ''}{last}"
            f"{'; ' if waits else ''}{waits}"
        )

    @property
    def alarm(self) -> Alarm | None:
        """The first alarm."""
        return self.alarms[0] if self.alarms else None

    @property
    def asked(self) -> list[Chosen]:
        """What was agreed to do about the newest alarm, mildest first."""
        return self._answers.chosen

    @property
    def investigated(self) -> list[tuple[Alarm, list[Investigated]]]:
        """What `investigate` found at each alarm."""
        return self._casebook.investigated

    @property
    def findings(self) -> list[Filed]:
        """Of each alarm, where `on_finding` asks for them."""
        return self._casebook.findings

    @property
    def folder(self) -> Path | None:
        """Where the files of its `run` lie, once it began; None without a run, and on all ranks but the first."""
        return self._outside.folder

    @property
    def digests(self) -> Mapping[str, str]:
        """Signal → hash of what its readings come from, for `calibrate`. Held-out monitors are not among them."""
        return {name: digest for name, digest in self.trace.digests.items() if name in self.trace.shown}

    @property
    def overhead(self) -> float:
        """Time that the watch takes in the loop, as a share of the time spent in the user's loop body."""
        return self._clock.overhead

    @property
    def seconds_looking(self) -> float:
        """Time that the watch took in the loop."""
        return self._clock.looking

    @property
    def seconds_training(self) -> float:
        """Time spent in the user's loop body."""
        return self._clock.training

    @property
    def stopped(self) -> str:
        """Why the watch ended the loop; empty while it has not."""
        return self._answers.stopped

    @property
    def rewinds(self) -> str:
        """Empty where a rollback can put everything back; otherwise what stands in its way."""
        return self._tap.rewinds or self._own_loop

    @property
    def notes(self) -> list[tuple[Probe, Any]]:
        """What each probe noted at the newest look: of a SpanProbe, for instance, what inserting each span does.

        Held-out monitors are not among them.
        """
        noted = self._observer.looker.notes
        return [(probe, note) for probe, note in noted if not any(signal.held_out for signal in probe.signals)]

    @property
    def first_notes(self) -> Mapping[int, Any]:
        """What probes noted at the first look and hold later ones against, by their numbers, for the run's record."""
        return self._observer.looker.first

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

    def say(self, label: str, text: str) -> None:
        """Note something that happened at this step, and log it: line by line, without what a terminal obeys."""
        text = "\n".join(map(harmless, text.split("\n")))
        self.events.append(Event(step=self.step, label=label, text=text))
        level = logging.INFO if label in _INFORMS else logging.WARNING
        LOG.log(level, "%s: %s", label, text)

    # the loop

    def over(self, loader: Iterable[Any], *, until: int | None = None) -> Iterator[Any]:
        """Yield `loader`'s batches; look, and react, between them, and once more when they end, or at step `until`.

        A batch that was handed out counts as a step, also when `break` or an exception ends the loop
        there; calling `over` again goes on from it. Nothing is looked at there, since it may: `finish()` takes the last
        look of a loop that was left by `break`. After a rollback the loader stands where the clean
        state was taken, and batches come without the suspect examples (in JAX with clean ones in their places, since
        each shape would be compiled anew); one that loses all is skipped.

        In a loop over epochs that calls `over` in each, a rollback into an earlier epoch is made up in the call under
        way: it gives the rest of that epoch, and those up to its own, so that all planned batches are trained. What
        such a loop does between epochs is its own, and not done again.

        Raises WatchError after a stop, and for a loop in which a rollback could not work.
        """
        self._enter(loader)
        self._passes.ask()
        try:
            while self._passes.left:
                if not (yield from self._pass(loader, until)):
                    break
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

        self._answers.check(trainer=True)
        attach.on(self, self._tap, trainer)
        self._on_trainer = True
        return self

    def before(self, batch: Any) -> Turn:
        """A batch is about to be trained on: look if a look is due, react to what it shows, screen the batch.

        For loops that are not `for batch in watch.over(loader)`: adapters call this before each batch and `after`
        after each update, which may be made of several batches: there is one look before the first of them. When the
        loop ends they call `finish`, for the last look, and `left`.
        Raises WatchError for a batch that the watch cannot read, and after a stop.
        """
        self._check_going()
        self._answers.training.is_open = False
        if not self._sentry.started:
            self._answers.check(self._on_trainer)
        if not self._open and not self.rewinds:
            self._own_loop = "the loop draws its batches itself, so nobody knows where the loader stood before one"
        if self.rewinds and not self._on_trainer and not self._no_rollback_said:
            self._say_no_rollback()
        self._clock.taken_back()
        if (asked := self._answers.heed()) is not Reaction.LOG:
            return Turn(None, asked)
        return self._seen(Batch(batch, self._tap))

    def _seen(self, batch: Batch) -> Turn:
        """Look if a look is due, screen the batch, hand it out."""
        due = self._sentry.started and self._sentry.due and self.step != self._observer.looked
        if due or not self._sentry.started:
            with self._clock.looks():
                self._observer.check(batch.examples)
        if not self._sentry.started:
            self._sentry.start(batch.examples)
            due = self._sentry.due and self.step != self._observer.looked  # one that an earlier process left
        if due:
            screen, left = self.screen, self._screened(batch)
            reaction = self._sentry.settle(batch.examples.take(slice(0)) if left is None else left.examples)
            if reaction is not Reaction.LOG:
                return Turn(None, reaction)
        with self._clock.looks():
            if self._keeper.expects:
                self._keeper.check_again(batch.examples)
            if not due or self.screen is not screen:  # once for each batch: a screen may learn as it judges
                left = self._screened(batch)
            if left is not None:
                self._observer.take(lambda: left.examples, left.later)
                self._tap.handed_out()
            else:
                self._observer.skip()
            self._fed = True
        self._answers.training.is_open = True
        self._clock.handed_out()
        return Turn(None if left is None else left.given)

    def _screened(self, batch: Batch) -> Batch | None:
        """The batch without suspects; None where nothing is left."""
        if self.screen is None:
            return batch
        self._observer.check(batch.examples)
        kept = ~self.screen.suspect(batch.examples)
        self.screened_rows += int((~kept).sum())
        return batch.only(kept)

    def ran(self) -> None:
        """The batch in hand was run, and what comes next is no training: for adapters whose updates take several.

        A validation in the middle of an update must see the model without preventative edits.
        """
        self._answers.training.is_open = False

    def after(self) -> None:
        """The update on what `before` handed out is done."""
        self._answers.training.is_open = False
        if (seconds := self._clock.stepped()) is None:
            return
        self.step += 1
        self.cadence.stepped(seconds)
        self._outside.beat(self.step)

    def finish(self) -> Reaction:
        """The loop has ended: one more look at what it trained on since the last. `over` does it at its own end.

        ROLL_BACK: the state is an earlier one, and the loop should go on; STOP: the run was stopped.
        """
        return self._sentry.settle(None) if self._observer.since and self._sentry.started else Reaction.LOG

    def left(self) -> None:
        """The loop is over for now, by its end or an error; for adapters, as `before`."""
        self._answers.training.is_open = False
        self._answers.say_standing()
        self._sentry.say_unjudged()
        self._outside.left(self.step)
        self._answers.tell(NOTICES_S)

    def lift(self) -> None:
        """Take out of the model what `Ablate` put in: it computes what its weights say. On each rank that trains."""
        if lifted := self._answers.lift():
            self.say("lifted", lifted)

    def close(self) -> None:
        """The run is over: nothing of the watch stays in the model, its folder is free for another, its watchdog goes.

        Folder and watchdog end with the process anyway; what was ablated stays until here, or until `lift`.
        """
        self.lift()
        self._sentry.say_unjudged()
        self._outside.close(self.step)

    def roll_back(self) -> Screen:
        """Restore the last clean state; from then on leave out the examples suspected at the alarm.

        Raises WatchError, changing nothing, without an alarm, when no state is known to be clean, where the loop
        cannot be rewound, and when nothing stands out: then a person must look.
        """
        if self._observer.tainted is None:
            raise WatchError("there is no alarm to roll back from", hint="wait for an alarm")
        if self.rewinds:
            raise WatchError(f"the run cannot be rolled back: {self.rewinds}", hint=self.resume or _STATE)
        alarm = self.alarms[-1]
        if alarm.clean is None:
            raise WatchError(
                none_clean(self.settings), hint="start again from a state that you trust, with a new watch"
            )
        if alarm.screen is None:
            raise WatchError(NOTHING, hint="stop and look at the rows; going on unscreened would train the same again")
        clean = alarm.clean
        agreeing.together(self._tap.ranks, lambda: self._tap.restore(clean.snapshot), "the rollback")
        self.screen = alarm.screen if self.screen is None else any_of((self.screen, alarm.screen))
        self._observer.back_to(clean)
        self._keeper.back_to(clean)
        self.cadence.back_to(clean.step)
        self.step = clean.step
        self._passes.back_to(clean.passes)
        self._rewound = True
        self._answers.stopped = ""
        self._answers.lift()
        self.rollbacks += 1
        ahead = self._passes.left - 1
        said = f"; the loop's own count of epochs is {ahead} ahead, until this one ends" if ahead > 0 else ""
        self.say("rollback", f"screening {alarm.screen}{said}")
        return self.screen

    def _enter(self, loader: Iterable[Any]) -> None:
        self._check_going()
        self._answers.check()
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
        if self.rewinds and not self._no_rollback_said:
            self._say_no_rollback()
        self._open = True

    def _check_going(self) -> None:
        if self.stopped:
            raise WatchError(
                f"the watch stopped this run at step {self.step}: {self.stopped}",
                hint="look at watch.alarms; then roll_back(), or go on from a state that you trust with a new watch",
            )

    def _say_no_rollback(self) -> None:
        self._keeper.few()
        self._no_rollback_said = True
        self.say("no rollback", f"{self.rewinds}; an alarm that asks for one stops the loop instead")

    def _pass(self, loader: Iterable[Any], until: int | None) -> Generator[Any, None, bool]:
        """What is left of one pass over the loader. False where the loop is to end; after a rollback, and at the end of
        the pass, there may be more."""
        batches = self._in_hand.then(loader, self._tap.cursor)
        before = self._tap.cursor()  # after `iter`, at which some loaders draw the order of what comes
        while True:
            # Here, where no batch is in hand that a stop would lose.
            if (asked := self._answers.heed()) is not Reaction.LOG:
                return asked is Reaction.ROLL_BACK
            if until is not None and self.step >= until:
                return self.finish() is Reaction.ROLL_BACK
            looks = not self._sentry.started or self._sentry.due
            if looks and (asked := self._sentry.hold(before) or Reaction.LOG) is not Reaction.LOG:
                return asked is Reaction.ROLL_BACK
            with self._clock.looks():
                begun = before if not self._fed else self._tap.cursor() if looks else ""
            try:
                batch = next(batches)
            except StopIteration:
                break
            self._rewound = False
            with self._clock.looks():
                if not self._fed:
                    self._keeper.check_moves(before)
                # Two cursors a look: what moves the loader behind the watch's back must not go unseen.
                before = self._tap.cursor() if self.cadence.due(self.step + 1) else ""
            turn = self._turn(batch, begun, loader)
            if turn.reaction is not Reaction.LOG:
                return turn.reaction is Reaction.ROLL_BACK
            rollbacks = self.rollbacks
            try:
                if turn.batch is not None:
                    yield turn.batch
            finally:
                if self.rollbacks == rollbacks:
                    self.after()
            if self.rollbacks != rollbacks:
                return True  # rolled back within the loop's body
        if self._rewound:
            self._rewound = False
            return True  # the clean state was that at the end of a pass, which is counted: now the one after it
        if not self._fed:
            raise WatchError(
                "the loader gave no batch, so nothing was watched",
                hint="it may stand at its end; restore it, or make a fresh one for this watch",
            )
        self._passes.end()
        return self.finish() is not Reaction.STOP

    def _turn(self, batch: Any, begun: str, loader: Iterable[Any]) -> Turn:
        """As `before`; a batch that is not trained on goes back to the loader, or comes first in its next pass."""
        try:
            turn = self._seen(Batch(batch, self._tap))
        except BaseException:
            if begun:
                self._tap.go_to(begun)
            else:
                self._in_hand.hold(batch, loader, self._tap.cursor())
            raise
        if turn.reaction is Reaction.STOP:
            self._tap.go_to(begun)
        return turn


_INFORMS = frozenset({"uncalibrated", "signals", "goes on", "rollback", "states", "told"})
NOTICES_S = 5.0
"""that notices may take after the loop, before a process that ends would take them along"""
_STATE = "state=(optimizer, loader), and a loader that can be rewound: darklantern.rewindable(dataset, batch_size=...)"
