"""`darklantern forecast`: stated, due, answered, and what the record tells."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.test_finding_forms import filled, refuses, runs


@pytest.fixture
def form(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path / "finding.toml", title="Head 0.3 copies", author="Ada", time="2026-11-20T09:30:00Z")


def stated(form: Path, probability: float = 0.3, rater: str = "r1") -> str:
    return runs(
        *("forecast", "state", "told", form, "rediscovery", "12", str(probability)),
        *("--rater", rater, "--because", "two groups are near", "--on", "2026-11-23"),
    )


def test_a_forecast_is_due_and_answered_and_counted(form: Path) -> None:
    said = stated(form)
    assert "rediscovery within 12 months, 0.3" in said and "at V4" in said and "independently" in said
    stated(form, 0.5, "r2")
    assert "waiting, on 2027-11-23, 2 forecasts" in runs("forecast", "due", "told", "--on", "2027-01-01")
    late = runs("forecast", "due", "told", "--on", "2027-12-01")
    assert "due, 8 days overdue" in late
    name = late.split()[0]
    runs("forecast", "answer", "told", name, "rediscovery", "12", "yes", "--by", "r3", "--on", "2027-12-02")
    told = runs("forecast", "record", "told", "--base-rate", "rediscovery=0.15")
    assert "rediscovery within 12 months, all levels: 1 of 1 answered" in told and "too few to tell" in told
    assert "fewer than 2 resolved forecasts" in told and "leave little evidence in public" in told
    counts = json.loads(runs("forecast", "record", "told", "--json", "--level", "V0"))
    assert counts == {"counts": [], "scores": {}}


def test_scores_and_a_picture_of_several_findings(form: Path) -> None:
    for number in range(6):
        form = filled(
            form.parent / f"f{number}.toml", title=f"Finding {number}", author="Ada", time="2026-11-20T09:30:00Z"
        )
        name = stated(form, 0.9 if number % 2 else 0.05).split("finding ")[1].split()[0]
        outcome = "yes" if number % 2 else "no"
        runs("forecast", "answer", "told", name, "rediscovery", "12", outcome, "--by", "r3", "--on", "2027-12-02")
    told = runs("forecast", "record", "told", "--base-rate", "rediscovery=0.15", "--picture", "r.png")
    assert "rediscovery: Brier 0.006, base rate 0.372, 6 resolved" in told
    assert Path("r.png").stat().st_size > 5000


def test_power_says_how_little_few_forecasts_tell() -> None:
    said = runs("forecast", "power", "--resolved", "20", "--raters", "3", "--items", "5")
    assert "20 resolved" in said and "four times in five takes about 1" in said and "wide" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["state", "told", "finding.toml", "luck", "12", "0.3", "--rater", "r"], "expected one of rediscovery"),
        (["state", "told", "finding.toml", "leak", "7", "0.3", "--rater", "r"], "within 6, 12 or 24"),
        (["state", "told", "finding.toml", "leak", "12", "1.0", "--rater", "r"], "would not come back"),
        (["state", "told", "finding.toml", "leak", "12", "0.3", "--rater", "r", "--on", "soon"], "expected a day"),
        (["due", "nowhere"], "no folder"),
        (["record", "told", "--base-rate", "leak"], "EVENT=SHARE"),
        (["answer", "told", "abcd", "leak", "12", "yes", "--by", "r"], "expected one finding"),
        (["power"], "--resolved"),
    ],
)
def test_what_cannot_be_forecast_is_refused(form: Path, words: list[str], says: str) -> None:
    stated(form)
    assert says in refuses("forecast", *words).message


def test_a_file_that_is_no_record_is_named(form: Path) -> None:
    stated(form)
    Path("told/other.json").write_text("{}")
    assert "other.json is neither" in refuses("forecast", "due", "told").message
