"""One step of a watched loop: look if a look is due, react, screen the batch, hand it out, count it when it was run.

In: the loop's batches, one at a time. Out: what the loop is to do with each. A loop over a loader and the adapters of
trainers go through here alike.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from darklantern.errors import WatchError
from darklantern.watch.ablating import Ablations
from darklantern.watch.answering import Answers
from darklantern.watch.attach.tap import Tap
from darklantern.watch.batches import Batch
from darklantern.watch.beside import Beside
from darklantern.watch.budget import Cadence
from darklantern.watch.clock import Clock
from darklantern.watch.going_back import GoingBack
from darklantern.watch.keeping import Keeper
from darklantern.watch.observing import Observer
from darklantern.watch.outside import Outside
from darklantern.watch.people import People
from darklantern.watch.reactions import Reaction
from darklantern.watch.screening import Screen
from darklantern.watch.sentry import Sentry


class Run(Protocol):
    """The watched run, as its steps see it."""

    step: int
    screen: Screen | None
    screened_rows: int
    cadence: Cadence

    @property
    def rewinds(self) -> str: ...

    @property
    def stopped(self) -> str: ...


@dataclass(frozen=True)
class Turn:
    """What a loop is to do with a batch: train on `batch` (None: on nothing), or leave off."""

    batch: Any
    reaction: Reaction = Reaction.LOG
    """ROLL_BACK: the state is an earlier one, draw anew from the loader; STOP: end the loop"""


@dataclass
class Steps:
    """The steps of one run."""

    run: Run
    tap: Tap
    sentry: Sentry
    observer: Observer
    keeper: Keeper
    outside: Outside
    people: People
    answers: Answers
    ablations: Ablations
    back: GoingBack
    clock: Clock
    beside: Beside
    on_trainer: bool = field(default=False, init=False)
    """whether a trainer leads the loop, whose data cannot be rewound"""
    over_loader: bool = field(default=False, init=False)
    """whether a loop over a loader is open, which the watch itself draws from"""
    fed: bool = field(default=False, init=False)
    """whether a batch was handed out yet"""

    def before(self, batch: Any) -> Turn:
        """`Watch.before`, of a loop that draws its batches itself."""
        self.beside.over()
        self.check_going()
        self.ablations.training.is_open = False
        if not self.sentry.started:
            self.answers.check(self.on_trainer)
        if not self.over_loader and not self.run.rewinds:
            self.back.own_loop = "the loop draws its batches itself, so nobody knows where the loader stood before one"
        if not self.on_trainer:
            self.back.say_barred()
        self.clock.taken_back()
        if (asked := self.asked()) is not Reaction.LOG:
            return Turn(None, asked)
        return self.take(Batch(batch, self.tap))

    def take(self, batch: Batch) -> Turn:
        """Look if a look is due, or test before the first step; screen the batch, hand it out."""
        due = self.sentry.started and self.sentry.due and self.run.step != self.observer.looked
        if due or not self.sentry.started:
            with self.clock.looks():
                self.observer.check(batch.examples)
        if not self.sentry.started:
            self.sentry.start(batch.examples)
            due = self.sentry.due and self.run.step != self.observer.looked  # one that an earlier process left
        if due:
            screen, left = self.run.screen, self._screened(batch)
            reaction = self.sentry.settle(batch.examples.take(slice(0)) if left is None else left.examples)
            if reaction is not Reaction.LOG:
                return Turn(None, reaction)
        with self.clock.looks():
            if self.keeper.expects:
                self.keeper.check_again(batch.examples)
            if not due or self.run.screen is not screen:  # once for each batch: a screen may learn as it judges
                left = self._screened(batch)
            if left is not None:
                self.observer.take(lambda: left.examples, left.later)
                self.tap.handed_out()
            else:
                self.observer.skip()
            self.fed = True
            if left is not batch:  # here, where the loop really loses them: what a look gave back comes again
                self.run.screened_rows += len(batch.examples) - (0 if left is None else len(left.examples))
        self.ablations.training.is_open = True
        self.clock.handed_out()
        return Turn(None if left is None else left.given)

    def _screened(self, batch: Batch) -> Batch | None:
        """The batch without suspects; None where nothing is left."""
        if self.run.screen is None:
            return batch
        self.observer.check(batch.examples)
        return batch.only(~self.run.screen.suspect(batch.examples))

    def ran(self) -> None:
        """`Watch.ran`."""
        self.ablations.training.is_open = False

    def after(self) -> None:
        """`Watch.after`: a step is done, where a batch was in hand."""
        self.ablations.training.is_open = False
        if (seconds := self.clock.stepped()) is None:
            return
        self.run.step += 1
        self.run.cadence.stepped(seconds)
        self.outside.beat(self.run.step)

    def finish(self) -> Reaction:
        """`Watch.finish`: the last look, and what follows it."""
        if self.back.unfinished:
            self.check_going()
        if (cut_off := self.sentry.answer()) is not Reaction.LOG:
            return cut_off
        if self.run.stopped:
            return Reaction.STOP
        if not self.observer.since or not self.sentry.started:
            return Reaction.LOG
        self._check_open()
        return self.sentry.settle(None)

    def left(self) -> None:
        """`Watch.left`: what must be said or end with a loop."""
        self.beside.over()
        self.ablations.training.is_open = False
        self.ablations.say_standing()
        self.sentry.say_unjudged()
        self.outside.left(self.run.step)
        self.answers.tell(_NOTICES_S)

    def asked(self) -> Reaction:
        """What comes before the next batch: an alarm whose answer was cut off, and words from outside."""
        answered = self.sentry.answer()
        return self.people.heed() if answered is Reaction.LOG else answered

    def check_going(self) -> None:
        """Raises WatchError where the loop must not go on: after a stop, half way in a rollback, when closed."""
        if self.run.stopped:
            raise WatchError(
                f"the watch stopped this run at step {self.run.step}: {self.run.stopped}",
                hint="look at watch.alarms; then roll_back(), or go on from a state that you trust with a new watch",
            )
        self._check_open()

    def _check_open(self) -> None:
        """Never half a watch: without its folder nothing would be written, and nobody could be asked."""
        if self.outside.closed:
            raise WatchError(
                "the watch was closed, and with it its run's folder",
                hint="close() comes after the last loop; a new watch(..., run=..., step=..., goes_on=True) goes on",
            )


_NOTICES_S: Final = 5.0
"""that notices may take after the loop, before a process that ends would take them along"""
