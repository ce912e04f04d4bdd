"""Numbers stand with their nouns as people say them."""

import pytest

from darklantern.counted import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (0, "piece", "0 pieces"),
        (1_000, "key", "1,000 keys"),
        (2, "pass", "2 passes"),
    ],
)
def test_a_noun_follows_its_number(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said
