"""`darklantern box`: planned, run, looked at, unsealed, ended; and what is refused says why."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from box.test_box_runs import declared

from cli.test_finding_forms import refuses, runs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    declared(tmp_path, "inside.send('loss', 0.3)\nprint('printed')", wall="1s", bits=80.0)
    return tmp_path / "box.toml"


def test_a_plan_says_what_it_could_cost_and_runs_nothing(box: Path) -> None:
    said = runs("box", "plan", box)
    for want in (
        "mode slots: 4 slots of 0.25 s",
        "a message costs 3.91 bits",
        "80.00 bits of the budget are left",
        "rung ",
    ):
        assert want in said
    assert not (box.parent / "project").exists()
    told = json.loads(runs("box", "plan", box, "--json"))
    assert told["microbits"]["left"] == 80_000_000 and told["microbits"]["worst"] >= told["microbits"]["expected"]


def test_a_run_shows_what_is_released_and_is_looked_at_afterwards(box: Path) -> None:
    said = runs("box", "run", box)
    assert "0: loss: 0.375" in said and "ended: ok" in said and "printed" not in said
    (folder,) = (box.parent / "project" / "runs").iterdir()
    seen = runs("box", "view", folder)
    assert "0: loss: 0.375" in seen and "bits so far" in seen
    report = runs("box", "report", folder)
    assert "held: no internet" in report and "watchdog, not enforced" in report
    out = box.parent / "log"
    assert "7 bytes, for 59.00 bits" in runs("box", "unseal", folder, "--bytes", "7", "--out", out)
    assert out.read_bytes() == b"printed"
    assert "are left" in refuses("box", "unseal", folder, "--bytes", "7", "--out", box.parent / "more").message
    assert "closed" in runs("box", "run", box) or "bits of the project's budget are left" in runs("box", "run", box)
    assert json.loads(runs("box", "report", folder, "--json"))["run"] == folder.name


def test_the_doctor_tries_what_this_machine_holds(box: Path) -> None:
    said = runs("box", "doctor")
    assert "held: no namespaces of its own" in said and "mind: " in said
    assert json.loads(runs("box", "doctor", "--json"))["rung"] in ("A", "B")


def test_a_rehearsal_says_that_nothing_holds_it(box: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = runs("box", "rehearse", box)
    assert "NOT CONFINED: loss, symbol 1" in said
    assert not (box.parent / "project").exists()


def test_a_kill_and_a_key_end_a_run_whole(box: Path) -> None:
    declared(box.parent, "time.sleep(60)", wall="60s", bits=80.0)
    for end in ("kill", "key"):
        child = subprocess.Popen(
            [sys.executable, "-m", "darklantern", "box", "run", box],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        assert child.stderr is not None and b"Ctrl-C ends it whole" in child.stderr.readline()
        time.sleep(0.3)
        if end == "kill":
            assert "asked process" in runs("box", "kill", box.parent / "project")
        else:
            child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
        assert child.returncode != 0
        left = [path for path in (box.parent / "project" / "runs").iterdir() if (path / "volume").exists()]
        assert not left
    assert "no run of" in refuses("box", "kill", box.parent / "project").message


def test_what_is_no_run_and_no_declaration_is_refused(box: Path) -> None:
    for words in (("view", "."), ("report", "."), ("unseal", ".", "--bytes", "1", "--out", "x")):
        assert "is no run of a box" in refuses("box", *words).message
    assert "cannot read" in refuses("box", "plan", "nowhere.toml").message
