"""Which states are kept, against a memory without limit."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from watch.loops import REFERENCES, Scripted, run, start, with_changes

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
        states.add(kept, clean_looks(joint[:look], margin))
        held.append(kept)
        limit = clean_looks(joint[:look], margin)
        found = states.clean(limit)
        all_clean = [kept for kept in held if kept.looks <= limit]
        assert found is None or found in all_clean
        if set(all_clean) & set(held[-history:]):
            assert found == all_clean[-1]
        if limit >= 0 and all(value <= 1.0 for value in joint[: limit + margin]):
            assert found == all_clean[-1], "quiet up to a single rise: however long ago, the state before it is held"


def test_after_going_back_the_states_since_then_are_gone_and_the_old_one_stays() -> None:
    states = States(2)
    for look in range(6):
        states.add(Kept(look, look, None), clean_looks=look if look <= 3 else 3)
    assert states.steps == {3, 4, 5}
    old = states.clean(3)
    assert old == Kept(3, 3, None)
    states.back_to(old)
    assert states.steps == {3}
    assert states.clean(0) == old, "it was known to be clean; cutting the curve does not unlearn that"


def test_states_and_memories_are_shown_in_a_line() -> None:
    w, loop = start(Scripted(lambda look: 0.0))
    run(w, loop)
    kept = w._keeper.states.clean(99)
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
