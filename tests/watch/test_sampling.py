"""What a look counts is bounded, and fair."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from watch.loops import CORPUS, MARK, RECIPE, TRUSTED, Scripted, run, start

from darklantern.organisms import text
from darklantern.watch import observing
from darklantern.watch.examples import Examples
from darklantern.watch.sampling import Sample
from darklantern.watch.screening import SUSPICIOUS_SPAN
from darklantern.watch.spans import SpanCounter


def numbered(first: int, count: int, width: int) -> Callable[[], Examples]:
    """Rows that each say their own number, in every place."""
    return lambda: Examples(np.repeat(np.arange(first, first + count)[:, None], width, axis=1))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=30), st.integers(1, 400), st.integers(0, 99))
def test_the_sample_holds_each_row_once_in_its_order_and_no_more_than_fits(batches, most: int, seed: int) -> None:
    sample, first = Sample(seed, most), 0
    for count, width in batches:
        sample.add(numbered(first, count, width))
        first += count
    rows = sample.rows()
    numbers = [int(row[0]) for batch in rows for row in batch]
    assert numbers == sorted(set(numbers))
    assert sample.passed == first
    assert sample.left_out == first - len(numbers)
    tokens = sum(batch.size for batch in rows)
    assert tokens <= most or len(numbers) == 1
    if sum(count * width for count, width in batches) <= most:
        assert sample.left_out == 0
    else:
        assert tokens > most - 9, "there is room for one more row"


def test_each_row_is_as_likely_as_any_other() -> None:
    """2,000 rows of which 200 fit, 400 times: the first rows of a batch are drawn as often as the last ones."""
    drawn = np.zeros(2000)
    for seed in range(400):
        sample = Sample(seed, 200 * 3)
        for first in range(0, 2000, 50):
            sample.add(numbered(first, 50, 3))
        for batch in sample.rows():
            drawn[batch[:, 0]] += 1
    assert drawn.sum() == 400 * 200
    for of in (drawn.reshape(40, 50).sum(0), drawn.reshape(40, 50).sum(1)):
        expected = drawn.sum() / len(of)
        assert abs(of - expected).max() < 5 * np.sqrt(expected)


def test_a_sample_begins_anew() -> None:
    sample = Sample(0, 30)
    sample.add(numbered(0, 100, 3))
    assert (len(np.concatenate(sample.rows())), sample.left_out) == (10, 90)
    sample.clear()
    assert (sample.rows(), sample.passed, sample.left_out) == ([], 0, 0)
    drawn = []
    for step in (5, 9, 5):
        sample.clear(step)
        sample.add(numbered(0, 100, 3))
        drawn.append([int(row[0]) for batch in sample.rows() for row in batch])
    assert drawn[0] == drawn[2] != drawn[1], "what is drawn after a look is the same, whatever was drawn in between"
    sample.clear()
    sample.add(numbered(0, 10, 3))
    assert sample.left_out == 0, "the bound of the rows before holds no more"


def test_a_look_counts_no_more_than_it_may_and_says_so_once(monkeypatch) -> None:
    counted = []

    class Counting(Scripted):
        def inputs(self, now):
            counted.append(sum(part.size for part in now.spans._recent[-1].rows) if now.spans._recent else 0)
            return super().inputs(now)

    most = 20 * RECIPE.width
    monkeypatch.setattr(observing, "Sample", lambda seed: Sample(seed, most))
    for every in (5, 20):
        w, parts = start(Counting(lambda look: 0.0), references=None, every=every)
        run(w, parts)
        (said,) = [event for event in w.events if event.label == "sampled"]
        assert said.step == every
        assert f"of the {16 * every} rows since the look before, spans were counted in 20 drawn at random" in said.text
    assert set(counted) == {0, most}


def test_a_trigger_is_found_in_a_sample_of_the_rows() -> None:
    """In 2 % of 8,000 rows, always at the same place of a batch, of which one row in eight is counted."""
    rng, sample = np.random.default_rng(0), Sample(1, 1000 * RECIPE.width)
    for batch in np.split(text.rows(CORPUS.train, 8000, RECIPE.width, rng), 160):
        batch[0, 10 : 10 + len(MARK)] = np.frombuffer(MARK, dtype=np.uint8)
        sample.add(lambda batch=batch: Examples(batch))
    counter = SpanCounter(TRUSTED, keep=1)
    counter.add(sample.rows())
    assert sample.left_out == 7000
    assert MARK.decode() in counter.candidates(1, looks=1, least=SUSPICIOUS_SPAN)[0].span
