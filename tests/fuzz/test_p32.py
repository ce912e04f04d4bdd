"""P32: no bytes crash a parser, and none makes it take memory out of proportion."""

import tracemalloc
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.mutations import mutated
from fuzz.targets import TARGETS, Target, accepts

FOUND = sorted((Path(__file__).parent / "found").glob("*/*"))
MEGABYTE = 1 << 20

every = pytest.mark.parametrize("name", TARGETS)
some = settings(max_examples=60, deadline=None)


@every
def test_p32_what_our_own_writers_made_is_accepted(name: str) -> None:
    """Or the rest would only fuzz refusals."""
    target = TARGETS[name]
    assert target.seeds()
    for seed in target.seeds():
        assert accepts(target, seed)


def test_p32_a_crash_is_not_taken_for_a_refusal() -> None:
    def crash(data: bytes) -> None:
        raise KeyError(data)

    with pytest.raises(KeyError):
        accepts(Target(crash, None, list), b"")
    with pytest.raises(AssertionError, match="gives other bytes"):
        accepts(Target(bytes, bytes.lower, list), b"A")


@every
@some
@given(data=st.data())
def test_p32_damaged_bytes_are_refused_or_mean_themselves(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    seed = data.draw(st.sampled_from(target.seeds()))
    accepts(target, mutated(seed, Random(data.draw(st.integers(0, 1 << 32))))[: target.limit])


@every
@some
@given(data=st.binary(max_size=400))
def test_p32_any_bytes_are_refused_or_mean_themselves(name: str, data: bytes) -> None:
    accepts(TARGETS[name], data)


BLOWN_UP = {
    "brackets": b"[",
    "open objects": b'{"a":',
    "digits": b"9",
    "zeros": b"\0",
    "all bits": b"\xff",
    "line feeds": b"\n",
    "letters": b"A",
    "stanzas": b"-> a\n\n",
    "dashes": b"\xe2\x80\x94 a AAAAAAAA\n",
}


@every
@pytest.mark.parametrize("what", BLOWN_UP)
def test_p32_memory_stays_in_proportion(name: str, what: str) -> None:
    target = TARGETS[name]
    heads = [b"", *(seed.partition(b"\n")[0] + b"\n" for seed in target.seeds()[:3])]
    for head in heads:
        assert _peak(target, (head + BLOWN_UP[what] * target.limit)[: target.limit]) < 8 * MEGABYTE + 40 * target.limit


def _peak(target: Target, data: bytes) -> int:
    accepts(target, data)  # what is made once and kept does not count
    tracemalloc.start()
    try:
        accepts(target, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_p32_what_once_crashed_does_so_no_more() -> None:
    for path in FOUND:
        accepts(TARGETS[path.parent.name], path.read_bytes())
