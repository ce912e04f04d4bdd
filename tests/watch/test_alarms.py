"""What an alarm says of its rate."""

import logging
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch.loops import Scripted, run, start

from darklantern.watch import Signal
from darklantern.watch.alarms import Alarm
from darklantern.watch.judging.detectors import Threshold, percent


def alarm(rate: float, over_all: float | None = None) -> Alarm:
    return Alarm(40, "s", 3.0, Threshold(2.0, rate, True, "39 runs"), None, (), over_all=over_all)


def test_a_channel_s_rate_and_that_of_all_are_both_said() -> None:
    assert "(false-alarm rate at most 5% a run; 39 runs)" in str(alarm(0.05))
    said = "(false-alarm rate at most 2.5% a run in its channel, 5% over all; 39 runs)"
    assert said in str(alarm(0.025, 0.05))


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.05, "5%"), (1 / 39, "2.6%"), (0.0004, "0.04%"), (1e-5, "0.001%"), (0.999, "100%"), (1.0, "100%"), (0.3, "30%")],
)
def test_a_rate_in_two_digits(rate: float, said: str) -> None:
    assert percent(rate) == said


@given(st.floats(1e-9, 1.0))
def test_a_rate_is_never_said_to_be_smaller_than_it_is_nor_to_be_nothing(rate: float) -> None:
    said = float(percent(rate).rstrip("%")) / 100
    assert rate * (1 - 1e-6) <= said <= min(1.0, rate * 1.1 + 1e-12)
    assert said > 0


def test_only_the_first_alarm_of_a_run_claims_a_rate() -> None:
    w, parts = start(Scripted(lambda look: 9.0 if look in (4, 5, 9, 10, 11) else 0.0), cooldown=2)
    run(w, parts)
    first, *later = w.alarms
    assert (first.threshold.calibrated, first.threshold.alpha) == (True, 0.05)
    assert later
    for each in later:
        assert not each.threshold.calibrated
        assert math.isnan(each.threshold.alpha)
        assert "uncalibrated; no rate is claimed after an earlier alarm of a run" in str(each)


def test_no_name_reaches_the_log_or_a_terminal_with_what_a_terminal_obeys(caplog) -> None:
    name = "\x1b[31mred\u202e\ud800"
    with caplog.at_level(logging.DEBUG):
        w, parts = start(
            Scripted(lambda look: 9.0 if look > 5 else 0.0, signals=(Signal(name, "I0", "signal", "", ""),))
        )
        run(w, parts)
        w.say("resume", f"one line:\n    another, {name}")
    assert w.alarm.signal == name, "it is the signal's all the same"
    for text in (caplog.text, str(w.alarm), repr(w.alarms), repr(w), *(event.text for event in w.events)):
        assert "red" in text
        assert not [c for c in text if unicodedata.category(c)[0] == "C" and c != "\n"]
    assert w.events[-1].text == "one line:\n    another, \ufffd[31mred\ufffd\ufffd"
