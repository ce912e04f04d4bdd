"""How answers combine: dissent stays, measurements are sharper than opinion, ignorance is wide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.assess import combine, not_measured
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer

from .answers import TABLE, answer, many_answers, measured, one_answer


def values(*answers) -> tuple[str, ...]:
    return combine(answers, TABLE)["U"].values


ALL = TABLE.criteria["U"].values


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [answer("U", status="unknown")],
        [answer("U", "indirect", status="unknown")],
        [answer("U", "indirect", status="error")],
        [answer("U", "indirect", status="of no known kind")],
        [measured("U", "indirect", status="error")],
        [not_measured("U", "no trial")],
        [answer("U", "indirect"), answer("U", status="unknown")],
    ],
    ids=["missing", "unknown", "unknown with values", "error", "odd", "measured error", "not measured", "one unsure"],
)
def test_what_nobody_knows_leaves_every_value_open(answers) -> None:
    assert values(*answers) == ALL


def test_raters_are_united_in_the_order_of_the_table() -> None:
    assert values(answer("U", "direct"), answer("U", "none_or_diffuse")) == ("none_or_diffuse", "direct")


def test_a_measurement_stands_where_raters_overlap_with_it() -> None:
    exact = measured("U", "indirect")
    assert values(exact, answer("U", "none_or_diffuse", "indirect"), answer("U", status="unknown")) == ("indirect",)


def test_a_rater_cannot_narrow_a_measurement() -> None:
    assert values(measured("U", "indirect", "direct"), answer("U", "indirect")) == ("indirect", "direct")


def test_a_contradiction_keeps_both_and_is_disputed() -> None:
    left = combine([measured("U", "none_or_diffuse"), answer("U", "direct")], TABLE)["U"]
    assert left.values == ("none_or_diffuse", "direct")
    assert left.disputed
    assert not combine([measured("U", "direct"), answer("U", "direct")], TABLE)["U"].disputed


def test_two_measurements_are_united() -> None:
    assert values(measured("U", "indirect"), measured("U", "direct")) == ("indirect", "direct")


def test_a_measurement_not_made_leaves_the_word_to_people() -> None:
    assert values(not_measured("U", "no trial"), answer("U", "indirect")) == ("indirect",)


def test_no_rater_clears_a_measurement_that_failed() -> None:
    assert values(measured("U", status="error"), answer("U", "none_or_diffuse")) == ALL
    assert values(measured("U", status="error"), measured("U", "none_or_diffuse")) == ALL


@given(many_answers(), one_answer())
def test_one_more_persons_answer_never_narrows(answers, another) -> None:
    before, after = (combine(found, TABLE)[another.criterion] for found in (answers, [*answers, another]))
    silent = not [
        a for a in answers if a.criterion == another.criterion and (a.kind, a.status) != ("measured", "unknown")
    ]
    if another.kind != "measured" and not silent:
        assert set(before.values) <= set(after.values)


@given(many_answers(), st.randoms())
def test_order_does_not_matter(answers, random) -> None:
    shuffled = random.sample(answers, len(answers))
    assert combine(answers, TABLE) == combine(shuffled, TABLE)


@given(many_answers())
def test_nothing_that_is_measured_is_ever_excluded(answers) -> None:
    left = combine(answers, TABLE)
    for found in answers:
        if found.kind == "measured" and found.status == "answered":
            assert set(found.values) <= set(left[found.criterion].values)


@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        (answer("U", "maybe"), "U is one of none_or_diffuse, indirect, direct"),
        (answer("U", "maybe", status="unknown"), "U is one of none_or_diffuse, indirect, direct"),
        (answer("U"), "give the values that remain possible"),
        (answer("S", "strong", kind="measured"), "S can be attested"),
        (answer("O", "tool", kind="attested"), "O can be judged"),
        (
            Answer(criterion="Z", values=("x",), kind="judged", rater="r", protocol="p/1"),
            "the criteria are A, G, B, N, W, F, E, K, U, S, O",
        ),
    ],
    ids=["value", "value though unknown", "no value", "measured box", "attested opinion", "code"],
)
def test_an_answer_outside_the_table_is_refused_with_what_is_allowed(bad, hint) -> None:
    with pytest.raises(AssessmentError) as error:
        combine([bad], TABLE)
    assert hint in error.value.hint
