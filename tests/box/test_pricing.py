"""The theorem of the outlet: transcripts that fit a budget of B bits number at most 2^B, by counting all of them."""

import math
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.box.outlet.channels import Channel
from darklantern.box.outlet.plans import Outlet, expected, prices, worst
from darklantern.box.outlet.pricing import MICRO
from darklantern.box.outlet.symbols import Ended, Silent, Symbol
from darklantern.box.outlet.transcripts import Place, after, dearest, opened, possible


def channel(size: int, name: str = "loss") -> Channel:
    return Channel(name=name, low=0.0, high=1.0, symbols=size)


def transcripts(outlet: Outlet, budget: int) -> Iterator[tuple[tuple[Symbol, ...], Place]]:
    """Every transcript that an observer can see whole, with where it ends."""
    price, open_ = prices(outlet), [((), Place())]
    while open_:
        seen, at = open_.pop()
        at = opened(outlet, price, at, budget)
        nexts = possible(outlet, price, at)
        if not nexts:
            yield seen, at
        open_ += [((*seen, each), after(outlet, price, at, each)) for each in nexts]


@st.composite
def small_outlets(draw) -> Outlet:
    mode = draw(st.sampled_from(["final", "slots", "cadence"]))
    sizes = draw(st.lists(st.integers(2, 3), min_size=1, max_size=2))
    channels = tuple(channel(size, f"c{i}") for i, size in enumerate(sizes))
    if mode == "final":
        return Outlet(mode=mode, channels=channels, epochs=draw(st.integers(1, 4)))
    slots = draw(st.integers(1, 4))
    if mode == "cadence":
        return Outlet(mode=mode, channels=channels, slots=slots)
    sends = draw(st.integers(1, slots - 1)) if slots > 1 else None
    return Outlet(mode=mode, channels=channels, slots=slots, sends=sends, ends_early=draw(st.booleans()))


@settings(max_examples=120, deadline=None)
@given(small_outlets(), st.integers(0, 30))
def test_transcripts_within_a_budget_are_no_more_than_two_to_its_bits(outlet, bits) -> None:
    budget = bits * MICRO
    found = list(transcripts(outlet, budget))
    assert len({seen for seen, _ in found}) == len(found) <= 2**bits
    assert all(at.spent <= budget for _, at in found)
    assert sum(Fraction(2.0 ** (-at.spent / MICRO)) for _, at in found) <= 1


@settings(max_examples=200, deadline=None)
@given(small_outlets())
def test_prices_satisfy_krafts_inequality_at_each_step(outlet) -> None:
    price, at = prices(outlet), Place()
    while nexts := possible(outlet, price, at):
        assert sum(2.0 ** (-cost / MICRO) for cost in nexts.values()) <= 1
        assert max(nexts.values()) == dearest(outlet, price, at)
        assert all(after(outlet, price, at, each).spent == at.spent + cost for each, cost in nexts.items())
        at = after(outlet, price, at, next(each for each in nexts if not isinstance(each, Ended) or len(nexts) == 4))


@settings(max_examples=60, deadline=None)
@given(small_outlets())
def test_the_worst_case_is_what_the_dearest_transcript_costs(outlet) -> None:
    plenty = 10**12
    assert max(at.spent for _, at in transcripts(outlet, plenty)) == worst(outlet) >= expected(outlet)
    count = sum(1 for _ in transcripts(outlet, plenty))
    assert math.log2(count) <= worst(outlet) / MICRO


def test_silence_that_costs_nothing_would_undercount() -> None:
    """The reason for all this: five slots with one of four symbols or silence are more than two bits a message."""
    outlet = Outlet(mode="slots", channels=(channel(4),), slots=5, sends=1)
    one_message = [
        seen for seen, _ in transcripts(outlet, 10**12) if sum(not isinstance(s, Silent | Ended) for s in seen) == 1
    ]
    assert math.log2(len(one_message) / 4) > math.log2(5) + math.log2(5) - 1e-9 > math.log2(4)


@pytest.mark.parametrize(("slots", "sends", "symbols", "most"), [(360, 12, 256, 190), (3600, 20, 1024, 400)])
def test_what_a_long_run_costs(slots, sends, symbols, most) -> None:
    """Figures of the design: a run that sends as it declared pays little more than what its transcripts need."""
    outlet = Outlet(mode="slots", channels=(channel(symbols - 1),), slots=slots, sends=sends)
    exact = math.log2(math.comb(slots, sends)) + sends * math.log2(symbols)
    assert exact < expected(outlet) / MICRO < most


def test_symbols_of_a_range_and_of_words() -> None:
    loss = Channel(name="loss", low=-1.0, high=1.0, symbols=4)
    assert [loss.symbol(x) for x in (-1.0, -0.51, -0.5, 0.0, 0.999, 1.0)] == [0, 0, 1, 2, 3, 3]
    assert [loss.meaning(s) for s in range(4)] == [-0.75, -0.25, 0.25, 0.75]
    bad = (math.nan, math.inf, -math.inf, 1.0000001, -1.0000001, 1e300)
    assert [loss.symbol(x) for x in bad] == [None] * 6
    word = Channel(name="verdict", words=("kept", "drifted"))
    assert [word.symbol(x) for x in (0.0, 1.0, 2.0, -1.0, 0.5, math.nan, math.inf)] == [0, 1] + [None] * 5
    assert word.meaning(1) == "drifted"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a"},
        {"name": "a", "low": 0.0, "high": 1.0},
        {"name": "a", "low": 1.0, "high": 0.0, "symbols": 4},
        {"name": "a", "low": 0.0, "high": math.inf, "symbols": 4},
        {"name": "a", "low": math.nan, "high": 1.0, "symbols": 4},
        {"name": "a", "words": ("x", "x")},
        {"name": "a", "words": ("x",)},
        {"name": "a", "words": ("x", "y"), "low": 0.0},
    ],
)
def test_channels_that_are_none(wrong) -> None:
    with pytest.raises(ValueError, match="channel a: expected"):
        Channel(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "final", "slots": 2},
        {"mode": "slots", "slots": 4, "epochs": 2},
        {"mode": "cadence", "slots": 4, "sends": 2},
        {"mode": "cadence", "slots": 4, "ends_early": True},
        {"mode": "slots", "slots": 4, "sends": 4},
        {"mode": "final", "channels": (channel(2), channel(3))},
    ],
)
def test_outlets_that_are_none(wrong) -> None:
    with pytest.raises(ValueError):
        Outlet(**{"channels": (channel(2),), **wrong})
