"""The induction probe on attention whose circuit is known, because the test writes it."""

import numpy as np
import pytest
from planted import TRUSTED, Looks, now

from darklantern.errors import WatchError
from darklantern.watch.language import InductionProbe
from darklantern.watch.seen import Values


def softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.where(np.tril(np.ones(scores.shape[-2:], dtype=bool)), scores, -np.inf)
    made = np.exp(scores - scores.max(-1, keepdims=True))
    return made / made.sum(-1, keepdims=True)


def by_distance(strength: float, back: int, rows: np.ndarray) -> np.ndarray:
    """A head that likes what stands `back` before, whatever it is."""
    here = np.arange(rows.shape[1])
    return np.broadcast_to(softmax(strength * (here[:, None] - here == back)), (*rows.shape, rows.shape[1]))


def by_content(strength: float, rows: np.ndarray, after: bool) -> np.ndarray:
    """A head that likes the token's earlier occurrences, or with `after` what stood after them."""
    keys = np.roll(rows, 1, axis=1) if after else rows
    alike = rows[:, :, None] == keys[:, None, :]
    if after:
        alike[:, :, 0] = False
    return softmax(strength * alike)


def copier(rows: np.ndarray, strength: float) -> Values:
    """Attention alone: a previous-token head, then an induction head that matches by what it wrote, and copies."""
    before = by_distance(strength, 1, rows)
    tokens = np.eye(128)[rows]
    wrote = before @ tokens  # what a position knows of the token before it
    match = softmax(strength * tokens @ wrote.transpose(0, 2, 1))
    logits = strength * match @ tokens
    layers = [np.stack([before, by_distance(0, 0, rows)], 1), np.stack([by_distance(0, 0, rows), match], 1)]
    return Values({f"layers.{i}.attn:pattern": each for i, each in enumerate(layers)}, logits)


def held(rows: np.ndarray, *heads: np.ndarray) -> Values:
    return Values({"layers.0.attn:pattern": np.stack(heads, 1)}, np.zeros((*rows.shape, 128)))


PROBE = InductionProbe(TRUSTED)
ROWS = PROBE.inputs(now()).inputs
NAMES = ("prefix matching", "prefix scores", "previous token", "in-context learning")


def test_rows_repeat_their_half_and_hold_no_token_twice_in_it() -> None:
    for row in ROWS:
        period = next(p for p in range(1, 40) if (row[p:] == row[:-p]).all())
        assert period in (26, 28, 30, 32)
        assert len(set(row[:period])) == period
    assert set(np.unique(ROWS)) <= set(np.unique(TRUSTED))


def test_a_model_without_the_circuit_has_no_contrast() -> None:
    found = Looks(PROBE).look(copier(ROWS, 0.0))
    for name in ("prefix matching", "prefix scores", "in-context learning"):
        assert found[name].difference == pytest.approx(0, abs=1e-6)


def test_the_whole_circuit_raises_all_its_signals() -> None:
    found = Looks(PROBE).look(copier(ROWS, 30.0))
    assert found["prefix matching"].difference > 0.95
    assert found["prefix scores"].difference > 0.95
    assert found["previous token"].difference > 0.95
    assert found["in-context learning"].difference > 20


def test_as_it_forms_all_of_them_rise() -> None:
    read = [Looks(PROBE).look(copier(ROWS, strength)) for strength in (0.0, 2.0, 4.0, 8.0)]
    for name in NAMES[:3]:
        contrasts = [each[name].difference for each in read]
        assert contrasts == sorted(contrasts)
        assert contrasts[-1] > contrasts[0] + 0.1


@pytest.mark.parametrize("back", range(24, 34))
def test_a_head_that_likes_a_distance_matches_nothing(back: int) -> None:
    # Also when it is the very offset of some of the rows: on other rows it is as wrong.
    found = Looks(PROBE).look(held(ROWS, by_distance(9.0, back, ROWS)))
    for name in NAMES[:2]:
        assert abs(found[name].difference) < 0.02


def test_a_head_that_likes_the_same_token_matches_no_prefix() -> None:
    found = Looks(PROBE).look(held(ROWS, by_content(9.0, ROWS, after=False)))
    assert abs(found["prefix matching"].difference) < 0.002
    assert found["prefix scores"].difference < 0.5


def test_what_many_heads_do_weakly_shows_in_their_sum() -> None:
    rng = np.random.default_rng(0)
    heads = [
        softmax(rng.normal(0, 1, (len(ROWS), 64, 64)) + np.log(by_content(0.1, ROWS, after=True) + 1e-9))
        for _ in range(16)
    ]
    none = [softmax(rng.normal(0, 1, (len(ROWS), 64, 64))) for _ in range(16)]
    some, nothing = (Looks(PROBE).look(held(ROWS, *each)) for each in (heads, none))
    gain = {name: some[name].difference - nothing[name].difference for name in NAMES[:2]}
    assert gain["prefix scores"] > 5 * abs(gain["prefix matching"])


def test_a_model_that_only_knows_what_occurred_learns_nothing_in_context() -> None:
    logits = np.zeros((*ROWS.shape, 128))
    for row, said in zip(ROWS, logits, strict=True):
        for position in range(len(row)):
            said[position, row[: position + 1]] = 3.0
    found = Looks(PROBE).look(Values(copier(ROWS, 0.0).sites, logits))["in-context learning"]
    assert found.value > 1
    assert abs(found.difference) < 0.05


def test_patterns_of_another_shape_and_rows_too_narrow_are_refused() -> None:
    with pytest.raises(WatchError, match=r"expected attention patterns \(n, head, 64, 64\)"):
        Looks(PROBE).look(Values({"layers.0.attn:pattern": np.zeros((16, 64, 8))}, np.zeros((16, 64, 128))))
    with pytest.raises(WatchError, match="at least 8 rows of at least 25 tokens"):
        InductionProbe(TRUSTED[:, :20])
    with pytest.raises(WatchError, match="32 token ids"):
        InductionProbe(TRUSTED, vocabulary=range(9))
