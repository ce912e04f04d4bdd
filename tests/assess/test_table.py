"""The shipped table is the one that was designed, as arithmetic states it; a faulty one is refused."""

import json
from importlib.resources import files
from itertools import product
from typing import get_args

import numpy as np
import pytest

from darklantern.assess import evaluate, load, parse
from darklantern.errors import AssessmentError
from darklantern.records.assessments import LEVELS, Code

from .answers import TABLE, most_open

CODES = "AGBNWFEKUSO"


def rank(code, value) -> int:
    return TABLE.scales[code].index(value)


def by_formula(code, inputs) -> int:
    """v0.1.0 as it was designed, in arithmetic: an oracle for the rows."""
    match code, inputs:
        case "ADV", (a, n, b, o):
            s = n + b + o
            return [int(s > 3), 1 if s <= 2 else 2, 2][a]
        case "HAZ", (g, u, w):
            b = max(g, u)
            if w:
                b = max(1, b) + (u >= 1)
            if g == u == 2:
                b = max(b, 3)
            return min(b, 3)
        case "CHN", (e, 0, s):
            return int(e == s == 2)
        case "CHN", (e, k, s):
            return [0, 0, 0, 1, 1, 2, 2][e + k + s]
        case "BASE", (haz, adv):
            return [[0, 0, 1], [0, 1, 2], [2, 2, 3], [3, 4, 4]][haz][adv]
        case "RUN", (chn, g):
            return max(chn, g)
    raise AssertionError(code)


@pytest.mark.parametrize(("code", "rows"), [("ADV", 54), ("HAZ", 18), ("CHN", 27), ("BASE", 12), ("RUN", 9)])
def test_every_row_is_the_formula(code, rows) -> None:
    sub = next(sub for sub in TABLE.source.tables if sub.code == code)
    assert len(sub.rows) == rows
    for *inputs, outcome in sub.rows:
        ranks = tuple(rank(name, value) for name, value in zip(sub.inputs, inputs, strict=True))
        assert rank(code, outcome) == by_formula(code, ranks)


def test_the_floors_and_the_base_make_the_108_rows_of_the_level() -> None:
    def by_design(haz, adv, f, chn) -> int:
        high = haz >= 2, chn == 2, f == 2
        return max(
            by_formula("BASE", (haz, adv)),
            f,
            chn,
            3 if high[0] and (high[1] or high[2]) else 0,
            3 if high[1] and high[2] else 0,
            4 if all(high) else 0,
        )

    def by_table(haz, adv, f, chn) -> int:
        facts = {"HAZ": haz, "ADV": adv, "F": f, "CHN": chn}
        cell = TABLE.cells["BASE"][TABLE.scales["HAZ"][haz], TABLE.scales["ADV"][adv]]
        floors = [
            floor.level
            for floor in TABLE.source.floors
            if all(facts[code] >= rank(code, value) for code, value in floor.at_least.items())
        ]
        return LEVELS.index(max([cell, *floors]))

    cells = list(product(range(4), range(3), range(3), range(3)))
    assert len(cells) == 108
    assert [by_table(*cell) for cell in cells] == [by_design(*cell) for cell in cells]


def test_codes_match_the_record_and_make_78732_assignments(levels) -> None:
    assert tuple(TABLE.criteria) == get_args(Code) == tuple(CODES)
    assert levels.size == 78_732


@pytest.mark.parametrize("axis", range(11), ids=list(CODES))
def test_closing_one_input_never_opens_the_level_or_the_run(levels, runs, axis) -> None:
    assert (np.diff(levels, axis=axis) >= 0).all()
    assert (np.diff(runs, axis=axis) >= 0).all()


def test_every_criterion_can_change_the_level(levels) -> None:
    for axis in range(levels.ndim):
        assert np.diff(levels, axis=axis).any()


def test_the_table_leans_closed_and_says_so(levels) -> None:
    """1.5 % of all assignments are Open; the spec page repeats the number."""
    assert (levels == 0).mean() == pytest.approx(0.015, abs=0.0005)


FLOOR_CASES = [
    # (floor, level, what differs from the most open assignment)
    ("knowledge-weakens", "V1", {"F": "degrades"}),
    ("knowledge-breaks", "V2", {"F": "broken"}),
    ("channel-medium", "V1", {"E": "low", "S": "none"}),
    ("channel-high", "V2", {"E": "low", "S": "none", "K": "below"}),
    ("hazard-and-channel", "V3", {"G": "creates", "E": "low", "S": "none", "K": "below"}),
    ("hazard-and-knowledge", "V3", {"G": "creates", "F": "broken"}),
    ("channel-and-knowledge", "V3", {"E": "low", "S": "none", "K": "below", "F": "broken"}),
    ("hazard-channel-knowledge", "V4", {"G": "creates", "E": "low", "S": "none", "K": "below", "F": "broken"}),
]


@pytest.mark.parametrize(("floor", "level", "but"), FLOOR_CASES, ids=[case[0] for case in FLOOR_CASES])
def test_each_floor_binds_by_itself(floor, level, but) -> None:
    outcome = evaluate(TABLE, most_open(**but))
    assert outcome.level == level
    assert floor in [rule.id for rule in outcome.binding]
    assert "base" not in [rule.id for rule in outcome.binding]


