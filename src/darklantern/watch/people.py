"""What people ask of a run from outside, how it waits for them, and why it was stopped.

In: commands, and reasons to wait. Out: how the loop goes on, and an answer to each command.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from darklantern.errors import DarkLanternError
from darklantern.watch.alarms import Alarm
from darklantern.watch.outside import Outside
from darklantern.watch.reactions import Reaction
from darklantern.watch.runs.files import Command


class Run(Protocol):
    """The watched run, as people who ask something of it see it."""

    step: int
    alarms: list[Alarm]

    @property
    def stopped(self) -> str: ...

    def roll_back(self) -> Any: ...

    def say(self, label: str, text: str) -> None: ...


class People:
    """Who asks something of one run, or is waited for."""

    def __init__(self, run: Run, outside: Outside) -> None:
        self._run, self._outside = run, outside
        self.stopped = ""
        """why the run was stopped"""
        self._waits_for = ""
        """why the run waits for a person, until one answered"""

    def stop(self, why: str) -> Reaction:
        """The loop ends here."""
        self.stopped = why
        self._run.say("stop", why)
        return Reaction.STOP

    def went_back(self) -> None:
        """The run stands at an earlier state: whoever ended it or was waited for has answered."""
        self.stopped = self._waits_for = ""

    def heed(self) -> Reaction:
        """Do what was asked from outside since the last step; LOG means: go on. A wait that was cut off goes on."""
        if self._waits_for:
            return self.pause(self._waits_for)
        return self._heed(self._outside.asked())

    def heed_together(self) -> Reaction:
        """The same on all ranks, at a look."""
        return self._heed(self._outside.together())

    def pause(self, why: str) -> Reaction:
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

    def _heed(self, commands: Sequence[Command]) -> Reaction:
        """Do what was asked, in turn, up to what changes how the loop goes on; the rest comes next. A stop is first."""
        if stop := next((each for each in commands if each.do == "stop"), None):
            for each in commands:
                if each is not stop:
                    self._outside.answer(each, self._run.step, "the run was stopped", done=False)
            return self._obey(stop)
        for number, command in enumerate(commands, 1):
            if command.do == "pause":
                self._outside.answer(command, self._run.step, "paused")
                self._outside.give_back(commands[number:])  # a pause hears them
                return self.pause(command.said("asked for a pause"))
            if (reaction := self._obey(command)) is not Reaction.LOG:
                self._outside.give_back(commands[number:])
                return reaction
        return Reaction.LOG

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
