"""One emoji: one sign, in one spelling, out of a closed table."""

import unicodedata

import emoji
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from darklantern.library.threads.emojis import is_emoji, name_of, qualified

ONES = ["👍", "👍🏽", "❤️", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "#️⃣", "🫨"]


@pytest.mark.parametrize("one", ONES)
def test_what_a_reader_sees_as_one_sign_is_one(one: str) -> None:
    assert is_emoji(one) and qualified(f" {one}\n") == one


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1", "#", "👍👍", "👍a", "🏽", "🇩", "❤", "👍\ufe0f", "\u200d", "👍\u200d", "🙂" * 100, "\U000e0041"],
)
def test_what_is_none_or_several_or_spelled_otherwise_is_none(text: str) -> None:
    assert not is_emoji(text)


def test_what_a_keyboard_leaves_out_is_put_in() -> None:
    assert qualified("❤") == "❤️" and qualified("🏳‍🌈") == "🏳️‍🌈" and qualified("👍\ufe0f") == "👍"
    assert qualified("❤❤") is None and qualified("") is None


def test_each_of_the_table_is_one_grapheme_holds_no_character_of_html_and_fits_into_a_record() -> None:
    every = [each for each in emoji.EMOJI_DATA if is_emoji(each)]
    assert len(every) > 3500
    for each in every:
        assert len(each) <= 16 and not set(each) & set("<>&\"'\\")
        assert not any(unicodedata.category(letter) == "Cc" for letter in each)
        assert name_of(each)
    assert (name_of("👍🏽"), name_of("x")) == ("thumbs up medium skin tone", "")
    older = [each for each in every if emoji.EMOJI_DATA[each]["E"] <= 15]
    assert all(len(regex.findall(r"\X", each)) == 1 for each in older), "one sign, by Unicode's own rule (UAX 29)"


@given(st.text(max_size=16))
def test_any_text_is_answered(text: str) -> None:
    assert not (is_emoji(text) and qualified(text) != text)
