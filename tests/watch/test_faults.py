"""The faults that a watched run must survive, each in the flesh: nothing is lost, and the cause is named.

More of each: missing taps in test_self_test, failures at an alarm in test_failing, ranks in test_sharded.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from watch.faults_worker import train
from watch.loops import RECIPE, Scripted, parts, run, start

from darklantern.errors import DarkLanternError, WatchError
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training

HERE = Path(__file__).parent
TESTS = HERE.parent


def undisturbed(end: int | None = None) -> str:
    """The weights that the same steps come to when nobody watches."""
    model, optimizer, loader = parts(end=end)
    for step, batch in enumerate(loader):
        training.train_step(model, optimizer, RECIPE, step, batch)
    return weights_hash(model)


def process(name: str, *words: str) -> subprocess.Popen[str]:
    """A worker that lies beside this file."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, str(HERE / name), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_missing_tap_ends_it_before_the_first_step() -> None:
    w, (model, optimizer, loader) = start(Scripted(lambda look: 0.0))
    before, tapped = weights_hash(model), model.layers[0]
    model.layers[0] = torch.nn.Identity()  # the block that is tapped runs no more
    with pytest.raises(DarkLanternError, match=r"layers\.0"):
        run(w, (model, optimizer, loader))
    model.layers[0] = tapped
    assert (w.step, loader.state()["step"], weights_hash(model)) == (0, 0, before)


def not_finite(look: int) -> float:
    return float("nan") if look == 3 else 0.0


def raises(look: int) -> float:
    return 1 / 0 if look == 3 else 0.0


@pytest.mark.parametrize("how", ["go on", "raise", "pause"])
@pytest.mark.parametrize(("fault", "cause"), [(not_finite, "read Reading"), (raises, "division by zero")])
def test_a_signal_that_fails_costs_one_look(fault, cause: str, how: str) -> None:
    w, made = start(Scripted(fault), on_failure=how)
    with nullcontext() if how == "go on" else pytest.raises((WatchError, ZeroDivisionError), match=cause):
        run(w, made)
    failure = next(event for event in w.events if event.label == "failure")
    assert failure.step == 20 and cause in failure.text
    if how != "go on":
        assert w.step == made[2].state()["step"] == 20, "the batch in hand went back"
        run(w, made)
    assert w.trace.steps == [step for step in range(5, 61, 5) if step != 20]
    assert weights_hash(made[0]) == undisturbed()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own: root's tmpfs."""
    made = tmp_path / "disk"
    made.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=262144", "tmpfs", str(made)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root that may mount, for a small disk")
    yield made
    subprocess.run(["umount", "-l", str(made)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_at_a_checkpoint_keeps_nobody_from_the_rollback(disk: Path, tmp_path: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        file.write(bytes(180_000))
    w, weights = train(disk)
    failures = [event.text for event in w.events if event.label == "failure"]
    assert len(failures) == 2 and all("No space left" in text for text in failures)
    assert w.rollbacks == 1 and w.step == RECIPE.end
    assert not list((disk / "run" / "checkpoints").iterdir()), "no half of one"
    assert weights == train(tmp_path)[1], "as with room on the disk"


@pytest.mark.slow
def test_kill_9_between_checkpoint_and_rollback_loses_nothing(tmp_path: Path) -> None:
    with process("faults_worker.py", str(tmp_path), "fresh", "dies") as killed:
        said = killed.communicate(timeout=120)[1]
    assert killed.returncode == -signal.SIGKILL, said
    tags = [path.name.split("-")[1] for path in sorted((tmp_path / "run" / "checkpoints").iterdir())]
    assert tags == ["alarm", "clean"], "both are whole, with no remains of a third"
    with process("faults_worker.py", str(tmp_path), "resumed") as resumed:
        said, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert "alarm: step 35" in said and "rollback: screening" in said, "what it was about to answer is answered now"
    assert "goes on: from look 5, at step 25" in said and "uncalibrated" not in said, "a claimed rate stays"
    assert said.splitlines()[-1] == train(tmp_path / "other")[1], "bit for bit as if nobody had killed it"


@pytest.mark.slow
def test_of_two_ranks_one_is_killed_and_the_other_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with process("faults_rank_worker.py", "0", port) as left, process("faults_rank_worker.py", "1", port) as killed:
        said, errors = left.communicate(timeout=120)
        killed.communicate(timeout=10)
    assert killed.returncode == -signal.SIGKILL
    assert left.returncode == 0, errors
    *cause, step, drawn, weights, plain = said.splitlines()
    assert "no longer hear each other" in " ".join(cause)
    assert step == drawn == "20", "the batch in hand went back"
    assert weights == plain
