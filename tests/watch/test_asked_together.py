"""Several commands that wait when the loop looks for them: each is answered, none is lost, and a stop comes first."""

from pathlib import Path

import pytest
from watch.loops import RECIPE, Scripted, rising, start

from darklantern.organisms import training
from darklantern.watch import Reaction, outside
from darklantern.watch.runs import asking
from darklantern.watch.runs.files import Command

GRACE_S = 600.0
"""until a watchdog would end what does not heed: none is to"""


@pytest.fixture(autouse=True)
def looks_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)


class Asked:
    """A loop of which things are asked, all at once, at one step."""

    def __init__(self, folder: Path, *what: str, script=rising) -> None:
        self.w, self.made = start(Scripted(script), Reaction.LOG, folder=folder)
        self.folder, self.what = folder, what
        self.commands: list[Command] = []
        self.steps: list[int] = []

    def run(self, at: int) -> None:
        for batch in self.w.over(self.made[2]):
            training.train_step(self.made[0], self.made[1], RECIPE, self.w.step, batch)
            self.steps.append(self.w.step)
            if self.w.step == at and not self.commands:
                run = asking.find(self.folder)
                self.commands = [asking.ask(run, do, "together", GRACE_S) for do in self.what]

    def answer(self, at: int) -> tuple[bool, str]:
        said = asking.answer_to(asking.find(self.folder), self.commands[at], 0.0)
        assert said is not None, f"{self.what[at]} was never answered"
        return said.done, said.outcome


@pytest.mark.parametrize("other", ["pause", "roll back", "stop"])
@pytest.mark.parametrize("first", [True, False])
def test_a_stop_ends_the_run_whatever_else_was_asked_with_it(tmp_path: Path, other: str, first: bool) -> None:
    asked = Asked(tmp_path / "run", *((other, "stop") if first else ("stop", other)))
    asked.run(at=36)
    assert asked.steps[-1] == 36 and asked.w.stopped
    stop = int(first) if other != "stop" else 0
    assert asked.answer(stop) == (True, "stopped at step 37")
    assert asked.answer(1 - stop) == (False, "the run was stopped")


def test_what_was_asked_behind_a_pause_is_heard_by_the_pause(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "run", "pause", "roll back")
    asked.run(at=36)
    assert asked.answer(0) == (True, "paused")
    assert asked.answer(1) == (True, f"training goes on from step {asked.w.alarm.clean.step}")
    assert asked.w.rollbacks == 1 and asked.steps[-1] == 59


def test_what_was_asked_behind_a_rollback_comes_after_it(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "run", "roll back", "roll back")
    asked.run(at=36)
    assert asked.answer(0) == (True, f"training goes on from step {asked.w.alarm.clean.step}")
    assert asked.answer(1) == (False, "there is no alarm to roll back from")
