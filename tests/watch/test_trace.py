"""Which signals may be judged together, and on what an alarm's rate rests."""

import copy
import re

import msgspec
import numpy as np
import pytest
from watch.loops import REFERENCES, Scripted, parts, run, start

from darklantern.errors import WatchError
from darklantern.records.references import SignalReference
from darklantern.watch import Reading, Signal, since_start, watch
from darklantern.watch.judging import detectors
from darklantern.watch.looking import Looked
from darklantern.watch.trace import Trace

A, B = (Signal(name, "I0", "signal", "", "") for name in "ab")
OUTER = Signal("outer", "I0", "behaviour", "", "")
HELD = msgspec.structs.replace(
    REFERENCES, signals=tuple(SignalReference(name=name, mean=(0.0,), spread=(1.0,)) for name in ("a", "outer"))
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


def test_a_signal_without_references_is_a_channel_of_its_own_and_takes_no_claim_from_the_others() -> None:
    made = trace(A, B, alpha=0.05)
    assert made.channels == ("joint", "b")
    assert made.limits["joint"] == trace(A).limits["joint"], "neither its limit nor its rate moves"
    apart = made.limits["b"]
    assert (apart.value, apart.calibrated) == (3.4, False)
    assert np.isnan(apart.alpha)
    assert made.uncalibrated == "no reference runs for 'b', which is judged apart by its own first looks"
    assert trace(A, OUTER).limits["joint"].calibrated, "fewer signals than the reference runs had cannot raise the rate"
    assert "another recipe" in trace(A, B, recipe="9" * 64).limits["joint"].reason
    assert trace(B).channels == ("b",), "none of the signals has references"


def test_the_joint_statistic_is_that_of_the_signals_with_references() -> None:
    """b moves in standard deviations of its own: mixed in, it would be held against the limit of a's unit."""
    made = trace(A, B)
    for step in range(20):
        made.add(step, looked(a=0.0, b=0.1 * (step % 2) + 0.4 * (step > 12)))
    assert max(made.tracks["b"].statistic) > made.limits["joint"].value
    assert made.joint == [0.0] * 20
    assert (made.limit("b"), made.limit("a")) == (made.limits["b"], made.limits["joint"])
    made.add(20, looked(a=0.0, b=50.0))
    made.add(21, looked(a=0.0, b=50.0))
    assert [each.channel for each in made.standing()] == ["b"]
    assert "no reference runs for 'b'" in made.standing()[0].threshold.reason


def test_a_signal_that_the_references_hold_apart_has_the_limit_of_its_own_maxima() -> None:
    behaved = msgspec.structs.replace(HELD, behaviours={"a": (1.0,) * 39})
    made = trace(A, NEW, references=behaved)
    assert made.channels == ("a", "new")
    assert (made.limits["a"].value, made.limits["a"].alpha) == (1.0, 0.05), (
        "what cannot claim takes no part of the rate"
    )
    assert not made.limits["new"].calibrated


def test_what_had_its_part_in_the_joint_maxima_and_stands_alone_now_is_in_its_own_unit() -> None:
    made = trace(Signal("a", "I0", "signal", "", "", says="novelty"))
    assert made.unit("a") == "standard deviations over first looks"
    assert (made.limits["a"].value, made.limits["a"].calibrated) == (3.4, False)


def test_each_curve_says_what_it_was_standardised_on() -> None:
    class Two(Scripted):
        signals = (Signal("scripted", "I0", "signal", "", ""), B)

        def read(self, seen):
            (reading,) = super().read(seen)
            return reading, Reading(0.0, 0.0)

    w, loop = start(Two(lambda look: 9.0 if look >= 5 else 0.0, signals=Two.signals))
    run(w, loop)
    assert w.alarm.step == 30
    assert w.alarm.threshold.calibrated
    units = {series.name: series.unit for series in w.trace.series()}
    assert units == {
        "scripted": "multiples of what 1 clean run in 20 reaches",
        "b": "standard deviations over first looks",
    }
    assert [(event.label, event.text[:25]) for event in w.events[:1]] == [("uncalibrated", "no reference runs for 'b'")]


def test_a_probe_that_forgets_a_reading_is_named() -> None:
    w, loop = start(Scripted(lambda look: 0.0, signals=(Signal("scripted", "I0", "signal", "", ""), B)))
    with pytest.raises(WatchError, match="Scripted has 2 signals and gave 1 readings"):
        run(w, loop)


class TooLarge(Scripted):
    """At its third look value and placebo are finite, and their contrast is of no use."""

    def read(self, seen):
        self.looks += 1
        return (self.script if self.looks == 4 else Reading(0.0),)


@pytest.mark.parametrize("reading", [Reading(1e308, -1e308), Reading(np.float64(1e308), np.float64(-1e308))], ids=str)
@pytest.mark.parametrize("compares", ["difference", "ratio"])
def test_a_contrast_that_is_not_finite_is_refused_by_the_signal_s_name_and_blinds_nothing(reading, compares) -> None:
    signals = (Signal("scripted", "I0", "signal", "", "", compares=compares),)
    w, loop = start(TooLarge(reading, signals=signals), on_failure="go on")
    with np.errstate(all="raise"):
        run(w, loop)
    said = [event.text for event in w.events if event.label == "failure"]
    assert [text.startswith("the look at step 15 failed: signal 'scripted' read") for text in said] == [True]
    assert "whose contrast is inf" in said[0]
    assert not w.alarms
    assert 15 not in w.trace.steps
    assert np.isfinite(w.trace.joint).all()


def test_a_contrast_whose_square_would_not_be_finite_is_refused_too() -> None:
    """Spreads over looks are made of squares: one such look among the first would have made the spread infinite."""
    w, loop = start(TooLarge(Reading(1e200)), on_failure="go on")
    run(w, loop)
    assert [event.text[:19] for event in w.events if event.label == "failure"] == ["the look at step 15"]
    w, loop = start(TooLarge(Reading(1e150)), on_failure="go on")
    run(w, loop)
    assert not [event for event in w.events if event.label == "failure"]
    assert np.isfinite(w.trace.joint).all()


@pytest.mark.parametrize("reading", [Reading(1e308, -1e308), Reading(1e200)], ids=str)
def test_a_held_out_monitor_s_contrast_that_is_not_finite_is_not_told(reading) -> None:
    signals = (Signal("scripted", "I0", "signal", "", "", held_out=True),)
    w, loop = start(TooLarge(reading, signals=signals), on_failure="go on")
    run(w, loop)
    (said,) = [event.text for event in w.events if event.label == "failure"]
    assert said == "the look at step 15 failed: a held-out monitor read too large a number at step 15"


def test_the_curve_is_what_calibration_runs_were_measured_by_to_the_last_bit() -> None:
    """A watch goes look by look, a calibration over whole runs: a maximum that differs would move the threshold."""
    contrasts = np.random.default_rng(4).normal(size=30).cumsum().tolist()
    made = (
        SignalReference(name="a", mean=(0.0, 0.1, 0.2), spread=(0.7,), detector="cusum", top=6.3),
        SignalReference(name="outer", mean=(0.0, 0.1, 0.2), spread=(0.7,), top=1.7),
    )
    held = trace(A, OUTER, references=msgspec.structs.replace(HELD, signals=made))
    for look, contrast in enumerate(contrasts):
        held.add(look, Looked({"a": Reading(contrast), "outer": Reading(contrast)}, {}))
    for reference in made:
        assert held.tracks[reference.name].statistic == detectors.statistics(reference, contrasts)
    assert held.joint == held.tracks["a"].statistic


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_rate_that_is_no_probability_is_refused(alpha: float) -> None:
    with pytest.raises(WatchError, match="between 0 and 1"):
        detectors.threshold([1.0] * 19, alpha)


def looked(scores=((), ()), **contrasts: float) -> Looked:
    return Looked({name: Reading(value) for name, value in contrasts.items()}, {"bet": scores})


BET = Signal("bet", "I0", "signal", "", "", detector="betting", says="novelty")
NEW = Signal("new", "I0", "signal", "", "", says="novelty")


def test_the_rate_is_split_over_channels_and_what_claims_a_circuit_comes_first() -> None:
    made = Trace([A, BET, NEW], alpha=0.06)
    assert made.channels == ("joint", "bet", "new")
    assert made.limits["bet"].alpha == pytest.approx(0.02)
    assert made.limits["bet"].value == pytest.approx(np.log(50))
    for step in range(16):
        made.add(step, looked(([9.0] * 16, [0.0] * 16), a=0.1 * (step % 2), bet=0.0, new=0.1 * (step % 2)))
    assert [each.channel for each in made.standing()] == ["bet"]
    assert made.limits["bet"].calibrated, "a bet needs no reference runs"
    for step in range(16, 24):
        made.add(step, looked(a=50.0 * step, bet=0.0, new=50.0 * step))
    assert [(each.channel, each.says) for each in made.standing()] == [
        ("joint", "circuit"),
        ("bet", "novelty"),
        ("new", "novelty"),
    ]


def test_channels_that_share_the_rate_say_so() -> None:
    assert trace(A).over_all is None
    assert trace(A, B).over_all is None, "b claims none"
    assert Trace([A, BET], alpha=0.06).over_all == 0.06


def test_references_that_are_too_few_for_several_channels_say_what_they_do_support() -> None:
    runs = len(HELD.maxima)
    with pytest.raises(WatchError, match=f"of 0.05, shared by 2 channels, needs 39 .*, got {runs}") as refused:
        Trace([A, BET], HELD, HELD.recipe, HELD.data)
    asked = float(re.search(r"alpha=([\d.]+)", refused.value.hint)[1])
    assert asked == pytest.approx(2 / (runs + 1), abs=2e-3)
    assert Trace([A, BET], HELD, HELD.recipe, HELD.data, asked).limits["joint"].value == max(HELD.maxima)
    assert Trace([A], HELD, HELD.recipe, HELD.data).limits["joint"].calibrated


def test_what_says_novelty_has_no_part_in_the_joint_statistic() -> None:
    made = Trace([A, NEW])
    for step in range(12):
        made.add(step, looked(a=0.1 * (step % 2), new=50.0 * (step > 7)))
    assert made.joint == made.tracks["a"].statistic
    assert [each.channel for each in made.standing()] == ["new"]


def test_a_rollback_takes_the_stakes_back() -> None:
    made = Trace([A, BET])
    for step in range(3):
        made.add(step, looked(([9.0] * 4, [0.0] * 4), a=0.0, bet=0.0))
    wealth = made.curve("bet")[0]
    made.cut(1)
    assert list(made.curve("bet")) == [wealth]
    made.add(1, looked(a=0.0, bet=0.0))
    assert list(made.curve("bet")) == [wealth, wealth], "no fresh rows: the bet stays as it was"


def test_a_monitor_that_bets_races_at_the_joint_rate_and_raises_nothing() -> None:
    made = Trace([A, BET, Signal("outer", "I0", "behaviour", "", "", detector="betting")], alpha=0.06)
    assert made.channels == ("joint", "bet")
    assert made.limits["outer"].alpha == pytest.approx(0.03)
    for step in range(16):
        scores = ([9.0] * 16, [0.0] * 16)
        readings = {name: Reading(0.0) for name in ("a", "bet", "outer")}
        made.add(step, Looked(readings, {"outer": scores}))
    assert made.standing() == []
    assert made.alarm_step("outer") is not None


def test_a_run_that_goes_on_where_the_references_end_claims_no_rate_from_there() -> None:
    made = trace(A, references=msgspec.structs.replace(HELD, steps=(5, 10), signals=(short("a"), short("outer"))))
    for step in (5, 10):
        made.add(step, looked(a=0.0))
        assert made.limits["joint"].calibrated
    made.add(15, looked(a=0.0))
    assert "longer than the reference runs" in made.limits["joint"].reason
    assert not made.limits["joint"].calibrated


def test_looks_at_other_steps_than_the_references_claim_no_rate() -> None:
    made = trace(A, references=msgspec.structs.replace(HELD, steps=(5, 10), signals=(short("a"), short("outer"))))
    made.add(7, looked(a=0.0))
    assert "look 1 was at step 7, and at step 5 in the reference runs" in made.limits["joint"].reason
    assert made.uncalibrated


@pytest.mark.parametrize("wild", [9.0, 1e6])
def test_without_references_one_wild_look_is_no_alarm_and_a_rise_that_lasts_is(wild: float) -> None:
    made = trace(A, references=None)
    rng = np.random.default_rng(0)
    for step in range(5, 105, 5):
        made.add(step, looked(a=rng.normal() + wild * (step == 60)))
        assert not made.standing()
    for step in range(105, 125, 5):
        made.add(step, looked(a=wild))
    assert made.standing()


def short(name: str) -> SignalReference:
    return SignalReference(name=name, mean=(0.0, 0.0), spread=(1.0, 1.0))


def test_a_score_that_no_bet_can_take_leaves_the_trace_as_it_was() -> None:
    made = Trace([A, BET])
    made.add(5, looked(([1.0], [0.0]), a=0.0, bet=0.0))
    with pytest.raises(WatchError, match="no finite numbers"):
        made.add(10, looked(([float("nan")], [0.0]), a=0.0, bet=0.0))
    assert made.steps == [5]
    assert all(len(track.readings) == len(track.statistic) == 1 for track in made.tracks.values())


def test_a_look_that_fails_within_is_added_whole_or_not_at_all() -> None:
    """The second signal overflows once it is judged, after the first has had its reading, its statistic and a doubt."""
    usual = SignalReference(name="a", mean=(0.0,) * 6, spread=(1.0,) * 6)
    made = trace(A, B, references=msgspec.structs.replace(HELD, signals=(usual,), steps=tuple(range(5, 35, 5))))
    for look in range(5):
        made.add(5 * (look + 1), looked(a=0.1 * look, b=1e200 * (look % 2)))
    before = copy.deepcopy(vars(made))
    assert made.limits["joint"].calibrated
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        made.add(31, looked(a=0.3, b=0.0))
    assert vars(made) == before
    with np.errstate(over="ignore"):
        made.add(30, looked(a=0.3, b=0.0))
    lengths = {len(held) for track in made.tracks.values() for held in (track.readings, track.statistic)}
    assert lengths == {len(made.steps), len(made.joint), len(made.past)} == {6}


@pytest.mark.parametrize("level", [0.5, 300.0, -4e-3])
def test_rounding_is_no_rise_of_a_signal_that_was_flat_at_first(level: float) -> None:
    rng = np.random.default_rng(0)
    made = Trace([A])
    for step in range(12):
        made.add(step, looked(a=level))
    for step in range(12, 60):
        made.add(step, looked(a=float(np.float32(level) * np.float32(1 + 1e-6 * rng.normal()))))
    assert max(made.joint) < 0.5
    for step in range(60, 64):
        made.add(step, looked(a=level * 1.01 if level > 0 else level * 0.99))
    assert [each.channel for each in made.standing()] == ["joint"], "one part in a hundred is no rounding"


def test_sizes_that_cancel_are_rounded_in_proportion_to_themselves() -> None:
    made = Trace([A])
    for step in range(40):
        off = 1e-5 if step > 20 else 0.0
        made.add(step, Looked({"a": Reading(300.0 + off, 300.0)}, {}))
    assert max(made.joint) < 0.5


def test_a_grain_says_what_a_flat_signal_may_do() -> None:
    coarse = Trace([Signal("a", "I0", "signal", "", "", grain=1.0)])
    for step in range(30):
        coarse.add(step, looked(a=0.0 if step < 15 else 2.0))
    assert coarse.standing() == []
    assert max(coarse.joint) == 1.75


def test_since_start_a_rise_that_stays_stands_on() -> None:
    """The same readings, of which the first looks are known: once as they are, once anchored."""
    script = lambda look: 0.0 if look < 12 else 5.0  # noqa: E731
    plain, anchored = Scripted(script), since_start(Scripted(script))
    assert [s.detector for s in anchored.signals] == ["anchored"] and plain.signals[0].detector == "ewma"
    assert (anchored.name, anchored.settings, type(anchored)) == (plain.name, plain.settings, Scripted)
    ends = []
    for probe in (plain, anchored):
        w, made = start(probe, references=None, every=1)
        run(w, made)
        ends.append(w.trace.tracks["scripted"].statistic[-1])
    assert abs(ends[0]) < 1 < detectors.BOUND - 0.1 < ends[1]


def test_references_of_one_detector_do_not_hold_for_another() -> None:
    w, _ = start(since_start(Scripted(lambda look: 0.0)))
    assert "read or judged otherwise than in the reference runs" in w.trace.uncalibrated
