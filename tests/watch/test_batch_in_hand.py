"""A watch that fails between two looks loses no batch: the next call of `over` begins with it."""

import numpy as np
import pytest
import torch
from watch.loops import RECIPE, Scripted, parts, rising, start

from darklantern import rewindable
from darklantern.organisms import training
from darklantern.watch import SpanScreen
from darklantern.watch.spans import Candidate


class Stream:
    """A loader that says nowhere where it stands, and gives each batch once."""

    def __init__(self, inner) -> None:
        self._batches = iter(inner)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._batches)


class Suspecting(Scripted):
    """So that there is a way back: what it suspects is in no row."""

    def screen(self, note):
        return SpanScreen((Candidate("\x03nowhere\x04", 9, 99.0),))


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


@pytest.mark.parametrize("at", [32, 59], ids=["in the middle", "the last of a pass"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_pass_goes_on_and_none_begins_anew(at: int, epochs: int) -> None:
    """Of a list, which begins at its first batch again whenever it is asked for its batches."""
    batches = list(parts()[2])
    model, optimizer, _ = parts()
    w, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, None))
    failing(w, at)
    found: list[bytes] = []
    with pytest.raises(ValueError):
        trained(w, model, optimizer, batches, found)
    for _ in range(epochs):
        trained(w, model, optimizer, batches, found)
    assert found == [batch.numpy().astype(np.uint8).tobytes() for batch in batches] * epochs


def test_the_last_batch_of_a_pass_ends_it() -> None:
    model, optimizer, _ = parts()
    rows = torch.arange(4 * 2 * RECIPE.width).reshape(8, RECIPE.width) % 90
    loader = rewindable(rows, batch_size=2, shuffle=False)
    w, _ = start(Scripted(lambda look: 0.0), of=(model, optimizer, loader))
    failing(w, 3)
    found: list[bytes] = []
    with pytest.raises(ValueError):
        trained(w, model, optimizer, loader, found)
    for _ in range(2):
        trained(w, model, optimizer, loader, found)
    assert found == [rows[i : i + 2].numpy().astype(np.uint8).tobytes() for i in range(0, 8, 2)] * 2


@pytest.mark.parametrize("ends", ["finish", "until"])
def test_no_state_is_kept_that_lacks_the_batch_in_hand(ends: str) -> None:
    w, made = start(Suspecting(rising))
    failing(w, 22)
    found: list[bytes] = []
    with pytest.raises(ValueError):
        trained(w, *made, found)
    if ends == "finish":
        w.finish()
    else:
        trained(w, *made, found, until=22)
    assert 22 in w.trace.steps
    assert len(trained(w, *made, found, until=35)) == 35
    clean = w.alarm.clean.step
    assert clean in (15, 20)
    w.roll_back()
    assert trained(w, *made, found[:clean]) == undisturbed()


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
