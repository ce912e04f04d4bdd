"""SSVC's JSON: out and in again, what is refused, and what CERT/CC's own validator says of it."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from darklantern.assess import assess, combine, decide
from darklantern.assess.ssvc import (
    decision_point,
    decision_table,
    level_table,
    read_selections,
    read_table,
    selections,
)
from darklantern.errors import AssessmentError

from .answers import TABLE, answer, many_answers, measured

AT = "2026-11-23T20:00:00Z"
CODES = [sub.code for sub in TABLE.source.tables]
PEER = Path(__file__).parents[2] / ".ssvc"
"""CERT/CC's package by itself: `make .ssvc/.done`"""


def assessed(answers):
    return assess("ab" * 32, answers, TABLE, today=date(2026, 11, 23))


def data(value) -> bytes:
    return msgspec.json.encode(value)


@pytest.mark.parametrize("code", CODES)
def test_a_sub_table_comes_back_row_by_row(code) -> None:
    sub = next(sub for sub in TABLE.source.tables if sub.code == code)
    found = read_table(data(decision_table(TABLE, code)))
    assert (found.code, found.inputs, found.outcomes) == (sub.code, sub.inputs, sub.outcomes)
    assert set(found.rows) == set(sub.rows)


def test_the_level_in_one_table_has_108_rows_and_is_what_is_decided() -> None:
    found = level_table(TABLE)
    assert len(found.mapping) == 108
    assert len(read_table(data(found)).rows) == 108
    ids = {point.key: name for name, point in found.decision_points.items()}
    for answers in ([], [answer("U", "none_or_diffuse"), measured("F", "degrades"), answer("S", "strong")]):
        made = decide(answers, TABLE)
        row = {ids[code]: made.outcome.facts[code] for code in ("HAZ", "ADV", "F", "CHN")}
        (level,) = [each[found.outcome] for each in found.mapping if row.items() <= each.items()]
        assert level == made.operate


@settings(max_examples=60, deadline=None)
@given(many_answers())
def test_selections_come_back_as_what_was_left_open(answers) -> None:
    made = selections(assessed(answers), TABLE, AT)
    found = read_selections(data(made), TABLE, "somebody")
    left = combine(answers, TABLE)
    assert {each.criterion: each.values for each in found} == {code: each.values for code, each in left.items()}
    assert {each.kind for each in found} <= {"judged", "attested"} and {each.rater for each in found} == {"somebody"}
    assert decide(found, TABLE).operate == decide(answers, TABLE).operate


def test_what_goes_along_and_what_is_lost() -> None:
    own = measured("G", "none", evidence=("cd" * 32,))
    text = data(selections(assessed([own]), TABLE, AT)).decode()
    assert "sha256:" + "ab" * 32 in text and "urn:sha256:" + "cd" * 32 in text
    assert "measured" not in text


def changed(point="G", **change) -> bytes:
    told = json.loads(data(selections(assessed([]), TABLE, AT)))
    for each in told["selections"]:
        if each["key"] == point:
            each |= change
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"{", "no SSVC selection list"),
        (b"[" * 100_000, "no SSVC selection list"),
        (changed(namespace="ssvc"), "no decision point"),
        (changed(version="9.9.9"), "no decision point"),
        (changed(key="Q"), "not a criterion"),
        (changed(key="E", values=[{"key": "low"}]), "stands twice"),
        (changed(values=[{"key": "perhaps"}]), "no answer to G"),
        (changed(values=[]), "nothing is no answer"),
        (changed(values=[{"key": "none"}, {"key": "none"}]), "stands twice"),
        (b'{"timestamp":"2026-11-23T20:00:00Z","selections":[],"schemaVersion":"2.0.0"}', "selects nothing"),
        (changed().replace(AT.encode(), b"yesterday"), "expected a timestamp"),
        (changed().replace(AT.encode(), b"2026-11-23T20:00:00"), "expected a timestamp"),
        (changed(extra=1), "unknown field"),
        (changed().replace(b'"2.0.0"', b'"1.0.0"'), "schema 1.0.0"),
    ],
)
def test_selections_that_are_not_ours_are_refused(given, says) -> None:
    with pytest.raises(AssessmentError, match=says):
        read_selections(given, TABLE, "somebody")


