"""Which signals may be judged together, and on what an alarm's rate rests."""

import msgspec
import numpy as np
import pytest
from watch.loops import REFERENCES, Scripted, parts, run, start

from darklantern.errors import WatchError
from darklantern.records.references import SignalReference
from darklantern.watch import Reading, Signal, detectors, watch
from darklantern.watch.trace import Trace

A, B = (Signal(name, "I0", "signal", "", "") for name in "ab")
OUTER = Signal("outer", "I0", "behaviour", "", "")
HELD = msgspec.structs.replace(
    REFERENCES, signals=tuple(SignalReference(name=name, mean=(0.0,), spread=1.0) for name in ("a", "outer"))
)


def trace(*signals: Signal, references=HELD, alpha: float = 0.05, recipe: str = "1" * 64) -> Trace:
    return Trace(signals, references, recipe, "2" * 64, alpha)


def test_two_signals_of_one_name_are_refused_when_attaching() -> None:
    with pytest.raises(WatchError, match="two signals are called 'a'"):
        trace(A, B, A)
    model, optimizer, loader = parts()
    probe = Scripted(lambda look: 0.0)
    with pytest.raises(WatchError, match="two signals are called 'scripted'"):
        watch(model, state=(optimizer, loader), trusted=np.zeros((3, 49), np.uint8), signals=[probe, probe])


def test_a_watch_needs_an_internal_signal_and_joint_is_taken() -> None:
    for signals in ((), (OUTER,)):
        with pytest.raises(WatchError, match="at least one internal signal"):
            trace(*signals)
    with pytest.raises(WatchError, match="called 'joint'"):
        trace(A, Signal("joint", "I0", "behaviour", "", ""))


def test_one_internal_signal_without_a_reference_takes_the_rate_from_all_and_is_named() -> None:
    limit = trace(A, B).limits["joint"]
    assert (limit.value, limit.calibrated, limit.reason) == (1.5, False, "no reference runs for 'b'")
    assert np.isnan(limit.alpha)
    assert trace(A, OUTER).limits["joint"].calibrated, "fewer signals than the reference runs had cannot raise the rate"
    assert "another recipe" in trace(A, B, recipe="9" * 64).limits["joint"].reason


def test_a_reference_of_a_behavioural_monitor_does_not_cover_an_internal_signal() -> None:
    behaved = msgspec.structs.replace(HELD, behaviours={"a": (1.0,) * 19})
    assert not trace(A, references=behaved).limits["joint"].calibrated


def test_its_alarm_says_so_and_each_curve_says_what_it_was_standardised_on() -> None:
    class Two(Scripted):
        signals = (Signal("scripted", "I0", "signal", "", ""), B)

        def read(self, seen):
            (reading,) = super().read(seen)
            return reading, Reading(0.0, 0.0)

    w, loop = start(Two(lambda look: 9.0 if look >= 5 else 0.0, signals=Two.signals))
    run(w, loop)
    assert w.alarm.step == 30
    assert "uncalibrated; no reference runs for 'b'" in str(w.alarm)
    units = {series.name: series.unit for series in w.trace.series()}
    assert units == {
        "scripted": "multiples of a clean run's usual maximum",
        "b": "standard deviations over first looks",
    }
    assert [event.label for event in w.events] == ["uncalibrated", "alarm"]


def test_a_probe_that_forgets_a_reading_is_named() -> None:
    w, loop = start(Scripted(lambda look: 0.0, signals=(Signal("scripted", "I0", "signal", "", ""), B)))
    with pytest.raises(WatchError, match="Scripted has 2 signals and gave 1 readings"):
        run(w, loop)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_rate_that_is_no_probability_is_refused(alpha: float) -> None:
    with pytest.raises(WatchError, match="between 0 and 1"):
        detectors.threshold([1.0] * 19, alpha)
