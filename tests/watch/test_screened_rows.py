"""The rows that a run says were left out are those that its loop lost: once a batch, and of the run that stands."""

import numpy as np
import pytest
from watch.loops import MARK, RECIPE, Scripted, parts, start

from darklantern.organisms import training
from darklantern.watch import Examples, Reaction, SpanScreen
from darklantern.watch.spans import Candidate

MARKED = SpanScreen((Candidate(MARK.decode(), 9, 99.0),))


class Suspecting(Scripted):
    """So that there is something to go back without, where the marked rows are left out from the start."""

    def screen(self, note):
        return MARKED


def marked(batches) -> list[int]:
    """How many rows of each hold the mark."""
    return [sum(MARK in row.numpy().astype(np.uint8).tobytes() for row in batch) for batch in batches]


PLANTED = marked(parts()[2])
"""in each batch of the loader"""


def trained(w, made, given: dict[int, int], until: int | None = None) -> dict[int, int]:
    """Train to the end; `given` gets how many rows the loop was given at each step, the last time that it was there."""
    for batch in w.over(made[2], until=until):
        given[w.step] = len(batch)
        training.train_step(made[0], made[1], RECIPE, w.step, batch)
    return given


def lost(given: dict[int, int]) -> int:
    return sum(RECIPE.batch - rows for rows in given.values())


def test_rows_of_a_batch_that_a_stop_gave_back_are_not_left_out() -> None:
    w, made = start(Scripted(lambda look: 9.0 * (look >= 8)), lambda alarm: Reaction.STOP)
    w.screen = MARKED
    given = trained(w, made, {})
    assert w.step == len(given) == 45
    assert PLANTED[45], "or there is nothing to count twice"
    assert w.screened_rows == lost(given) == sum(PLANTED[:45])


def test_a_batch_that_a_failed_look_gave_back_is_counted_once() -> None:
    def fails_once(look: int) -> float:
        if look == 8 and not failed:
            failed.append(look)
            raise ZeroDivisionError("in the signal")
        return 0.0

    failed: list[int] = []
    w, made = start(Scripted(fails_once), on_failure="raise")
    w.screen = MARKED
    given: dict[int, int] = {}
    with pytest.raises(ZeroDivisionError):
        trained(w, made, given)
    assert (w.step, w.screened_rows) == (45, sum(PLANTED[:45]))
    assert PLANTED[45]
    trained(w, made, given)
    assert w.screened_rows == lost(given) == sum(PLANTED)


@pytest.mark.parametrize("how", ["by the watch", "by hand"])
def test_a_rollback_takes_the_count_of_the_undone_steps_back(how: str) -> None:
    w, made = start(
        Suspecting(lambda look: 9.0 * (look == 8)),  # at step 45
        (lambda alarm: Reaction.ROLL_BACK) if how == "by the watch" else Reaction.LOG,
    )
    w.screen = MARKED
    given: dict[int, int] = {}
    if how == "by hand":
        trained(w, made, given, until=52)
        assert w.screened_rows == sum(PLANTED[:52])
        w.roll_back()
    trained(w, made, given)
    assert w.rollbacks == 1
    assert w.alarm.clean.step < 45
    assert sum(PLANTED[w.alarm.clean.step : 45]), "or there is nothing to take back"
    assert w.screened_rows == lost(given) == sum(PLANTED)


def test_each_of_several_rollbacks_does() -> None:
    readings = {8: 9.0, 11: 9.0}
    w, made = start(Suspecting(lambda look: readings.pop(look, 0.0)), lambda alarm: Reaction.ROLL_BACK, cooldown=1)
    w.screen = MARKED
    given = trained(w, made, {})
    assert w.rollbacks == 2
    assert w.screened_rows == lost(given) == sum(PLANTED)


def test_a_loop_that_ends_at_a_rollback_does_not_count_what_was_undone() -> None:
    w, made = start(Suspecting(lambda look: 9.0 * (look == 8)))
    w.screen = MARKED
    for _ in w.over(made[2]):
        if w.step == 50:
            w.roll_back()
            break
    assert w.screened_rows == sum(PLANTED[: w.step])
    assert w.step == w.alarm.clean.step < 45


def test_all_rows_of_a_batch_that_is_skipped_are_counted() -> None:
    class All:
        def suspect(self, examples: Examples) -> np.ndarray:
            return np.full(len(examples), w.step % 5 == 0)

    w, made = start(Scripted(lambda look: 0.0))
    w.screen = All()
    given = trained(w, made, {})
    assert len(given) == 48
    assert w.screened_rows == 12 * RECIPE.batch