def test_no_floor_is_left_without_a_case() -> None:
    assert {case[0] for case in FLOOR_CASES} == {floor.id for floor in TABLE.source.floors}


def test_direct_use_makes_any_interpreted_model_count_as_frontier() -> None:
    outcome = evaluate(TABLE, most_open(U="direct", K="far_below"))
    assert outcome.facts["K"] == "at_frontier"
    assert [rule.id for rule in outcome.raised] == ["K-from-U"]
    assert not evaluate(TABLE, most_open(U="direct", K="at_frontier")).raised
    assert not evaluate(TABLE, most_open(U="indirect")).raised


def test_better_but_not_why_is_private() -> None:
    """The essay's warning: "well enough to make it better but not really why it got better"."""
    outcome = evaluate(TABLE, most_open(A="capability", W="unexplained", U="direct"))
    assert outcome.level == "V4"
    assert [rule.id for rule in outcome.binding] == ["base"]


def test_grokking_is_open_because_the_table_was_fitted_to_it() -> None:
    """Published, with "indirect and diffuse" effects by its author's account, far from the frontier.

    The first ADV thresholds gave V1 and were changed: this anchor shows the fit and validates
    nothing. Only the outcome was written down, not the answers; these are our reading, and they sit on the
    edge that was fitted: one answer more closed and the table is back at V1.
    """
    grokking = most_open(A="mixed", B="one", O="insight", E="medium", S="none")
    assert evaluate(TABLE, grokking).level == "V0"
    assert evaluate(TABLE, grokking | {"N": "neutral"}).level == "V1"


def test_an_unknown_code_or_value_names_the_allowed_ones() -> None:
    with pytest.raises(AssessmentError) as code:
        evaluate(TABLE, most_open(Z="direct"))
    assert "A, G, B, N, W, F, E, K, U, S, O" in code.value.hint
    with pytest.raises(AssessmentError) as value:
        evaluate(TABLE, most_open(U="maybe"))
    assert "none_or_diffuse, indirect, direct" in value.value.hint
    with pytest.raises(AssessmentError, match="no value for U"):
        evaluate(TABLE, {code: value for code, value in most_open().items() if code != "U"})


def planted(change) -> bytes:
    """The shipped file with one fault."""
    source = json.loads(files("darklantern.assess").joinpath("table_v0_1_0.json").read_bytes())
    source["sub"] = {sub["code"]: sub for sub in source["tables"]}
    change(source)
    del source["sub"]
    return json.dumps(source).encode()


def ignore_tool_or_insight(source) -> None:
    """Gives every ADV row the outcome of its "tool" twin."""
    rows = source["sub"]["ADV"]["rows"]
    source["sub"]["ADV"]["rows"] = [[*row[:-1], rows[i - i % 2][-1]] for i, row in enumerate(rows)]


FAULTS = {
    "no table": (lambda s: s.clear() or s.update(sub={}), "is no decision table"),
    "a field nobody knows": (lambda s: s.update(extra=1), "unknown field"),
    "a row is missing": (lambda s: s["sub"]["CHN"]["rows"].pop(), "CHN is not total"),
    "a row twice": (lambda s: s["sub"]["CHN"]["rows"].append(s["sub"]["CHN"]["rows"][0]), "1 rows twice"),
    "a row inverted": (lambda s: s["sub"]["HAZ"]["rows"][-1].__setitem__(-1, "low"), "HAZ opens from"),
    "an input ignored": (ignore_tool_or_insight, "input O never matters in sub-table ADV"),
    "an outcome unknown": (lambda s: s["sub"]["RUN"]["rows"][0].__setitem__(-1, "maybe"), "gives 'maybe'"),
    "an input unknown": (lambda s: s["sub"]["RUN"]["inputs"].__setitem__(0, "Z"), "reads Z"),
    "outcomes that are no levels": (lambda s: s["sub"]["RUN"].update(code="FLY"), "RUN must have the outcomes"),
    "a code twice": (lambda s: s["criteria"].append(s["criteria"][0]), "A is defined twice"),
    "a floor on nothing": (lambda s: s["floors"][0].update(at_least={}), "has no condition"),
    "a floor on a value unknown": (lambda s: s["floors"][0].update(at_least={"F": "dented"}), "F=dented"),
    "a raise that reads a sub-table": (lambda s: s["raises"][0].update(at_least={"HAZ": "high"}), "HAZ=high"),
    "a level never reviewed": (lambda s: s["review_days"].pop("V3"), "needs a review time"),
    "thresholds the wrong way": (lambda s: s["thresholds"].update(retention=[0.5, 0.9]), "do not fall"),
    "a criterion nobody may answer": (lambda s: s["criteria"][0].update(kinds=[]), "accepts no kind"),
    "a scale of one value": (lambda s: s["criteria"][0].update(values=["alignment"]), "two or more"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_is_refused(fault) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(AssessmentError, match=message):
        parse(planted(change))


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(AssessmentError, match=r"no decision table 9\.9\.9"):
        load("9.9.9")


@pytest.mark.parametrize("version", ["é" * 190, "../0.1.0", "0_1_0", "\0", "/etc/passwd"])
def test_a_peers_version_never_becomes_a_files_name(version: str) -> None:
    with pytest.raises(AssessmentError, match="no decision table"):
        load(version)
