"""What follows an alarm or a word from outside, in order of severity; who stops, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from darklantern.counted import counted
from darklantern.errors import DarkLanternError, WatchError
from darklantern.watch import agreeing, checkpoints, reactions
from darklantern.watch.alarms import Alarm
from darklantern.watch.attach.tap import Tap
from darklantern.watch.beside import ON_ALARM, Beside
from darklantern.watch.gate import Gate
from darklantern.watch.outside import Outside
from darklantern.watch.reactions import Ablate, Chosen, Notify, OnAlarm, Reaction
from darklantern.watch.runs.files import Command
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


@dataclass(frozen=True)
class _Ablated:
    """Edits that are in place until their handle is closed."""

    handle: Any
    sites: str
    preventative: bool

    def __str__(self) -> str:
        return f"{self.sites}{', while a batch is trained on' * self.preventative}"


class Answers:
    """What is done about alarms of one run, and about what people ask of it."""

    def __init__(
        self, run: Run, tap: Tap, outside: Outside, on_alarm: OnAlarm, settings: Settings, beside: Beside
    ) -> None:
        self._run, self._tap, self._outside, self._settings, self._beside = run, tap, outside, settings, beside
        self.on_alarm = on_alarm
        self.stopped = ""
        """why the run was stopped"""
        self.chosen: list[Chosen] = []
        """what was agreed to do about the newest alarm, mildest first"""
        self.checkpoints: dict[str, Path] = {}
        """where the states of the newest alarm were written, by their tags"""
        self._waits_for = ""
        """why the run waits for a person, until one answered"""
        self.training = Gate()
        """open while a batch is trained on"""
        self._ablations: dict[frozenset[str], _Ablated] = {}
        """what is ablated, by its sites"""
        self._standing_said = ""
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
        waited = self._told(failures)
        if self.stopped:
            return Reaction.STOP
        if run.rollbacks != underway.rollbacks:
            return Reaction.ROLL_BACK
        return self._pause(str(alarm)) if underway.left and waited is Reaction.LOG else waited

    def _ask(self, underway: Underway) -> tuple[list[Chosen], Exception | None]:
        """What is to be done about it, mildest first, and what failed in saying so."""

        def mine() -> tuple[list[Chosen], Exception | None]:
            with self._beside(ON_ALARM):
                return reactions.chosen(self.on_alarm, underway.alarm, underway.heard)

        asked, failure = agreeing.chosen(self._tap.ranks, mine)
        return self._without_going_back_for_nothing(asked, underway.alarm), failure

    def _decide(self, reaction: Chosen, alarm: Alarm) -> Reaction:
        """How the loop goes on."""
        return self._roll_back_or_stop(alarm) if reaction is Reaction.ROLL_BACK else self.stop("on_alarm asked for it")

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
            agreeing.together(self._tap.ranks, lambda: self._ablate(reaction), "the ablation")
        elif reaction is Reaction.CHECKPOINT:
            self._checkpoint(underway)

    def _ablate(self, reaction: Ablate) -> None:
        edits = self.training.edits(reaction.edits) if reaction.preventative else reaction.edits
        sites = frozenset(map(str, reaction.edits))
        if (before := self._ablations.pop(sites, None)) is not None:
            before.handle.close()  # not twice at one place: what is added would be added twice
        made = _Ablated(self._tap.ablate(edits), ", ".join(map(str, reaction.edits)), reaction.preventative)
        self._ablations[sites] = made
        self._run.say("ablate", str(made))

    def _told(self, failures: Sequence[tuple[str, Exception]]) -> Reaction:
        """Say all that failed; what follows is decided once, by the first."""
        for what, error in failures[1:]:
            self._run.say("failure", f"{what} at step {self._run.step} failed: {error}")
        return self.failed(failures[0][1], failures[0][0]) if failures else Reaction.LOG

    def lift(self) -> str:
        """Ablations end: the model computes what its weights say. What was in place; empty where nothing was."""
        lifted = "; ".join(map(str, self._ablations.values()))
        for each in self._ablations.values():
            each.handle.close()
        self._ablations.clear()
        self._standing_said = ""
        return lifted

    def say_standing(self) -> None:
        """Of a loop that is over: what it leaves in the model, said once."""
        standing = "; ".join(str(each) for each in self._ablations.values() if not each.preventative)
        if standing and standing != self._standing_said:
            self._run.say(
                "ablated",
                f"the model still has edits in place at {standing}: watch.lift() takes them out, as watch.close() does",
            )
        self._standing_said = standing

    def failed(self, error: Exception, what: str = "the look") -> Reaction:
        """Something of the watch's went wrong: the run itself is whole, and what comes next is for a person to say."""
        self._run.say("failure", f"{what} at step {self._run.step} failed: {error}")
        if self._settings.on_failure == "raise":
            raise error
        if self.stopped or self._settings.on_failure == "go on":
            return Reaction.LOG
        if not self._outside.can_ask:
            raise error
        return self._pause(f"{what} failed: {error}")

    def stop(self, why: str) -> Reaction:
        """The loop ends here."""
        self.stopped = why
        self._run.say("stop", why)
        return Reaction.STOP

    def went_back(self) -> None:
        """The run stands at an earlier state: whoever ended it or was waited for has answered."""
        self.stopped = self._waits_for = ""
        self.lift()

    # people

    def heed(self) -> Reaction:
        """Do what was asked from outside since the last step; LOG means: go on. A wait that was cut off goes on."""
        if self._waits_for:
            return self._pause(self._waits_for)
        return self._heed(self._outside.asked())

    def heed_together(self) -> Reaction:
        """The same on all ranks, at a look."""
        return self._heed(self._outside.together())

    def _heed(self, commands: Sequence[Command]) -> Reaction:
        for command in commands:
            if command.do == "pause":
                self._outside.answer(command, self._run.step, "paused")
                reaction = self._pause(command.said("asked for a pause"))
            else:
                reaction = self._obey(command)
            if reaction is not Reaction.LOG:
                return reaction
        return Reaction.LOG

    def _pause(self, why: str) -> Reaction:
        """Wait for a person. What they say that cannot be done is answered, and the wait goes on."""
        if not self._outside.can_ask:
            missing = "was closed" if self._outside.closed else "was given no run"
            return self.stop(f"nobody could answer a pause, since the watch {missing}: {why}")
        run = self._run
        self._waits_for = why
        run.say("pause", why)
        reaction = Reaction.LOG
        while reaction is Reaction.LOG:
            command = self._outside.wait(run.step, why, str(run.alarms[-1]) if run.alarms else None)
            if command.do == "go on":
                self._outside.answer(command, run.step, "training goes on")
                run.say("go on", command.said("let it go on"))
                break
            reaction = self._obey(command)
        self._waits_for = ""
        return reaction

    def _obey(self, command: Command) -> Reaction:
        run = self._run
        if command.do == "stop":
            self._outside.answer(command, run.step, f"stopped at step {run.step}")
            return self.stop(command.said("asked for it"))
        if command.do != "roll back":
            self._outside.answer(command, run.step, "the run does not wait for it", done=False)
            return Reaction.LOG
        try:
            run.roll_back()
        except DarkLanternError as error:
            self._outside.answer(command, run.step, error.message, done=False)
            run.say("failure", f"{command.user} asked for a rollback: {error.message}")
            # Nobody is to train on what may be half of one state and half of another.
            return self.stop(run.stopped) if run.stopped else Reaction.LOG
        self._outside.answer(command, run.step, f"training goes on from step {run.step}")
        return Reaction.ROLL_BACK

    # alarms

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
            underway.paths = checkpoints.free(folder / "checkpoints", underway.alarm.step, steps, ranks)
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
            return self.stop(f"no rollback: {self._run.rewinds}")
        if rollbacks >= self._settings.rollbacks:
            return self.stop(f"{counted(rollbacks, 'rollback')} did not hold; a person must look")
        if alarm.clean is None:
            return self.stop(none_clean(self._settings))
        if alarm.screen is None:
            return self.stop(
                f"{NONE_STANDS_OUT}. Look at those trained on since step {alarm.clean.step}, then go on with a new "
                "watch: from here if they are harmless, else without them from watch.alarms[-1].clean.snapshot"
            )
        try:
            self._run.roll_back()
        except Exception as error:
            # Nobody is to train on what may be half of one state and half of another.
            self.stop(f"the rollback failed: {error}")
            if self._settings.on_failure == "go on" or (self._settings.on_failure == "pause" and self._outside.can_ask):
                return Reaction.STOP
            raise
        return Reaction.ROLL_BACK


def none_clean(settings: Settings) -> str:
    """Why there is no state to go back to."""
    return (
        f"no state is known to be clean: none was kept {counted(settings.margin, 'look')} before the statistic "
        f"was last at or below {settings.quiet:.0%} of its threshold"
    )
