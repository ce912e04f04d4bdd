"""Notes of a first look come back from their file bit for bit, and from no other file at all."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from darklantern.watch.first_notes import pack, unpack


class Pair(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Fitted:
    weights: NDArray[np.floating]
    usual: Pair
    rest: dict[str, Any]


def fitted(seed: int) -> Fitted:
    rng = np.random.default_rng(seed)
    rest = {"sites": [rng.random(3).astype(np.float32), rng.integers(9, size=2)], "none": None, "count": seed}
    return Fitted(rng.random((2, 3)), Pair(float(rng.random()), float(rng.random())), rest)


def test_notes_come_back_as_what_their_probes_make_bit_for_bit() -> None:
    found = unpack(pack({0: fitted(1), 3: 0.1, 11: np.arange(4.0)}), {0: fitted(2), 3: 0.7, 11: np.zeros(4)})
    note, wanted = found[0], fitted(1)
    assert isinstance(note, Fitted) and isinstance(note.usual, Pair)
    assert note.usual == wanted.usual and note.rest["count"] == 1 and note.rest["none"] is None
    assert note.weights.tobytes() == wanted.weights.tobytes()
    for one, other in zip(note.rest["sites"], wanted.rest["sites"], strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    assert (found[3], found[11].tolist()) == (0.1, [0, 1, 2, 3])


@pytest.mark.parametrize(
    "other",
    [np.zeros(5), np.zeros(4, np.float32), [np.zeros(4)] * 2, None, {"a": np.zeros(2), "b": np.zeros(2)}, {1, 2}],
    ids=repr,
)
def test_notes_that_do_not_fit_what_their_probe_makes_are_left_out(other) -> None:
    assert unpack(pack({0: np.zeros(4), 1: 2.0}), {0: other, 1: 1.0}) == {1: 2.0}


def test_what_no_file_can_hold_is_left_out_and_never_pickled() -> None:
    assert unpack(pack({0: {1, 2}, 1: np.array([object()]), 2: 1.0}), {0: {3}, 1: np.array([None]), 2: 0.0}) == {2: 1.0}
    pickled = BytesIO()
    np.savez(pickled, **{"0.0": np.array([{"a": 1}])})
    assert unpack(pickled.getvalue(), {0: np.zeros(1)}) == {}


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:-40], lambda data: b"PK" + data[9:]])
def test_a_file_that_is_none_gives_nothing(spoil) -> None:
    assert unpack(spoil(pack({0: 1.0})), {0: 0.0}) == {}
