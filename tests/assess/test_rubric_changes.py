"""Changes to the rubric: what is accepted is total and never opens when an input closes; the rest names its place."""

import json
from importlib.resources import files
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.assess import Table, evaluate, parse
from darklantern.assess.table import RUNS
from darklantern.errors import AssessmentError
from darklantern.records.assessments import LEVELS

from .answers import TABLE

SHIPPED = files("darklantern.assess").joinpath("table_v0_1_0.json").read_text()
CODES = [sub.code for sub in TABLE.source.tables]


def shipped() -> Any:
    return json.loads(SHIPPED)


def parsed(told: Any) -> Table:
    return parse(json.dumps(told).encode())


@st.composite
def a_row_moved(draw) -> Any:
    told = shipped()
    sub = draw(st.sampled_from(told["tables"]))
    row = draw(st.sampled_from(sub["rows"]))
    row[-1] = draw(st.sampled_from(sub["outcomes"]))
    return told


@st.composite
def a_floor_changed(draw) -> Any:
    told = shipped()
    floor = draw(st.sampled_from(told["floors"]))
    floor["level"] = draw(st.sampled_from(LEVELS))
    code = draw(st.sampled_from(sorted(TABLE.scales)))
    floor["at_least"] = {code: draw(st.sampled_from(TABLE.scales[code]))} if draw(st.booleans()) else floor["at_least"]
    return told


@st.composite
def a_raise_changed(draw) -> Any:
    told = shipped()
    codes = sorted(TABLE.criteria)
    one, other = draw(st.sampled_from(codes)), draw(st.sampled_from(codes))
    at_least = {one: draw(st.sampled_from(TABLE.scales[one]))}
    raises = {other: draw(st.sampled_from(TABLE.scales[other]))}
    told["raises"].append({"id": "drawn", "at_least": at_least, "raises": raises, "because": "a test"})
    return told


def never_opens(table: Table, draw: Any) -> None:
    """Along random chains from the most open assignment to the most closed, level and run only rise."""
    at = {code: scale.values[0] for code, scale in table.criteria.items()}
    before = evaluate(table, at)
    while steps := [code for code, value in at.items() if value != table.scales[code][-1]]:
        code = draw(st.sampled_from(steps))
        at = at | {code: table.scales[code][table.rank(code, at[code]) + 1]}
        now = evaluate(table, at)
        assert now.level >= before.level
        assert RUNS.index(now.run) >= RUNS.index(before.run)
        before = now


@settings(max_examples=150, deadline=None)
@given(st.data(), st.one_of(a_row_moved(), a_floor_changed(), a_raise_changed()))
def test_what_is_accepted_never_opens_when_an_input_closes(data, told) -> None:
    try:
        table = parsed(told)
    except AssessmentError as error:
        assert any(code in error.message for code in (*CODES, "floor", "raise", "drawn")) and error.hint
        return
    never_opens(table, data.draw)


@settings(max_examples=150, deadline=None)
@given(a_row_moved())
def test_a_row_is_refused_just_when_it_is_out_of_order_or_makes_an_input_idle(told) -> None:
    """The definition, by brute force over pairs of rows."""

    def right(sub) -> bool:
        scales = {code: TABLE.scales[code] for code in sub["inputs"]}
        cells = {tuple(row[:-1]): sub["outcomes"].index(row[-1]) for row in sub["rows"]}
        idle = set(sub["inputs"])
        for inputs, outcome in cells.items():
            for place, code in enumerate(sub["inputs"]):
                later = scales[code][scales[code].index(inputs[place]) + 1 :]
                for value in later:
                    closed = cells[(*inputs[:place], value, *inputs[place + 1 :])]
                    if closed < outcome:
                        return False
                    idle -= {code} if closed != outcome else set()
        return not idle

    expected = all(right(sub) for sub in told["tables"])
    if expected:
        parsed(told)
    else:
        with pytest.raises(AssessmentError):
            parsed(told)


@pytest.mark.parametrize("code", list(TABLE.criteria))
def test_renaming_a_value_everywhere_changes_no_level(code) -> None:
    old = TABLE.scales[code][-1]
    told = json.loads(SHIPPED)

    def renamed(value: Any, own: bool) -> Any:
        return "renamed" if own and value == old else value

    for criterion in told["criteria"]:
        criterion["values"] = [renamed(value, criterion["code"] == code) for value in criterion["values"]]
    for sub in told["tables"]:
        for row in sub["rows"]:
            row[:-1] = [renamed(value, name == code) for name, value in zip(sub["inputs"], row[:-1], strict=True)]
    for rule in (*told["raises"], *told["floors"]):
        for part in ("at_least", "raises"):
            if part in rule:
                rule[part] = {name: renamed(value, name == code) for name, value in rule[part].items()}
    table = parsed(told)
    for ends in product((0, -1), repeat=3):
        at = {name: TABLE.scales[name][ends[place % 3]] for place, name in enumerate(TABLE.criteria)}
        as_renamed = {name: renamed(value, name == code) for name, value in at.items()}
        assert evaluate(table, as_renamed).level == evaluate(TABLE, at).level


@pytest.mark.parametrize("code", list(TABLE.criteria))
def test_a_value_that_no_row_knows_is_refused_where_it_is_missing(code) -> None:
    told = shipped()
    for criterion in told["criteria"]:
        if criterion["code"] == code:
            criterion["values"].append("beyond")
    readers = [sub.code for sub in TABLE.source.tables if code in sub.inputs]
    if readers:
        with pytest.raises(AssessmentError, match=f"sub-table ({'|'.join(readers)}) is not total"):
            parsed(told)
    else:  # read by floors alone: a further value is as closed as the last
        table = parsed(told)
        most_open = {name: scale.values[0] for name, scale in table.criteria.items()}
        last = evaluate(table, most_open | {code: TABLE.scales[code][-1]})
        assert evaluate(table, most_open | {code: "beyond"}).level == last.level


@pytest.mark.parametrize("code", CODES)
def test_an_input_that_is_dropped_is_missed(code) -> None:
    told = shipped()
    sub = next(each for each in told["tables"] if each["code"] == code)
    sub["inputs"].pop()
    with pytest.raises(AssessmentError, match=f"sub-table {code}"):
        parsed(told)
