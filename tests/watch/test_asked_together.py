"""Several commands that wait when the loop looks for them: each is answered, none is lost, and a stop comes first."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from watch.loops import RECIPE, Scripted, rising, start

from darklantern.organisms import training
from darklantern.watch import Reaction, outside
from darklantern.watch.runs import asking
from darklantern.watch.runs.files import ASKED, Command, new_nonce, now, put, user_name

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


@pytest.mark.parametrize("other", ["roll back", "go on"])
@pytest.mark.parametrize("first", [True, False])
def test_a_stop_ends_a_run_that_waits_whatever_else_was_asked_with_it(tmp_path: Path, other: str, first: bool) -> None:
    """Nobody may take the state away that the stop is to leave, or train one more step on it."""
    folder, what = tmp_path / "run", (other, "stop") if first else ("stop", other)
    w, made = start(Scripted(rising), Reaction.PAUSE, folder=folder)
    commands: list[Command] = []
    trained: list[int] = []
    person = Thread(target=lambda: commands.extend(all_at_once(folder, what)), daemon=True)
    for batch in w.over(made[2]):
        if not trained:
            person.start()
        trained.append(w.step)
        training.train_step(made[0], made[1], RECIPE, w.step, batch)
    person.join(60)
    answers = {each.do: asking.answer_to(asking.find(folder), each, 0.0) for each in commands}
    assert {do: (said.done, said.outcome) for do, said in answers.items() if said is not None} == {
        other: (False, "the run was stopped"),
        "stop": (True, "stopped at step 30"),
    }
    assert trained == list(range(30)) and (w.step, w.rollbacks) == (30, 0)
    assert made[2].state()["step"] == 30 and "asked for it: together" in w.stopped


def all_at_once(folder: Path, what: Sequence[Any]) -> list[Command]:
    """Asks a run, once it waits, so that it finds everything at the same look into its folder."""
    run, end = asking.find(folder), time.monotonic() + 60
    while (beat := run.heartbeat()) is None or beat.pause is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    me, aside = os.geteuid(), folder / "aside"
    made = [
        Command(
            nonce=new_nonce(), run=run.about.run, do=do, pause=beat.pause if do == "go on" else None, grace_s=GRACE_S,
            why="together", user=user_name(me), uid=me, time=now(),
        )
        for do in what
    ]  # fmt: skip
    aside.mkdir(0o700)
    for command in made:
        put(aside / f"{command.nonce}.json", command)
    aside.rename(folder / ASKED)  # in place of the empty one, in one go
    return made
