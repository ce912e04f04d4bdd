"""The states of an alarm as files: none takes the place of another, and what is said of one is true of it."""

import hashlib
from pathlib import Path

import pytest
from watch.loops import CORPUS, RECIPE, Marked, Scripted, run, start

from darklantern.models.snapshot import load
from darklantern.organisms import training
from darklantern.watch import Reaction, state_files
from darklantern.watch.attach.ranks import Alone


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def said(w) -> dict[str, str]:
    return dict(event.text.split(", SHA-256 ") for event in w.events if event.label == "checkpoint")


def test_a_second_alarm_at_the_same_step_keeps_the_states_of_the_first(tmp_path) -> None:
    """After the rollback the sixth look is at step 30 again."""
    script = Scripted(lambda look: 9.0 * (look in (5, 7)))
    w, made = start(script, [Reaction.CHECKPOINT, Reaction.ROLL_BACK], folder=tmp_path / "run", rollbacks=1, cooldown=1)
    run(w, made)
    w.close()
    assert [alarm.step for alarm in w.alarms] == [30, 30]
    assert sums(tmp_path / "run" / "checkpoints") == said(w)
    assert sorted(said(w)) == sorted(
        f"00000030-{tag}{again}.safetensors" for tag in ("clean-00000020", "alarm-00000030") for again in ("", "-2")
    )


def test_another_run_in_the_folder_keeps_them_too_and_resume_names_its_own(tmp_path) -> None:
    found = []
    for seed in (1, 2, 3):
        w, made = start(
            Scripted(lambda look: 9.0 * (look == 5)), [Reaction.CHECKPOINT, Reaction.STOP], folder=tmp_path / "run",
            of=(*training.new(RECIPE, seed), Marked(CORPUS, RECIPE, (1,))),
        )  # fmt: skip
        run(w, made)
        w.close()
        found.append(said(w))
        held = sums(tmp_path / "run" / "checkpoints")
        assert all(held[name] == digest for each in found for name, digest in each.items())
        (clean,) = (name for name in found[-1] if "-clean-" in name)
        assert w.checkpoints["clean"].name == clean
        assert repr(str(tmp_path / "run" / "checkpoints" / clean)) in w.resume
        assert load(w.checkpoints["clean"]).step == 20
    assert len(held) == 6


def test_two_ranks_agree_on_one_number(tmp_path) -> None:
    class Second:
        rank, count = 1, 2

        def gather(self, value):
            asked.append(value)
            return [["", len(asked) == 2], value]  # the first rank has a file of the second number

    asked: list[list[object]] = []
    (tmp_path / "00000030-clean-00000020-rank1.safetensors").touch()
    found = state_files.free(tmp_path, 30, {"clean": 20, "alarm": 30}, Second())
    assert asked == [["", True], ["", False], ["", False]]
    assert [path.name for path in found.values()] == [
        "00000030-clean-00000020-3-rank1.safetensors", "00000030-alarm-00000030-3-rank1.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize("there", [0, 1, 3])
def test_a_name_is_free_for_all_states_of_an_alarm(tmp_path, there: int) -> None:
    for number in range(1, there + 1):
        again = "" if number == 1 else f"-{number}"
        (tmp_path / f"00000030-{'alarm-00000030' if number % 2 else 'clean-00000020'}{again}.safetensors").touch()
    found = state_files.free(tmp_path, 30, {"clean": 20, "alarm": 30}, Alone())
    assert not any(path.exists() for path in found.values())
    ending = "" if not there else f"-{there + 1}"
    assert found["clean"].name == f"00000030-clean-00000020{ending}.safetensors"
