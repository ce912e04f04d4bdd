"""The watch over a training loop: hands out its batches, looks between them, goes back where that is asked."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darklantern.drawing.lettering import harmless
from darklantern.errors import WatchError
from darklantern.files import write_whole
from darklantern.records.findings import Event
from darklantern.watch.alarms import Alarm
from darklantern.watch.answering import Answers
from darklantern.watch.attach.tap import Tap
from darklantern.watch.batches import Batch, InHand
from darklantern.watch.beside import Beside
from darklantern.watch.budget import Cadence
from darklantern.watch.casebook import Casebook
from darklantern.watch.clock import Clock
from darklantern.watch.examples import Examples
from darklantern.watch.filing import Filed, Filer, Filing
from darklantern.watch.going_back import GoingBack
from darklantern.watch.going_on import Earlier
from darklantern.watch.inquiring import Investigated, Investigation
from darklantern.watch.keeping import Keeper
from darklantern.watch.observing import Observer
from darklantern.watch.onlookers import Each
from darklantern.watch.outside import Outside
from darklantern.watch.passes import Passes
from darklantern.watch.probes import Probe
from darklantern.watch.reactions import Chosen, OnAlarm, Reaction, places
from darklantern.watch.resume_lines import explain
from darklantern.watch.screening import Screen
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
    on_look: Each = field(default_factory=Each)
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
        self._tap, self._beside, self._clock, self._passes = tap, Beside(tap), Clock(), Passes()
        self._casebook = Casebook(self, self.filer, parts.investigate, self._beside)
        self._observer = Observer(tap, parts.probes, parts.trusted, parts.trace, settings, parts.seed)
        self._in_hand = InHand()
        self._keeper = Keeper(tap, settings.states, settings.margin, self._in_hand)
        self._outside = Outside(parts.run, tap.ranks, self.say, parts.hang_after, places(parts.on_alarm))
        self._answers = Answers(self, tap, self._outside, parts.on_alarm, settings, self._beside)
        self._answers.check_attached()
        self._back = GoingBack(self, tap, self._observer, self._keeper, self._passes, self._answers, self._beside)
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
            beside=self._beside,
            on_look=parts.on_look,
            explain=lambda watch: None if self._on_trainer else explain(watch, tap),
            earlier=parts.earlier,
        )
        self._open = self._fed = self._on_trainer = False
        self._sentry.say_uncalibrated()
        self._back.attached()

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
    def checkpoints(self) -> Mapping[str, Path]:
        """Where CHECKPOINT wrote the states of the newest alarm on this rank: "clean" and "alarm" → file."""
        return dict(self._answers.checkpoints)

    @property
    def stopped(self) -> str:
        """Why the watch ended the loop, or what must be done before it goes on; empty while there is nothing."""
        return self._answers.stopped or self._back.unfinished

    @property
    def rewinds(self) -> str:
        """Empty where a rollback can put everything back; otherwise what stands in its way."""
        return self._back.barred

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
        there; calling `over` again goes on from it, and first finishes what followed an alarm and was cut off. Nothing
        is looked at at a `break`: `finish()` takes the last look of a loop that was left by it. After a rollback the
        loader stands where the clean state was taken, and batches come without the suspect examples (in JAX with clean
        ones in their places, since each shape would be compiled anew); one that loses all is skipped.

        In a loop over epochs that calls `over` in each, a rollback into an earlier epoch is made up in the call under
        way: it gives the rest of that epoch, and those up to its own, so that all planned batches are trained. What
        such a loop does between epochs is its own, and not done again.

        Raises WatchError after a stop, for a loop in which a rollback could not work, and with a run after `close`.
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
        Raises WatchError for a batch that the watch cannot read, after a stop, and with a run after `close`.
        """
        self._beside.over()
        self._check_going()
        self._answers.training.is_open = False
        if not self._sentry.started:
            self._answers.check(self._on_trainer)
        if not self._open and not self.rewinds:
            self._back.own_loop = "the loop draws its batches itself, so nobody knows where the loader stood before one"
        if not self._on_trainer:
            self._back.say_barred()
        self._clock.taken_back()
        if (asked := self._asked()) is not Reaction.LOG:
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

        ROLL_BACK: the state is an earlier one, and the loop should go on; STOP: the run was stopped, at this look or
        before. Raises WatchError where there is something to look at in a run that was closed, or stands half way.
        """
        if self._back.unfinished:
            self._check_going()
        if (cut_off := self._sentry.answer()) is not Reaction.LOG:
            return cut_off
        if self.stopped:
            return Reaction.STOP
        if not self._observer.since or not self._sentry.started:
            return Reaction.LOG
        self._check_open()
        return self._sentry.settle(None)

    def left(self) -> None:
        """The loop is over for now, by its end or an error; for adapters, as `before`."""
        self._beside.over()
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

        Folder and watchdog end with the process anyway; what was ablated stays until here, or until `lift`. What it saw
        stays to be read; with a run no loop goes on.
        """
        self.lift()
        self._sentry.say_unjudged()
        self._outside.close(self.step)

    def roll_back(self) -> Screen:
        """Restore the last clean state; from then on leave out the examples suspected at the alarm.

        For the loop's body, or after the loop; a function in `on_alarm` returns Reaction.ROLL_BACK.
        Raises WatchError, changing nothing, without an alarm, when no state is known to be clean, where the loop
        cannot be rewound, when nothing stands out (then a person must look), and from within what only looks. One that
        fails or is cut off after that leaves the watch `stopped`, until another call comes to its end.
        """
        return self._back()

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
        self._back.say_barred()
        self._open = True

    def _check_going(self) -> None:
        if self.stopped:
            raise WatchError(
                f"the watch stopped this run at step {self.step}: {self.stopped}",
                hint="look at watch.alarms; then roll_back(), or go on from a state that you trust with a new watch",
            )
        self._check_open()

    def _check_open(self) -> None:
        """Never half a watch: without its folder nothing would be written, and nobody could be asked."""
        if self._outside.closed:
            raise WatchError(
                "the watch was closed, and with it its run's folder",
                hint="close() comes after the last loop; a new watch(..., run=..., step=..., goes_on=True) goes on",
            )

    def _asked(self) -> Reaction:
        """What comes before the next batch: an alarm whose answer was cut off, and words from outside."""
        answered = self._sentry.answer()
        return self._answers.heed() if answered is Reaction.LOG else answered

    def _pass(self, loader: Iterable[Any], until: int | None) -> Generator[Any, None, bool]:
        """What is left of one pass over the loader. False where the loop is to end; after a rollback, and at the end of
        the pass, there may be more."""
        batches = self._in_hand.then(loader, self._tap.cursor)
        before = self._tap.cursor()  # after `iter`, at which some loaders draw the order of what comes
        while True:
            # Here, where no batch is in hand that a stop would lose.
            self._check_going()
            if (asked := self._asked()) is not Reaction.LOG:
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
            self._back.happened = False
            with self._clock.looks():
                if not self._fed:
                    self._keeper.check_moves(before)
                # Two cursors a look: what moves the loader behind the watch's back must not go unseen.
                before = self._tap.cursor() if self.cadence.due(self.step + 1) else ""
            turn = self._turn(batch, begun, batches, loader)
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
        if self._back.happened:
            self._back.happened = False
            return True  # the clean state was that at the end of a pass, which is counted: now the one after it
        if not self._fed:
            raise WatchError(
                "the loader gave no batch, so nothing was watched",
                hint="it may stand at its end; restore it, or make a fresh one for this watch",
            )
        self._passes.end()
        return self.finish() is not Reaction.STOP

    def _turn(self, batch: Any, begun: str, rest: Iterator[Any], loader: Iterable[Any]) -> Turn:
        """As `before`. A batch that is not trained on goes back to the loader, or waits for the loop to go on.

        Unless a rollback took the loader elsewhere.
        """
        rollbacks, reaction = self.rollbacks, Reaction.STOP
        try:
            turn = self._seen(Batch(batch, self._tap))
            reaction = turn.reaction
        finally:
            if reaction is Reaction.STOP and self.rollbacks == rollbacks:
                if begun:
                    self._tap.go_to(begun)
                else:
                    self._in_hand.hold(batch, rest, loader, self._tap.cursor())
        return turn


_INFORMS = frozenset({"uncalibrated", "signals", "goes on", "rollback", "states", "told"})
NOTICES_S = 5.0
"""that notices may take after the loop, before a process that ends would take them along"""
