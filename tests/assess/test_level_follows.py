"""A claimed level is compared with the answers beside it, by the table that the record names."""

from datetime import date

import msgspec
import pytest
from hypothesis import given, settings

from assess.answers import TABLE, answer, from_values, many_answers, most_open
from darklantern.assess import assess, level_follows
from darklantern.records.assessments import LEVELS

RECORD = assess("0" * 64, from_values(**most_open(F="broken")), TABLE, today=date(2026, 11, 21))


@settings(max_examples=40, deadline=None)
@given(many_answers())
def test_one_level_follows_from_any_answers_and_it_is_the_one_that_assess_gives(answers) -> None:
    record = assess("0" * 64, answers, TABLE, today=date(2026, 11, 21))
    claims = [msgspec.structs.replace(record, operate=level) for level in LEVELS]
    assert [claim.operate for claim in claims if level_follows(claim)] == [record.operate]


@pytest.mark.parametrize(
    "change",
    [
        {"answers": ()},
        {"lowest": "V0"},
        {"run": "metered"},
        {"review_due": None},
        {"table": "darklantern/9.9.9"},
        {"table": "é" * 190},
        {"answers": (answer("A", "alignment", kind="judged"), msgspec.structs.replace(answer("F"), values=("new",)))},
    ],
    ids=str,
)
def test_what_does_not_follow_or_cannot_be_checked_here_is_not_believed(change) -> None:
    assert level_follows(RECORD)
    assert not level_follows(msgspec.structs.replace(RECORD, **change))


def test_other_words_for_what_binds_close_nothing() -> None:
    assert level_follows(msgspec.structs.replace(RECORD, binding=("worded anew",), lowering=()))
