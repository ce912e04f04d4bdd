"""Whose time is whose, on a clock that the test turns."""

import pytest

from darklantern.watch import clock
from darklantern.watch.clock import Clock


class Hands:
    def __init__(self) -> None:
        self.at = 100.0

    def turn(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    made = Hands()
    monkeypatch.setattr(clock.time, "perf_counter", lambda: made.at)
    return made


def test_a_step_of_two_batches_takes_the_time_of_both_and_none_of_the_look_between_them(hands: Hands) -> None:
    kept = Clock()
    kept.handed_out()
    hands.turn(2)
    kept.taken_back()
    with kept.looks() as so_far:
        hands.turn(5)
        assert so_far() == 5
    kept.handed_out()
    hands.turn(4)
    assert kept.stepped() == 6
    assert (kept.looking, kept.training, kept.overhead) == (5, 6, 5 / 6)


def test_there_is_no_step_without_a_batch_in_hand(hands: Hands) -> None:
    kept = Clock()
    hands.turn(3)
    assert kept.stepped() is None
    kept.handed_out()
    kept.stepped()
    hands.turn(3)
    assert kept.stepped() is None
    assert (kept.training, kept.overhead) == (0, 0)


def test_waiting_for_the_device_is_the_loops_time_and_a_look_that_fails_is_the_watchs(hands: Hands) -> None:
    kept = Clock()
    kept.trains(lambda: hands.turn(7))
    with pytest.raises(ZeroDivisionError), kept.looks():
        hands.turn(1)
        raise ZeroDivisionError
    assert (kept.looking, kept.training) == (1, 7)
