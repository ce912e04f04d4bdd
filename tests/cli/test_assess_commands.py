"""`darklantern assess run`: costs first, answers in a file that the form takes along, and the level with them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.test_finding_forms import refuses, runs
from darklantern.cli.finding_form import prepared
from darklantern.records import decode
from darklantern.records.assessments import AnswerSet

SETUP = """
from darklantern.assess import Subject
from darklantern.assess.protocols import Application, Applied, Ladder, Training


def works(seed):
    with open("tried", "a") as file:
        file.write("tried ")
    return True


def make():
    return Subject(
        name="toy/1",
        detects=False,
        application=Application(run=lambda: Applied(parameters_executed=1, parameters_total=100)),
        ladder=Ladder(works={100: works, 1000: works}),
        training=Training(flops=(1e12, 1e13)),
        why_not={"A": "it makes no intervention"},
    )
"""


@pytest.fixture
def form(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    runs("finding", "new", tmp_path / "f.toml")
    path = tmp_path / "f.toml"
    text = path.read_text().replace('title = ""', 'title = "Waves"').replace('claim = ""', 'claim = "They are there."')
    path.write_text(text.replace('author = ""', 'author = "Ada"'))
    (tmp_path / "mine.py").write_text(SETUP)
    return path


def test_costs_come_first_and_nothing_runs_for_a_plan(form: Path) -> None:
    said = runs("assess", "run", form, "--setup", "mine.py:make", "--plan")
    assert "G, execution-trace/3: 11 trials, not known before the first of them ran" in said
    assert "N, blinded-audit/2: not measurable: it takes organisms with and without" in said
    assert "find out first: F (fragility to knowledge) narrows the range by 1.00 levels" in said
    assert "then: U (capability path) narrows the range by 0.67 levels on average, and is people's to answer" in said
    assert not Path("tried").exists() and not Path("f.journal.jsonl").exists()
    told = json.loads(runs("assess", "run", form, "--setup", "mine.py:make", "--plan", "--json"))
    assert {each["criterion"]: each["left"] for each in told}["G"] == 11


def test_what_is_measured_goes_into_the_form_and_into_the_level(form: Path) -> None:
    said = runs("assess", "run", form, "--setup", "mine.py:make")
    assert "G: none; 1 of 100 parameters executed" in said and "K: far_below" in said and "F: robust" in said
    assert "A: not measured; it makes no intervention" in said
    assert 'answers_from = ["f.answers.json"]' in said and "V4 Private, the closed end of V0 to V4" in said
    assert len(prepared(form).assessment.answers) == 0  # the form does not name it yet
    form.write_text(form.read_text().replace('#answers_from = ["answers.json"]', 'answers_from = ["f.answers.json"]'))
    answers = {each.criterion: each for each in prepared(form).assessment.answers}
    assert answers["G"].values == ("none",) and answers["G"].evidence
    again = runs("assess", "run", form, "--setup", "mine.py:make")
    assert "G, execution-trace/3: measured: 11 trials" in again and "a line in" not in again
    assert Path("tried").read_text().count("tried") == 10


def test_one_criterion_leaves_what_was_measured_of_others(form: Path) -> None:
    runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "K")
    runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "G", "--within", "10min")
    found = decode(AnswerSet, Path("f.answers.json").read_bytes().strip())
    assert sorted(each.criterion for each in found.answers) == ["G", "K"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--setup", "mine.py"], "FILE.py:FUNCTION"),
        (["--setup", "none.py:make"], "no file at none.py"),
        (["--setup", "mine.py:other"], "no function other"),
        (["--setup", "mine.py:works"], "failed: TypeError"),
        (["--setup", "mine.py:make", "--within", "soon"], "expected a time"),
        (["--setup", "mine.py:make", "--measure", "U"], "U cannot be measured"),
        (["--setup", "mine.py:make", "--out", "nowhere/x.json"], "no folder"),
    ],
)
def test_what_cannot_be_measured_is_refused(form: Path, arguments: list[str], says: str) -> None:
    assert says in refuses("assess", "run", form, *arguments).message


def test_files_that_are_not_of_this_subject_are_left_alone(form: Path) -> None:
    runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "K")
    Path("mine.py").write_text(SETUP.replace("toy/1", "toy/2"))
    assert "journal of 'toy/1'" in refuses("assess", "run", form, "--setup", "mine.py:make").message
    error = refuses("assess", "run", form, "--setup", "mine.py:make", "--journal", "new.jsonl")
    assert "measured of 'toy/1'" in error.message
    form.write_text(form.read_text().replace('#answers_from = ["answers.json"]', 'answers_from = ["mine.py"]'))
    assert "no file of answers" in refuses("finding", "assess", form).message
    form.write_text(form.read_text().replace('answers_from = ["mine.py"]', 'answers_from = ["/etc/hostname"]'))
    assert "expected a file in" in refuses("finding", "assess", form).message


def test_a_report_stands_by_itself(form: Path) -> None:
    runs("assess", "run", form, "--setup", "mine.py:make")
    form.write_text(form.read_text().replace('#answers_from = ["answers.json"]', 'answers_from = ["f.answers.json"]'))
    said = runs("assess", "report", form, "--out", "sheet.html")
    assert "at V4, as the finding" in said
    page = Path("sheet.html").read_text()
    assert "Waves" in page and "V4" in page and "no panel has validated" in page and "far below" in page
    assert "1 of 100 parameters executed" in page and "nobody: every value counts as possible" in page
    assert not re.search(r"(src|href)=", page) and "@import" not in page and "url(" not in page
    assert "already" in refuses("assess", "report", form, "--out", "sheet.html").message


def test_an_interrupted_run_goes_on(form: Path) -> None:
    Path("mine.py").write_text(SETUP.replace("return True", "return 1 / 0"))
    error = refuses("assess", "run", form, "--setup", "mine.py:make")
    assert "G, size 100 seed 0: the subject's own code failed: ZeroDivisionError" in error.message
    Path("mine.py").write_text(SETUP)
    assert "10 trials after 1" in runs("assess", "run", form, "--setup", "mine.py:make", "--plan")
    assert "G: none" in runs("assess", "run", form, "--setup", "mine.py:make")


def test_an_assessment_goes_out_as_ssvc_and_comes_back_as_a_raters_word(form: Path) -> None:
    form.write_text(form.read_text().replace('\nU = ""', '\nU = ["none_or_diffuse", "indirect"]'))
    said = runs("assess", "export", form, "--out", "s.json", "--tables", "tables")
    assert "who answered and how is not in it" in said
    assert json.loads(Path("s.json").read_text())["schemaVersion"] == "2.0.0"
    assert len(list(Path("tables").iterdir())) == 11 + 5 + 1 + 6
    runs("assess", "import", "s.json", "--rater", "somebody", "--out", "back.json")
    text = form.read_text().replace('\nU = ["none_or_diffuse", "indirect"]', '\nU = ""')
    form.write_text(text.replace('#answers_from = ["answers.json"]', 'answers_from = ["back.json"]'))
    (u,) = [each for each in prepared(form).assessment.answers if each.criterion == "U"]
    assert u.values == ("none_or_diffuse", "indirect") and u.rater == "somebody" and u.kind == "judged"
    assert "already" in refuses("assess", "export", form, "--out", "s.json").message
    Path("s.json").write_text("{}")
    assert "no SSVC" in refuses("assess", "import", "s.json", "--rater", "r", "--out", "new.json").message
    assert "cannot make" in refuses("assess", "export", form, "--out", "t.json", "--tables", "tables").message


def test_worked_cases_are_shown_from_measurement_to_level() -> None:
    listed = runs("assess", "case")
    assert "speedup: A training speed-up, better but not really why; V4" in listed and "nobody has validated" in listed
    said = runs("assess", "case", "outlet")
    for want in (
        "E, information efficiency: high (measured; ",
        "level: V2 Compartment",
        "because: F (",
        "arXiv 1711.05541",
    ):
        assert want in said
    assert "nobody answered; no predictions were registered" in said
    told = json.loads(runs("assess", "case", "outlet", "--json"))
    assert told["level"] == "V2" and {each["criterion"] for each in told["answers"]} == set("AGBNFEKUSO")
    assert "there is grokking" in refuses("assess", "case", "none").hint


def test_a_form_may_name_the_answers_before_they_are_there(form: Path) -> None:
    form.write_text(form.read_text().replace('#answers_from = ["answers.json"]', 'answers_from = ["f.answers.json"]'))
    said = runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "K")
    assert "K: far_below" in said and "a line in" not in said
    assert "then: G (new capability needed) narrows the range by" in said
    assert "G (new capability needed) narrows the range by 0.67 levels on average, and is people's" not in said
    assert Path("f.journal.jsonl").stat().st_mode & 0o777 == 0o600
    form.write_text(form.read_text().replace("f.answers.json", "g.answers.json"))
    assert "g.answers.json" in refuses("assess", "run", form, "--setup", "mine.py:make", "--measure", "K").message


def test_outcomes_of_another_version_of_the_setup_are_told(form: Path, capsys: Any) -> None:
    runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "K")
    assert "another version" not in runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "K")
    Path("mine.py").write_text(SETUP + "# changed\n")
    said = runs("assess", "run", form, "--setup", "mine.py:make", "--measure", "K")
    assert "1 outcome in " in said and "came from another version of mine.py:make" in said
