from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from darklantern.drawing.lettering import width
from darklantern.drawing.placing import Box, first_free, spread, stagger, thinned

places = st.lists(st.floats(0, 200), max_size=8)


@given(places)
def test_spread_keeps_order_gap_and_bounds(wanted: list[float]) -> None:
    made = spread(wanted, 20, 0, 200)
    ordered = [made[i] for i in sorted(range(len(wanted)), key=lambda i: wanted[i])]
    assert all(b - a >= 20 - 1e-6 for a, b in pairwise(ordered))
    assert all(-1e-6 <= place <= 200 + 1e-6 for place in made)


@given(places)
def test_spread_leaves_alone_what_is_far_enough_apart(wanted: list[float]) -> None:
    if all(b - a >= 20 for a, b in pairwise(sorted(wanted))):
        assert all(abs(a - b) < 1e-6 for a, b in zip(spread(wanted, 20, 0, 200), wanted, strict=True))


@given(st.lists(st.tuples(st.integers(0, 500), st.text("abcW", max_size=12)), max_size=16))
def test_no_flag_touches_another_and_no_pole_crosses_a_label(flags: list[tuple[int, str]]) -> None:
    starts = [float(x) for x, _ in flags]
    widths = [width(text, 12) for _, text in flags]
    rows = stagger(starts, widths)
    for i in range(len(flags)):
        for j in range(len(flags)):
            inside = starts[i] < starts[j] < starts[i] + widths[i]
            assert not (inside and rows[j] >= rows[i]), "a pole from above, or the same row"
            assert i == j or starts[i] != starts[j] or rows[i] != rows[j]


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(-9, 9)), min_size=1, max_size=400))
def test_thinning_keeps_ends_and_extremes(points: list[tuple[float, float]]) -> None:
    points.sort(key=lambda point: point[0])
    made = thinned(points)
    assert made[0] == points[0] and made[-1] == points[-1]
    assert len(made) <= 4 * 51
    assert max(y for _, y in made) == max(y for _, y in points)
    assert min(y for _, y in made) == min(y for _, y in points)


def test_first_free_says_when_there_is_no_room() -> None:
    taken = [Box(0, 0, 10, 10)]
    assert first_free([Box(5, 5, 2, 2), Box(10, 0, 2, 2)], taken) == Box(10, 0, 2, 2)
    assert first_free([Box(5, 5, 2, 2)], taken) is None
