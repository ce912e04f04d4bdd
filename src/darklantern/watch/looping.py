"""The loop over a loader: batches drawn, looked at, handed out, and drawn anew after a rollback.

In: a loader, the steps of a run. Out: its batches, as many passes as the loop asked for, and none lost on the way.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from darklantern.errors import WatchError
from darklantern.watch.answering import Answers
from darklantern.watch.attach.tap import Tap
from darklantern.watch.batches import Batch, InHand
from darklantern.watch.budget import Cadence
from darklantern.watch.clock import Clock
from darklantern.watch.going_back import GoingBack
from darklantern.watch.keeping import Keeper
from darklantern.watch.passes import Passes
from darklantern.watch.reactions import Reaction
from darklantern.watch.sentry import Sentry
from darklantern.watch.stepping import Steps, Turn


class Run(Protocol):
    """The watched run, as a loop over its data sees it."""

    step: int
    rollbacks: int
    cadence: Cadence


@dataclass
class Loop:
    """The loop of one run."""

    run: Run
    tap: Tap
    steps: Steps
    sentry: Sentry
    keeper: Keeper
    answers: Answers
    back: GoingBack
    clock: Clock
    passes: Passes
    in_hand: InHand

    def over(self, loader: Iterable[Any], *, until: int | None = None) -> Iterator[Any]:
        """`Watch.over`: its batches, as many passes as are asked for, up to step `until`."""
        self._enter(loader)
        self.passes.ask()
        try:
            while self.passes.left:
                if not (yield from self._pass(loader, until)):
                    break
        finally:
            self.steps.over_loader = False
            self.steps.left()

    def _enter(self, loader: Iterable[Any]) -> None:
        self.steps.check_going()
        self.answers.check()
        if self.steps.over_loader:
            raise WatchError(
                "a loop over this watch is still open; in two at once each would see half of the batches",
                hint="leave that loop first, or close() its iterator; one watch takes several probes",
            )
        if self.tap.loader is not None and loader is not self.tap.loader:
            raise WatchError(
                f"the watch was given another loader in `state` than this {type(loader).__name__}, "
                "so a rollback would not rewind this one",
                hint="call over() with the very loader of `state`; wrap over(), not the loader",
            )
        self.back.say_barred()
        self.steps.over_loader = True

    def _pass(self, loader: Iterable[Any], until: int | None) -> Generator[Any, None, bool]:
        """What is left of one pass over the loader. False where the loop is to end; after a rollback, and at the end of
        the pass, there may be more."""
        batches = self.in_hand.then(loader, self.tap.cursor)
        before = self.tap.cursor()  # after `iter`, at which some loaders draw the order of what comes
        while True:
            # Here, where no batch is in hand that a stop would lose.
            self.steps.check_going()
            if (asked := self.steps.asked()) is not Reaction.LOG:
                return asked is Reaction.ROLL_BACK
            if until is not None and self.run.step >= until:
                return self.steps.finish() is Reaction.ROLL_BACK
            looks = not self.sentry.started or self.sentry.due
            if looks and (asked := self.sentry.hold(before) or Reaction.LOG) is not Reaction.LOG:
                return asked is Reaction.ROLL_BACK
            with self.clock.looks():
                begun = before if not self.steps.fed else self.tap.cursor() if looks else ""
            try:
                batch = next(batches)
            except StopIteration:
                break
            self.back.happened = False
            with self.clock.looks():
                if not self.steps.fed:
                    self.keeper.check_moves(before)
                # Two cursors a look: what moves the loader behind the watch's back must not go unseen.
                before = self.tap.cursor() if self.run.cadence.due(self.run.step + 1) else ""
            turn = self._turn(batch, begun, batches, loader)
            if turn.reaction is not Reaction.LOG:
                return turn.reaction is Reaction.ROLL_BACK
            rollbacks = self.run.rollbacks
            try:
                if turn.batch is not None:
                    yield turn.batch
            finally:
                if self.run.rollbacks == rollbacks:
                    self.steps.after()
            if self.run.rollbacks != rollbacks:
                return True  # rolled back within the loop's body
        if self.back.happened:
            self.back.happened = False
            return True  # the clean state was that at the end of a pass, which is counted: now the one after it
        if not self.steps.fed:
            raise WatchError(
                "the loader gave no batch, so nothing was watched",
                hint="it may stand at its end; restore it, or make a fresh one for this watch",
            )
        self.passes.end()
        return self.steps.finish() is not Reaction.STOP

    def _turn(self, batch: Any, begun: str, rest: Iterator[Any], loader: Iterable[Any]) -> Turn:
        """As `before`. A batch that is not trained on goes back to the loader, or waits for the loop to go on.

        Unless a rollback took the loader elsewhere.
        """
        rollbacks, reaction = self.run.rollbacks, Reaction.STOP
        try:
            turn = self.steps.take(Batch(batch, self.tap))
            reaction = turn.reaction
        finally:
            if reaction is Reaction.STOP and self.run.rollbacks == rollbacks:
                if begun:
                    self.tap.go_to(begun)
                else:
                    self.in_hand.hold(batch, rest, loader, self.tap.cursor())
        return turn
