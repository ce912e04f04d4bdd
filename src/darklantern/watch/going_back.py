"""A run goes back to its last clean state: whether it can, and how it does so without ever training from half way.

In: the parts of a watch. Out: the state before the rise, and the screen of what is left out from there on.
"""

from dataclasses import dataclass
from typing import Protocol

from darklantern.errors import WatchError, cause_of
from darklantern.watch import agreeing
from darklantern.watch.alarms import Alarm
from darklantern.watch.answering import NONE_STANDS_OUT, Answers, none_clean
from darklantern.watch.attach.tap import Tap
from darklantern.watch.beside import Beside
from darklantern.watch.budget import Cadence
from darklantern.watch.keeping import Keeper, Kept
from darklantern.watch.observing import Observer
from darklantern.watch.passes import Passes
from darklantern.watch.screening import Screen, any_of
from darklantern.watch.settings import Settings


class Run(Protocol):
    """The watched run, as a rollback sees it."""

    step: int
    alarms: list[Alarm]
    screen: Screen | None
    rollbacks: int
    screened_rows: int
    resume: str
    settings: Settings
    cadence: Cadence

    def say(self, label: str, text: str) -> None: ...


@dataclass(frozen=True)
class _Plan:
    """What a rollback comes to: carried out twice, it comes to the same."""

    clean: Kept
    screen: Screen
    suspects: str
    rollbacks: int


@dataclass
class GoingBack:
    """The rollbacks of one run."""

    run: Run
    tap: Tap
    observer: Observer
    keeper: Keeper
    passes: Passes
    answers: Answers
    beside: Beside
    own_loop: str = ""
    """why a loop that calls `before` itself cannot be rolled back"""
    happened: bool = False
    """since the last batch was drawn"""
    _plan: _Plan | None = None
    """one that has begun, and not come to its end"""
    _failed: str = ""
    _said: bool = False

    @property
    def barred(self) -> str:
        """Empty where a rollback can put everything back; otherwise what stands in its way."""
        return self.tap.rewinds or self.own_loop

    @property
    def unfinished(self) -> str:
        """What is to be done about a rollback that was cut off half way, by Ctrl-C for instance; empty without one."""
        if self._plan is None:
            return ""
        return (
            f"the rollback to step {self._plan.clean.step} {self._failed or 'was cut off'}, so the state may be half "
            "old and half new: call roll_back() again, or start from a checkpoint"
        )

    def attached(self) -> None:
        """Say what is known of rollbacks before the first step. Raises WatchError where states have no room."""
        if self.tap.rewinds and self.tap.keeps:
            self.say_barred()
        elif self.tap.rewinds:  # without a state it may be handed to a trainer yet, which has a reason of its own
            self.keeper.few()
        if self.tap.keeps and (said := self.keeper.check_room()):
            self.run.say("states", said)

    def say_barred(self) -> None:
        """Of a loop that cannot go back: said once."""
        if not self.barred or self._said:
            return
        self.keeper.few()
        self._said = True
        self.run.say("no rollback", f"{self.barred}; an alarm that asks for one stops the loop instead")

    def __call__(self) -> Screen:
        """Restore the last clean state, or finish doing so; from now on the suspects at the alarm are left out.

        Raises WatchError, changing nothing, where there is no such state or no way back. What fails or is cut off after
        that is `unfinished`, until another call comes to the end.
        """
        self.beside.check_not_within()
        plan = self._plan or self._planned()
        self._plan, self._failed = plan, ""  # first of all: whatever cuts this off from here on, nobody trains on
        try:
            agreeing.together(self.tap.ranks, lambda: self.tap.restore(plan.clean.snapshot), "the rollback")
        except Exception as error:
            self._failed = f"failed ({cause_of(error)})"
            raise
        run, clean = self.run, plan.clean
        run.screen = plan.screen
        self.observer.back_to(clean)
        self.keeper.back_to(clean)
        run.cadence.back_to(clean.step)
        run.step, run.screened_rows = clean.step, clean.screened
        self.passes.back_to(clean.passes)
        self.happened = True
        self.answers.went_back()
        run.rollbacks = plan.rollbacks
        ahead = self.passes.left - 1
        said = f"; the loop's own count of epochs is {ahead} ahead, until this one ends" if ahead > 0 else ""
        run.say("rollback", f"screening {plan.suspects}{said}")
        self._plan = None
        return plan.screen

    def _planned(self) -> _Plan:
        run = self.run
        if self.observer.tainted is None:
            raise WatchError("there is no alarm to roll back from", hint="wait for an alarm")
        if self.barred:
            raise WatchError(f"the run cannot be rolled back: {self.barred}", hint=run.resume or _STATE)
        alarm = self.observer.unanswered or (run.alarms[-1] if run.alarms else None)
        if alarm is None:
            raise WatchError(
                "the alarm was an earlier process's, and so are the states before it",
                hint=f"start from a checkpoint of step {run.step} or before that is known to be clean; the lines that "
                "were printed at that alarm name one",
            )
        if alarm.clean is None:
            raise WatchError(none_clean(run.settings), hint="start again from a state that you trust, with a new watch")
        if alarm.screen is None:
            raise WatchError(
                NONE_STANDS_OUT, hint="stop and look at the rows; going on unscreened would train the same again"
            )
        screen = alarm.screen if run.screen is None else any_of((run.screen, alarm.screen))
        return _Plan(alarm.clean, screen, str(alarm.screen), run.rollbacks + 1)


_STATE = "state=(optimizer, loader), and a loader that can be rewound: darklantern.rewindable(dataset, batch_size=...)"