def test_selections_about_another_finding_are_refused() -> None:
    given = changed()
    assert read_selections(given, TABLE, "somebody", finding="ab" * 32)
    with pytest.raises(AssessmentError, match="the finding is sha256:cdcd"):
        read_selections(given, TABLE, "somebody", finding="cd" * 32)


def faulty(change) -> bytes:
    told = json.loads(data(decision_table(TABLE, "CHN")))
    change(told)
    return json.dumps(told).encode()


def inverted(told) -> None:
    told["mapping"][0][told["outcome"]] = "high"


def ignored(told) -> None:
    """An input that never matters: the outcome of each row as of its first value."""
    name = next(each for each in told["decision_points"] if ":S:" in each)
    for row in told["mapping"]:
        first = row | {name: "strong"}
        row[told["outcome"]] = next(
            each[told["outcome"]]
            for each in json.loads(data(decision_table(TABLE, "CHN")))["mapping"]
            if first.items() - {(told["outcome"], first[told["outcome"]])} <= each.items()
        )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (inverted, "opens from high"),
        (ignored, "S never matters"),
        (lambda told: told["mapping"].pop(), "not total"),
        (lambda told: told["mapping"].append(told["mapping"][0]), "rows twice"),
        (lambda told: told["mapping"][0].popitem(), "columns"),
        (lambda told: told.update(outcome="x"), "none of its decision points"),
        (lambda told: told["mapping"][0].update({told["outcome"]: "extreme"}), "not among its outcomes"),
    ],
)
def test_tables_that_ssvcs_tools_would_refuse_are_refused_here(change, says) -> None:
    with pytest.raises(AssessmentError, match=says):
        read_table(faulty(change))


def test_a_code_that_is_none_is_refused() -> None:
    for make in (decision_point, decision_table):
        with pytest.raises(AssessmentError, match="'Q'"):
            make(TABLE, "Q")


VALIDATE = """
import json, sys
from ssvc.decision_points.base import DecisionPoint
from ssvc.decision_tables.base import DecisionTable
from ssvc.selection import SelectionList
kinds = {"point": DecisionPoint, "table": DecisionTable, "selections": SelectionList}
for line in sys.stdin:
    kind, text = json.loads(line)
    try:
        kinds[kind].model_validate_json(text)
        print("accepted")
    except ValueError as error:
        print("refused", type(error).__name__)
"""


def by_certcc(*given: tuple[str, bytes]) -> list[str]:
    """What CERT/CC's models say of each. Their package asks for Python 3.12 and runs on 3.11."""
    if not PEER.joinpath("ssvc").is_dir():
        if os.environ.get("CI"):
            pytest.fail("CERT/CC's validator is missing: make .ssvc/.done")
        pytest.skip("CERT/CC's validator is not here: make .ssvc/.done")
    lines = "\n".join(json.dumps([kind, text.decode()]) for kind, text in given)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VALIDATE],
        input=lines,
        env=os.environ | {"PYTHONPATH": str(PEER)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_certccs_own_validator_accepts_what_we_write_and_refuses_what_we_refuse() -> None:
    points = [("point", data(decision_point(TABLE, code))) for code in (*TABLE.scales, "LEVEL")]
    tables = [("table", data(decision_table(TABLE, code))) for code in CODES]
    chosen = ("selections", data(selections(assessed([answer("U", "indirect")]), TABLE, AT)))
    good = by_certcc(*points, *tables, ("table", data(level_table(TABLE))), chosen)
    assert good == ["accepted"] * (len(points) + len(tables) + 2)
    wrong = by_certcc(
        ("table", faulty(inverted)),
        ("table", faulty(ignored)),
        ("table", faulty(lambda told: told["mapping"].pop())),
        ("selections", changed(extra=1)),
    )
    assert [each.split()[0] for each in wrong] == ["refused"] * 4
