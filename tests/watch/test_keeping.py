"""Which states are kept, against a memory without limit."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from watch.loops import REFERENCES, Scripted, parts, run, start, with_changes

from darklantern.watch import Reading
from darklantern.watch.judging.detectors import rise_began
from darklantern.watch.keeping import Kept, States


def clean_looks(joint: list[float], margin: int) -> int:
    last = rise_began(joint, 1.0)
    return -1 if last < 0 else last + 1 - margin


@given(st.lists(st.sampled_from([0.0, 2.0]), min_size=1, max_size=60), st.integers(1, 8), st.data())
def test_the_clean_state_is_the_newest_within_the_ring_and_never_lost_beyond_it(
    joint: list[float], history: int, data: st.DataObject
) -> None:
    margin = data.draw(st.integers(0, history))
    states, held = States(history), []
    for look in range(len(joint) + 1):
        kept = Kept(step=10 * look, looks=look, snapshot=None)
        limit = clean_looks(joint[:look], margin)
        states.add(kept, {"joint": limit})
        held.append(kept)
        found = states.clean({"joint": limit})
        all_clean = [kept for kept in held if kept.looks <= limit]
        assert found is None or found in all_clean
        if set(all_clean) & set(held[-history:]):
            assert found == all_clean[-1]
        if limit >= 0 and all(value <= 1.0 for value in joint[: limit + margin]):
            assert found == all_clean[-1], "quiet up to a single rise: however long ago, the state before it is held"


def test_after_going_back_the_states_since_then_are_gone_and_the_old_one_stays() -> None:
    states = States(2)
    for look in range(6):
        states.add(Kept(look, look, None), {"joint": min(look, 3)})
    assert states.steps == {3, 4, 5}
    old = states.clean({"joint": 3})
    assert old == Kept(3, 3, None)
    states.back_to(old)
    assert states.steps == {3}
    assert states.clean({"joint": 0}) == old, "it was known to be clean; cutting the curve does not unlearn that"
    assert states.clean({"joint": 0}, tainted=2) is None, "an earlier alarm says that it is not"


@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 2.0])] * 3), min_size=1, max_size=40),
    st.integers(1, 4),
    st.sets(st.sampled_from("abc"), min_size=1),
)
def test_of_several_channels_each_state_found_is_clean_in_all_that_alarm_and_no_other_hides_one(
    curves: list[tuple[float, ...]], history: int, standing: set[str]
) -> None:
    """Against a memory without limit, in which one channel that never quiets down decides nothing for the others."""
    states, alone, held = States(history), States(history), []
    for look in range(len(curves) + 1):
        limits = {name: clean_looks([each[at] for each in curves[:look]], 0) for at, name in enumerate("abc")}
        kept = Kept(look, look, None)
        states.add(kept, limits)
        alone.add(kept, {name: limits[name] for name in standing})
        held.append(kept)
        found = states.clean({name: limits[name] for name in standing})
        assert found == alone.clean({name: limits[name] for name in standing})
        if found is not None:
            assert all(found.looks <= limits[name] for name in standing)
        else:
            assert not any(all(each.looks <= limits[name] for name in standing) for each in held[-history:])
        assert len(states.steps) <= history + 3


def test_a_monitor_that_never_falls_back_to_zero_hides_no_clean_state_of_another_channel() -> None:
    """It claims novelty, stands far below its own threshold, and its CUSUM has not been at 0 since the fourth look."""

    class Two(Scripted):
        def read(self, seen):
            self.looks += 1
            return tuple(Reading(script(self.looks - 2), 0.0) for script in (rises, idles))

    rises, idles = with_changes([0.0] * 20 + [4.0] * 10), with_changes([0.0] * 3 + [0.9] + [0.52] * 60)
    probe = Two(lambda look: 0.0)
    probe.signals = (probe.signals[0], replace(probe.signals[0], name="idle", detector="cusum", says="novelty"))
    (of_joint,) = REFERENCES.signals
    of_idle = structs.replace(of_joint, name="idle", detector="cusum", top=4.0)
    runs = tuple(range(79))
    made = structs.replace(
        REFERENCES, signals=(of_joint, of_idle), behaviours={"idle": (1.5,) * 79}, maxima=(1.5,) * 79,
        calibrated_on=runs, standardised_on=tuple(range(100, 105)),
    )  # fmt: skip
    w, loop = start(probe, references=made, of=parts(end=150))
    run(w, loop)
    assert 0 < max(w.trace.tracks["idle"].statistic) < 0.5
    assert (w.alarm.channel, w.alarm.step) == ("joint", 105)
    assert w.alarm.clean.step == 95


def test_states_and_memories_are_shown_in_a_line() -> None:
    w, loop = start(Scripted(lambda look: 0.0))
    run(w, loop)
    kept = w._keeper.states.clean({"joint": 99})
    for shown in (kept, kept.snapshot, kept.memory):
        assert len(repr(shown)) < 200 and "tensor(" not in repr(shown)
    assert f"step {kept.step}" in repr(kept) and "tensors, " in repr(kept.snapshot)


def test_what_creeps_is_gone_back_on_to_before_it_left_zero() -> None:
    """From the sixth look on each adds a quarter to the CUSUM: for two of them it stands below .4 of its threshold."""
    probe = Scripted(with_changes([0.0] * 5 + [1.5] * 20))
    probe.signals = (replace(probe.signals[0], detector="cusum"),)
    reference = structs.replace(REFERENCES.signals[0], detector="cusum", top=4.0)
    w, loop = start(probe, references=structs.replace(REFERENCES, signals=(reference,)))
    run(w, loop)
    assert w.trace.tracks["scripted"].statistic[4:8] == [0.0, 0.25, 0.5, 0.75]
    assert (w.alarm.step, w.alarm.threshold.value, w.alarm.clean.step) == (60, 1.5, 20)
