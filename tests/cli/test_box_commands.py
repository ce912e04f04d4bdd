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
from darklantern.cli.finding_form import prepared
from darklantern.errors import BoxError

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
    assert "1 of 4: loss: 0.375 (3.91 bits)" in said and "ended: ok" in said and "printed" not in said
    (folder,) = (box.parent / "project" / "runs").iterdir()
    seen = runs("box", "view", folder)
    assert "1 of 4: loss: 0.375 (3.91 bits)" in seen and "over; " in seen and "bits so far" in seen
    report = runs("box", "report", folder)
    assert "held: no internet" in report and "watchdog, not enforced" in report
    out = box.parent / "log"
    assert "7 bytes, for 59.00 bits" in runs("box", "unseal", folder, "--bytes", "7", "--out", out)
    assert out.read_bytes() == b"printed"
    assert "are left" in refuses("box", "unseal", folder, "--bytes", "7", "--out", box.parent / "more").message
    with pytest.raises(BoxError, match=r"a first step may cost 4\.58 bits"):
        for _ in range(4):
            runs("box", "run", box)
    assert json.loads(runs("box", "report", folder, "--json"))["run"] == folder.name


def test_a_view_follows_a_run_to_its_end(box: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "darklantern", "box", "run", box],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert child.stderr is not None and b"Ctrl-C ends it whole" in child.stderr.readline()
    (folder,) = (box.parent / "project" / "runs").iterdir()
    assert "goes on; " in runs("box", "view", folder)
    said = runs("box", "view", folder, "--follow")
    child.communicate()
    assert "ended: ok" in said and "over; " in said and said == runs("box", "view", folder)


def test_the_doctor_tries_what_this_machine_holds(box: Path) -> None:
    said = runs("box", "doctor")
    assert "held: no namespaces of its own" in said and "mind: " in said
    assert json.loads(runs("box", "doctor", "--json"))["rung"] in ("A", "B")


def test_a_rehearsal_says_that_nothing_holds_it(box: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = runs("box", "rehearse", box)
    assert "NOT CONFINED: loss: 0.375" in said
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


def test_a_run_becomes_a_finding_with_what_it_cost(box: Path) -> None:
    runs("box", "run", box)
    (folder,) = (box.parent / "project" / "runs").iterdir()
    form = box.parent / "f.toml"
    runs("box", "finding", folder, form)
    text = form.read_text().replace('title = ""', 'title = "It said so"').replace('claim = ""', 'claim = "In a box."')
    form.write_text(text.replace('author = ""', 'author = "Ada"'))
    made = prepared(form)
    (evidence,) = made.finding.evidence
    assert evidence.figures[0].unit == "bits" and 0 < evidence.figures[0].value <= 80
    assert {each.name for each in evidence.artifacts} == {"f.released.json", "f.report.json"}
    (answer,) = made.assessment.answers
    assert (answer.criterion, answer.values, answer.kind) == ("S", ("partial",), "attested")
    assert "no internet" in answer.text
    assert "exists" in refuses("box", "finding", folder, form).message or form.read_text() == text.replace(
        'author = ""', 'author = "Ada"'
    )


def test_what_runs_told_is_held_against_what_they_spent(box: Path) -> None:
    """An outlet that says which of two things is true."""
    folder, project = box.parent, box.parent / "project"
    for truth in (0, 1, 0, 1):
        declared(folder, f"inside.send('loss', {0.1 + 0.8 * truth})", outlet='mode = "final"', wall="0.5s")
        runs("box", "run", box)
    names = sorted(each.name for each in (project / "runs").iterdir())
    listed = "".join(f'"{name}" = {place % 2}\n' for place, name in enumerate(names))
    (folder / "truths.toml").write_text(f"prior = [0.5, 0.5]\n[truth]\n{listed}")
    said = runs("box", "efficiency", project, folder / "truths.toml", "--out", folder / "e.json")
    assert "E: high or medium or low; " in said and "of 4.3" in said and "4 models" in said
    assert (folder / "e.json").exists()
    for wrong, says in (
        ("prior = [1.0]\n[truth]\n", "names no truths"),
        ("prior = [0.5, 0.5]\n[truth]\n", "0 runs, of 2 classes"),
        ('prior = [0.5, 0.5]\n[truth]\n"9-none" = 1\n', "no run 9-none"),
    ):
        (folder / "truths.toml").write_text(wrong)
        assert says in refuses("box", "efficiency", project, folder / "truths.toml", "--out", folder / "f.json").message


def test_a_rehearsal_says_what_a_tripwire_would_do(box: Path) -> None:
    (box.parent / "monitor.py").write_text(
        "import sys\nfrom darklantern.box import inside\n"
        "with inside.told() as told:\n    sys.exit(told.read() == b'drift')\n"
    )
    wire = '[tripwire]\ncommand = ["python", "/box/inputs/monitor.py"]\ninputs = { "monitor.py" = "monitor.py" }'
    for word, says in (
        ("drift", "the tripwire trips: its monitor ended with 1"),
        ("fine!", "the tripwire does not trip"),
    ):
        declared(box.parent, f"inside.tell(b'{word}')", more=wire)
        assert says in runs("box", "rehearse", box)
    declared(box.parent, "")
    box.write_text(box.read_text().replace('"python"', '"no-such-program"'))
    assert "does not start" in refuses("box", "rehearse", box).message
