"""What follows an alarm, or a failure of the watch itself, in order of severity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from darklantern.counted import counted
from darklantern.errors import DarkLanternError, WatchError
from darklantern.watch import agreeing, reactions, state_files
from darklantern.watch.ablating import Ablations
from darklantern.watch.alarms import Alarm
from darklantern.watch.attach.tap import Tap
from darklantern.watch.beside import ON_ALARM, Beside
from darklantern.watch.outside import Outside
from darklantern.watch.people import People
from darklantern.watch.reactions import Ablate, Chosen, Notify, OnAlarm, Reaction
from darklantern.watch.runs.files import CHECKPOINTS
from darklantern.watch.runs.notifying import Note, Notices
from darklantern.watch.settings import Settings
from darklantern.watch.underway import Underway

NONE_STANDS_OUT = "nothing of the new rows stands out, so there is nothing to screen"


class Run(Protocol):
    """The watched run, as what follows an alarm sees it."""

    step: int
    alarms: list[Alarm]
    rollbacks: int

    @property
    def rewinds(self) -> str: ...

    @property
    def stopped(self) -> str: ...

    def roll_back(self) -> Any: ...

    def say(self, label: str, text: str) -> None: ...


class Answers:
    """What is done about alarms of one run, and about what fails of its watch."""

    def __init__(
        self,
        *,
        run: Run,
        tap: Tap,
        outside: Outside,
        people: People,
        ablations: Ablations,
        on_alarm: OnAlarm,
        settings: Settings,
        beside: Beside,
    ) -> None:
        self._run, self._tap, self._outside, self._people, self._ablations = run, tap, outside, people, ablations
        self.on_alarm, self._settings, self._beside = on_alarm, settings, beside
        self.chosen: list[Chosen] = []
        """what was agreed to do about the newest alarm, mildest first"""
        self.checkpoints: dict[str, Path] = {}
        """where the states of the newest alarm were written, by their tags"""
        self._notices: list[Notices] = []

    def check_attached(self) -> None:
        """What this model could never do is refused at once, and not at the alarm: WatchError, SiteError."""
        for reaction in reactions.wanted(self.on_alarm):
            if isinstance(reaction, Ablate):
                self._tap.ablate(reaction.edits).close()
            elif reaction is Reaction.CHECKPOINT and self._tap.saves:
                raise WatchError(
                    f"{reaction} cannot be written: {self._tap.saves}",
                    hint="on_alarm=lambda alarm: ..., with what writes your checkpoints; alarm.clean.snapshot.state is "
                    "the clean state",
                )

    def check(self, trainer: bool = False) -> None:
        """What needs a folder, where a person could answer or find something, is refused without one: WatchError.

        A `trainer` writes its own checkpoints, where it writes the others.
        """
        for reaction in reactions.wanted(self.on_alarm):
            needs = reaction is Reaction.PAUSE or (reaction is Reaction.CHECKPOINT and not trainer)
            if needs and not self._outside.can_ask:
                raise WatchError(
                    f"{reaction} needs the folder of a run, and the watch was given none",
                    hint='watch(..., run="runs/x"), or run="x" for one in your state folder',
                )

    def react(self, underway: Underway) -> Reaction:
        """What the loop is to do: go on (LOG), draw anew (ROLL_BACK), or end (STOP).

        What fails here is said, and the rest of what was asked still done; `Settings.on_failure` says what comes then.
        Called again for a case that was cut off, it goes on from there.
        """
        run, alarm = self._run, underway.alarm
        self._outside.beat(run.step, "reacting", str(alarm))
        if underway.left is None:
            self.checkpoints = {}
            self.chosen, failure = self._ask(underway)
            underway.failures += [] if failure is None else [("on_alarm", failure)]
            underway.left = reactions.in_turn(self.chosen)
        while underway.left and (reaction := underway.left[0]) is not Reaction.PAUSE:
            # Who rolled it back by hand, when it was cut off, has answered how it is to go on.
            if reaction not in reactions.SEVERE:
                self._try(reaction, underway)
            elif run.rollbacks == underway.rollbacks and self._decide(reaction, alarm) is Reaction.STOP:
                break
            del underway.left[0]
        failures, underway.failures = underway.failures, []
        waited = self._told(agreeing.failures(self._tap.ranks, failures))
        if self._people.stopped:
            return Reaction.STOP
        if run.rollbacks != underway.rollbacks:
            return Reaction.ROLL_BACK
        return self._people.pause(str(alarm)) if underway.left and waited is Reaction.LOG else waited

    def _ask(self, underway: Underway) -> tuple[list[Chosen], Exception | None]:
        """What is to be done about it, mildest first, and what failed in saying so."""

        def mine() -> tuple[list[Chosen], Exception | None]:
            with self._beside(ON_ALARM):
                return reactions.chosen(self.on_alarm, underway.alarm, underway.heard)

        asked, failure = agreeing.chosen(self._tap.ranks, mine)
        return self._without_going_back_for_nothing(asked, underway.alarm), failure

    def _decide(self, reaction: Chosen, alarm: Alarm) -> Reaction:
        """How the loop goes on."""
        if reaction is Reaction.ROLL_BACK:
            return self._roll_back_or_stop(alarm)
        return self._people.stop("on_alarm asked for it")

    def _try(self, reaction: Chosen, underway: Underway) -> None:
        try:
            self._do(reaction, underway)
        except Exception as error:  # noqa: BLE001 - what is more severe must come anyway
            underway.failures.append((str(reaction), error))

    def _do(self, reaction: Chosen, underway: Underway) -> None:
        """What only tells, writes or edits."""
        if isinstance(reaction, Notify):
            self._notify(reaction, underway.alarm)
        elif isinstance(reaction, Ablate):
            self._ablations.put(reaction)
        elif reaction is Reaction.CHECKPOINT:
            self._checkpoint(underway)

    def _told(self, failures: Sequence[tuple[str, Exception]]) -> Reaction:
        """Say all that failed; what follows is decided once, by the first."""
        for what, error in failures[1:]:
            self._run.say("failure", f"{what} at step {self._run.step} failed: {error}")
        return self.failed(failures[0][1], failures[0][0]) if failures else Reaction.LOG

    def failed(self, error: Exception, what: str = "the look") -> Reaction:
        """Something of the watch's went wrong: the run itself is whole, and what comes next is for a person to say."""
        self._run.say("failure", f"{what} at step {self._run.step} failed: {error}")
        if self._settings.on_failure == "raise":
            raise error
        if self._people.stopped or self._settings.on_failure == "go on":
            return Reaction.LOG
        if not self._outside.can_ask:
            raise error
        return self._people.pause(f"{what} failed: {error}")

    def went_back(self) -> None:
        """The run stands at an earlier state: whoever ended it or was waited for has answered."""
        self._people.went_back()
        if lifted := self._ablations.lift():
            self._run.say("lifted", lifted)

    def _notify(self, reaction: Notify, alarm: Alarm) -> None:
        if self._tap.ranks.rank:
            return  # one notice is enough
        notices = Notices(reaction.places)
        data = "; ".join(map(str, alarm.suspects))
        notices.send(Note(run=self._outside.name or "run", step=alarm.step, text=str(alarm), data=data))
        self._notices.append(notices)

    def tell(self, wait_s: float = 0.0) -> None:
        """Say what became of notices that were sent, waiting for them at most so long."""
        for notices in self._notices:
            for told in notices.told(wait_s):
                self._run.say("told" if told.done else "not told", str(told))

    def _checkpoint(self, underway: Underway) -> None:
        """Both states into the run's folder. A disk that is full must not break the run: it is said."""
        if self._outside.closed:
            raise WatchError("the watch was closed, so its run has no folder any more", hint="close() after the loop")
        ranks, folder = self._tap.ranks, self._outside.folder
        if ranks.count > 1 and self._outside.can_ask:  # each has its own cursor and streams, and often its own pieces
            folder = Path(ranks.gather(str(folder))[0])
        if folder is None:
            return  # a trainer that writes its own
        states = {
            tag: (kept.step, kept.snapshot)
            for tag, kept in (("clean", underway.alarm.clean), ("alarm", underway.held))
            if kept is not None and kept.snapshot is not None
        }
        if underway.paths is None:
            steps = {tag: step for tag, (step, _) in states.items()}
            underway.paths = state_files.free(folder / CHECKPOINTS, underway.alarm.step, steps, ranks)
        for tag in ("clean", "alarm"):
            if tag not in states:
                self._run.say("checkpoint", f"there is no {tag} state to write")
                continue
            if tag in self.checkpoints:
                continue  # it was written before this was cut off
            path = underway.paths[tag]
            try:
                path.parent.mkdir(exist_ok=True)
                self._run.say("checkpoint", f"{path.name}, SHA-256 {self._tap.save(states[tag][1], path)}")
                self.checkpoints[tag] = path
            except (DarkLanternError, OSError) as error:
                self._run.say("failure", f"{path.name} was not written: {error}")

    def _without_going_back_for_nothing(self, asked: list[Chosen], alarm: Alarm) -> list[Chosen]:
        """What new but harmless data raises too must not end a run: see decision 0025. What else is asked for stays."""
        if asked[-1] is not Reaction.ROLL_BACK or alarm.says != "novelty" or alarm.screen is not None:
            return asked
        said = f"{NONE_STANDS_OUT}, and this alarm claims no circuit: training goes on"
        if not self._run.rewinds:
            before = "before its own alarm, since no state is from before this"
            said += f"; a later rollback goes back to {f'step {alarm.clean.step}' if alarm.clean else before}"
        self._run.say("novelty", said)
        return [each for each in asked if each is not Reaction.ROLL_BACK]

    def _roll_back_or_stop(self, alarm: Alarm) -> Reaction:
        """Fail closed: going on blind would train the same thing again."""
        rollbacks = self._run.rollbacks
        if self._run.rewinds:
            return self._people.stop(f"no rollback: {self._run.rewinds}")
        if rollbacks >= self._settings.rollbacks:
            return self._people.stop(f"{counted(rollbacks, 'rollback')} did not hold; a person must look")
        if alarm.clean is None:
            return self._people.stop(none_clean(self._settings))
        if alarm.screen is None:
            return self._people.stop(
                f"{NONE_STANDS_OUT}. Look at those trained on since step {alarm.clean.step}, then go on with a new "
                "watch: from here if they are harmless, else without them from watch.alarms[-1].clean.snapshot"
            )
        try:
            self._run.roll_back()
        except Exception as error:
            # Nobody is to train on what may be half of one state and half of another.
            self._people.stop(f"the rollback failed: {error}")
            if self._settings.on_failure == "go on" or (self._settings.on_failure == "pause" and self._outside.can_ask):
                return Reaction.STOP
            raise
        return Reaction.ROLL_BACK


def none_clean(settings: Settings) -> str:
    """Why there is no state to go back to."""
    return (
        f"no state is known to be clean: none was kept {counted(settings.margin, 'look')} before the statistic "
        f"was last at or below {settings.quiet:.0%} of its threshold, and a CUSUM at 0"
    )
