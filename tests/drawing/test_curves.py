import math

import pytest
from examples import EVENTS, FAR_ABOVE, NOT_YET, ONE_POINT, RACE, ROLLED_BACK
from hypothesis import given, settings
from hypothesis import strategies as st
from seen import SPACE, overlaps, parsed, written

from darklantern.drawing import curves
from darklantern.drawing.panels import attempts
from darklantern.errors import RecordError
from darklantern.records.findings import Event, Series


def texts(picture: str) -> list[str]:
    return [each.text for each in written(parsed(picture))]  # type: ignore[arg-type]


def series(values: tuple[float, ...], **fields: object) -> Series:
    return Series(name="s", role="signal", steps=tuple(range(len(values))), values=values, **fields)  # type: ignore[arg-type]


def test_says_who_was_first_and_by_how_much() -> None:
    seen = texts(curves(RACE, EVENTS))
    assert (
        "A signal inside the model raised the first alarm, at step 490, 90 steps before any behavioural monitor."
        in seen
    )
    assert "90 steps ahead" in seen


def test_says_when_behaviour_was_first_or_nothing_happened() -> None:
    assert "step 580; no signal" in curves(RACE[3:])
    assert "No alarm in this run." in curves(RACE[5:])


def test_every_series_is_named_with_its_alarm() -> None:
    seen = texts(curves(RACE))
    assert {each.name for each in RACE} <= set(seen)
    assert {"alarm at 490", "alarm at 580", "no alarm"} <= set(seen)


def test_signals_are_solid_behaviour_is_dashed_truth_is_an_area() -> None:
    paths = [p for p in parsed(curves(RACE)).iter(SPACE + "path")]
    assert sum(p.get("stroke-dasharray") == "6 4" for p in paths) == 3
    assert sum(p.get("fill-opacity") is not None for p in paths) == 1


def test_alarm_dots_lie_on_the_alarm_line_of_their_panel() -> None:
    crossing = Series(name="s", role="signal", steps=(0, 10, 20), values=(0.0, 2.0, 4.0), threshold=2.0, alarm=10)
    root = parsed(curves((crossing,)))
    dot = next(root.iter(SPACE + "circle"))
    rule = next(line for line in root.iter(SPACE + "line") if line.get("stroke") == "#b3261e")
    assert float(dot.get("cy", "0")) == pytest.approx(float(rule.get("y1", "1")), abs=0.02)


def test_after_a_rollback_the_alarm_dot_lies_on_the_attempt_that_crossed() -> None:
    again = Series(name="s", role="signal", steps=(0, 10, 0, 10), values=(0.0, 1.0, 0.0, 2.0), threshold=2.0, alarm=10)
    (dot,) = [c for c in parsed(curves([again])).iter(f"{SPACE}circle") if c.get("r") == "4.5"]
    alone = Series(name="s", role="signal", steps=(0, 10), values=(0.0, 2.0), threshold=2.0, alarm=10)
    (expected,) = [c for c in parsed(curves([alone])).iter(f"{SPACE}circle") if c.get("r") == "4.5"]
    assert dot.get("cx") == expected.get("cx")
    line = next(e for e in parsed(curves([alone])).iter(f"{SPACE}text") if e.text == "alarm")
    here = next(e for e in parsed(curves([again])).iter(f"{SPACE}text") if e.text == "alarm")
    assert float(dot.get("cy") or 0) - float(here.get("y") or 0) == pytest.approx(
        float(expected.get("cy") or 0) - float(line.get("y") or 0), abs=0.02
    )


def test_a_rollback_fades_what_it_undid_and_points_back() -> None:
    picture = curves((ROLLED_BACK,))
    faded = [p for p in parsed(picture).iter(SPACE + "path") if p.get("opacity")]
    assert len(faded) == 1
    assert "rolled back from step 490 to 440" in picture


def test_attempts_are_the_stretches_between_rollbacks() -> None:
    assert attempts((1, 2, 3, 2, 3, 1)) == [(0, 3), (3, 5), (5, 6)]
    assert attempts(()) == []


def test_a_run_that_has_just_begun_is_drawn() -> None:
    seen = texts(curves((ONE_POINT, NOT_YET)))
    assert "no values yet" in seen and "400" in seen


def test_a_signal_far_above_its_threshold_bends_the_scale_and_says_so() -> None:
    assert "logarithmic" in curves((FAR_ABOVE,))
    assert "logarithmic" not in curves(RACE)


def test_a_threshold_of_zero_or_less_is_drawn_in_its_own_unit() -> None:
    assert "own scale" in curves((series((-3.0, -1.0), threshold=-2.0),))


def test_a_long_run_stays_a_small_picture() -> None:
    long = series(tuple(math.sin(i / 50) for i in range(50_000)), threshold=0.5)
    assert len(curves((long,))) < 60_000


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1000), st.text(max_size=40)), max_size=24))
def test_event_labels_never_overlap(events: list[tuple[int, str]]) -> None:
    drawn = curves((series((0.1, 0.2), threshold=0.5),), [Event(step=step, label=name) for step, name in events])
    assert overlaps(written(parsed(drawn))) == []


numbers = st.floats(-1e90, 1e90, allow_nan=False)


@settings(max_examples=60)
@given(
    st.lists(numbers, min_size=1, max_size=20),
    st.none() | st.floats(1e-6, 1e6),
    st.sampled_from(["signal", "truth", "loss"]),
)
def test_any_finite_values_give_a_readable_picture(values: list[float], threshold: float | None, role: str) -> None:
    steps = tuple(range(len(values)))
    each = Series(name="s", role=role, steps=steps, values=tuple(values), threshold=threshold)  # type: ignore[arg-type]
    picture = curves((each,))
    assert "nan" not in picture and "inf" not in picture
    assert overlaps(written(parsed(picture))) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ((), "at least one"),
        ((NOT_YET,), "at least one"),
        ((series((0.1, math.nan)),), "index 1"),
        ((series((math.inf,)),), "inf"),
        ((series((1.0,), threshold=math.nan),), "threshold"),
        ((series((1.0,), threshold=1e-300),), "over its threshold"),
        ((Series(name="s", role="signal", steps=(1, 2), values=(1.0,)),), "2 and 1"),
        ((Series(name="s", role="signal", steps=(1,), values=(1.0,), alarm=7),), "got 7"),
        ((Series(name="s", role="signal", steps=(10**400,), values=(1.0,)),), "the steps"),
        ((ONE_POINT,) * 25, "at most 24"),
    ],
)
def test_refuses_what_it_cannot_draw_honestly(bad: tuple[Series, ...], says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        curves(bad)
    assert caught.value.hint


def test_a_rollback_is_drawn_to_the_step_that_its_event_names_and_not_to_the_next_look() -> None:
    restored = [Event(step=step, label="rollback") for step in (100, 435)]
    assert "rolled back from step 490 to 435" in curves((ROLLED_BACK,), restored)
