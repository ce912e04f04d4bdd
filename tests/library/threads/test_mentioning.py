"""Whom a text mentions, as its author writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.library.threads.mentioning import mentioned, unmatched

ADA, BO, BEA, BO_TOO = ("Aurora", "ada"), ("Beacon", "bo"), ("Beacon", "ada lovelace"), ("Cairn", "bo")
MEMBERS = [ADA, BO, BEA]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@bo, look", (BO,)),
        ("look (@bo) and @ada.", (BO, ADA)),
        ("@bo @bo @bo@Beacon", (BO,)),
        ("@ada lovelace", (BEA,)),
        ("mail@bo.org bo @bob @@bo @nobody @Beacon", ()),
        ("@bo@Cairn", (BO,)),  # nobody of that name there; what stands before is
        ("", ()),
    ],
)
def test_names_are_found_whole(text: str, found: tuple) -> None:
    assert mentioned(text, MEMBERS) == found


def test_where_two_share_a_name_the_org_decides() -> None:
    members = [*MEMBERS, BO_TOO]
    assert mentioned("@bo", members) == ()
    assert mentioned("@bo@Cairn and @bo@Beacon", members) == (BO_TOO, BO)


@given(st.text(max_size=200), st.lists(st.tuples(st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9))))
def test_any_text_and_any_names_are_answered(text: str, members: list[tuple[str, str]]) -> None:
    assert set(mentioned(text, members)) <= set(members)


@pytest.mark.parametrize(
    ("text", "slips"),
    [
        ("@bo, @ada@Aurora and @ada lovelace", ()),
        ("@boo, look", ("boo",)),
        ("@bob@Beacon @bo @bob@Beacon", ("bob@Beacon",)),
        ("mail@bo.org", ()),
        ("@torch.no_grad", ("torch",)),
        ("", ()),
    ],
)
def test_what_looks_like_a_mention_and_is_none_is_named(text: str, slips: tuple) -> None:
    assert unmatched(text, MEMBERS) == slips


def test_a_name_that_two_share_mentions_nobody_without_its_org() -> None:
    assert unmatched("@bo", [*MEMBERS, BO_TOO]) == ("bo",)
    assert unmatched("@bo", []) == ("bo",)
