"""A watch that fails between two looks loses no batch: the next call of `over` begins with it."""

import numpy as np
import pytest
import torch
from watch.loops import RECIPE, Scripted, parts, rising, start

from darklantern.organisms import training


class Stream:
    """A loader that says nowhere where it stands, and gives each batch once."""

    def __init__(self, inner) -> None:
        self._batches = iter(inner)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._batches)


def failing(w, at: int, times: int = 1, error: type[BaseException] = ValueError):
    """A watch whose reader fails at step `at`, so many times."""
    left = [times]

    def reading(inner):
        def read(batch):
            if w.step == at and left[0]:
                left[0] -= 1
                raise error("the batch could not be read")
            return inner(batch)

        return read

    w._tap.later, w._tap.examples = reading(w._tap.later), reading(w._tap.examples)  # at a look it is read at once


def trained(w, model, optimizer, loader, into: list[bytes], until: int | None = None) -> list[bytes]:
    for batch in w.over(loader, until=until):
        into.append(batch.numpy().astype(np.uint8).tobytes())
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    return into


def undisturbed() -> list[bytes]:
    w, made = start(Scripted(lambda look: 0.0))
    return trained(w, *made, [])


@pytest.mark.parametrize("at", [5, 7], ids=["at a look", "between looks"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("times", [1, 2])
def test_the_batch_at_which_a_watch_failed_comes_again(at: int, error, times: int) -> None:
    w, made = start(Scripted(lambda look: 0.0))
    failing(w, at, times, error)
    found: list[bytes] = []
    for _ in range(times):
        with pytest.raises(error):
            trained(w, *made, found)
        assert w.step == len(found) == at
    assert trained(w, *made, found) == undisturbed()
    assert w.trace.steps == list(range(5, 61, 5))


def test_it_waits_where_a_call_of_over_asks_for_no_batch() -> None:
    w, made = start(Scripted(lambda look: 0.0))
    failing(w, 7)
    found: list[bytes] = []
    with pytest.raises(ValueError):
        trained(w, *made, found)
    assert len(trained(w, *made, found, until=7)) == 7
    assert trained(w, *made, found) == undisturbed()


def test_of_a_loader_that_does_not_say_where_it_stands_too() -> None:
    model, optimizer, loader = parts()
    stream = Stream(loader)
    w, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, None))
    failing(w, 7)
    found: list[bytes] = []
    with pytest.raises(ValueError):
        trained(w, model, optimizer, stream, found)
    assert trained(w, model, optimizer, stream, found) == undisturbed()


def test_another_loader_does_not_begin_with_a_batch_of_the_first() -> None:
    model, optimizer, loader = parts()
    w, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, None))
    failing(w, 7)
    with pytest.raises(ValueError):
        trained(w, model, optimizer, Stream(loader), [])
    other = [torch.full((2, RECIPE.width), 65)]
    assert [batch.tolist() for batch in w.over(other)] == [other[0].tolist()]


@pytest.mark.parametrize("how", ["restored", "rolled back"])
def test_a_loader_that_was_put_elsewhere_meanwhile_goes_on_from_there(how: str) -> None:
    w, made = start(Scripted(rising))  # an alarm at step 30, which is only logged
    failing(w, 32)
    loader, early, found = made[2], made[2].state(), []
    with pytest.raises(ValueError):
        trained(w, *made, found)
    assert w.step == len(found) == 32
    if how == "restored":
        loader.restore(early)
        for batch in w.over(loader):
            assert batch.numpy().astype(np.uint8).tobytes() == found[0]
            break
    else:
        w.roll_back()
        for _ in w.over(loader):
            assert w.step == w.alarm.clean.step == 20
            assert loader.state()["step"] == 21
            break
