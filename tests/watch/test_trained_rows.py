"""The rows between checkpoints: which of them came next."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import WatchError
from darklantern.watch import Examples
from darklantern.watch.trained_rows import TrainedRows

TRUSTED = Examples(np.zeros((4, 3)), np.zeros(4))


def between(batches: list[np.ndarray[Any, Any]], steps: list[int]) -> Any:
    """The function that a user gives, of a run of these batches."""
    return lambda step: np.concatenate(batches[steps[steps.index(step) - 1] : step])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 5))
def test_the_rows_that_came_next_are_the_loops_next_batch(gaps: list[int], size: int, short: int) -> None:
    steps = [0, *np.cumsum(gaps).tolist()]
    batches = [np.full((size, 3), float(step)) for step in range(steps[-1])]
    if gaps[-1] > short >= 0 and size > short:
        batches[-1] = batches[-1][short:]  # an epoch's last batch may be smaller
    rows = TrainedRows(between(batches, steps), steps, [], TRUSTED, None)
    for number, step in enumerate(steps[:-1]):
        assert np.array_equal(rows.next(number).inputs, batches[step])
    assert (rows.next(len(steps) - 1).inputs[-len(batches[-1]) :] == batches[-1]).all(), "the newest at the end"


def test_it_asks_once_for_the_rows_that_two_looks_share() -> None:
    asked: list[int] = []

    def given_rows(step: int) -> Any:
        asked.append(step)
        return np.ones((4, 3))

    rows = TrainedRows(given_rows, [0, 2, 4], [], TRUSTED, None)
    for number in range(3):
        if number:
            rows.since(number)
        rows.next(number)
    assert asked == [2, 4]


def test_no_rows_are_none_where_nothing_needs_them() -> None:
    assert TrainedRows(lambda step: np.ones((0, 3)), [0, 1], [], TRUSTED, None).next(0) is None


def walk(function: Any, steps: list[int]) -> None:
    rows = TrainedRows(function, steps, [], TRUSTED, None)
    for number in range(len(steps)):
        rows.next(number)


def test_rows_from_the_runs_start_on_are_refused_and_epochs_of_the_same_rows_are_not() -> None:
    run = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(WatchError, match=r"rows\(10\) begins with all 20 rows of rows\(5\)") as raised:
        walk(lambda step: run[: 4 * step], [0, 5, 10, 15])
    assert "since step 5" in (raised.value.hint or "")
    steps = [0, 5, 10, 20, 25]
    epochs = [run[4 * (step % 5) :][:4] for step in range(25)]
    walk(between(epochs, steps), steps)
