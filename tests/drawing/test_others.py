"""Heatmap, bars, ladder, circuit, sparkline, PNG: what each shows and what each refuses."""

import math
import re
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from itertools import combinations_with_replacement

import pytest
from examples import BARS, EDGES, GRID, NODES
from hypothesis import given
from hypothesis import strategies as st
from seen import SPACE, overlaps, parsed, written

from darklantern.drawing import (
    Bar,
    Edge,
    Node,
    bars,
    circuit,
    heatmap,
    level_ladder,
    sparkline,
    to_png,
)
from darklantern.drawing.ink import contrast, ramp
from darklantern.drawing.placing import Box
from darklantern.drawing.ways import Way
from darklantern.errors import AssessmentError, MissingExtraError, RecordError
from darklantern.records.assessments import LEVELS, Level
from darklantern.records.findings import Grid


def seen(picture: str) -> list[str]:
    return [each.text for each in written(parsed(picture))]  # type: ignore[arg-type]


def cells(root: ET.Element) -> list[ET.Element]:
    return [rect for rect in root.iter(SPACE + "rect") if rect.find(SPACE + "title") is not None]


# heatmap


def test_heatmap_has_a_cell_with_its_value_for_each_number() -> None:
    root = parsed(heatmap(GRID))
    assert len(cells(root)) == 6 * 48
    assert {"⏎", "␣", "layers.2.mlp:out"} <= set(seen(heatmap(GRID)))


def test_heatmap_names_the_strongest_cell() -> None:
    grid = Grid(name="g", unit="nats", rows=("a", "b"), columns=("x", "\n"), values=((0.1, 0.2), (0.3, -0.9)))
    assert "Strongest: −0.9 nats at position 1 “⏎”, b" in seen(heatmap(grid))


def test_heatmap_of_zeros_says_so() -> None:
    assert "All values are zero" in seen(
        heatmap(Grid(name="g", unit="", rows=("a",), columns=("x",), values=((0.0,),)))
    )


@given(st.floats(0, 1), st.floats(0, 1))
def test_darker_means_stronger_on_both_sides(one: float, two: float) -> None:
    weak, strong = sorted((one, two))
    for sign in (1, -1):
        assert contrast(ramp(sign * strong), "#ffffff") >= contrast(ramp(sign * weak), "#ffffff") - 0.05


@pytest.mark.parametrize(
    "values", [((0.0,),), ((0.0, 0.0), (0.0,)), ((0.0, math.nan), (0.0, 0.0)), ((0.0, -math.inf), (0.0, 0.0))]
)
def test_heatmap_refuses_ragged_and_not_finite(values: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(RecordError):
        heatmap(Grid(name="g", unit="", rows=("a", "b"), columns=("x", "y"), values=values))


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 0), (65, 1), (1, 129)])
def test_heatmap_refuses_empty_and_unreadable(rows: int, columns: int) -> None:
    with pytest.raises(RecordError):
        heatmap(
            Grid(name="g", unit="", rows=("a",) * rows, columns=("x",) * columns, values=((0.0,) * columns,) * rows)
        )


# bars


def test_bars_show_value_and_interval_in_figures() -> None:
    assert "0.810.74 to 0.87" in seen(bars(BARS, title="t"))


def test_bars_start_at_zero() -> None:
    root = parsed(bars((Bar(label="up", value=2.0), Bar(label="down", value=-1.0)), title="t"))
    up, down = [rect for rect in root.iter(SPACE + "rect") if rect.get("rx")]
    assert float(down.get("x", "0")) + float(down.get("width", "0")) == pytest.approx(float(up.get("x", "0")), abs=0.02)


@pytest.mark.parametrize("bar", [Bar(label="b", value=math.nan), Bar(label="b", value=1.0, interval=(2.0, 1.0))])
def test_bars_refuse(bar: Bar) -> None:
    with pytest.raises(RecordError):
        bars((bar,), title="t")


def test_no_bars_is_an_error() -> None:
    with pytest.raises(RecordError, match="at least one"):
        bars((), title="t")


# ladder


@pytest.mark.parametrize(("lowest", "operate"), tuple(combinations_with_replacement(LEVELS, 2)))
def test_ladder_shades_the_open_range_and_marks_one_level(lowest: Level, operate: Level) -> None:
    kinds = [group.get("class") for group in parsed(level_ladder(lowest, operate)).iter(SPACE + "g")]
    assert kinds.count("dl-level dl-operate") == 1
    assert kinds.count("dl-level dl-open") == LEVELS.index(operate) - LEVELS.index(lowest)


@pytest.mark.parametrize(("lowest", "operate"), [("V3", "V1"), ("V0", "V5"), ("", "V1")])
def test_ladder_refuses(lowest: Level, operate: Level) -> None:
    with pytest.raises(AssessmentError):
        level_ladder(lowest, operate)


# circuit


def test_many_edges_beside_an_outer_column_stay_in_the_picture() -> None:
    nodes = [Node(site=f"n{layer}", position=0, layer=layer) for layer in range(12)]
    nodes.append(Node(site="other", position=1, layer=0))
    nodes += [Node(site=f"m{layer}", position=1, layer=layer) for layer in range(1, 12)]
    pairs = [(low, high) for side in (0, 12) for low in range(side, side + 9) for high in range(low + 2, side + 12, 2)]
    root = parsed(circuit(nodes, [Edge(source=low, target=high, effect=1.0) for low, high in pairs], title="Many"))
    wide = float(root.attrib["viewBox"].split()[2])
    for path in root.iter(SPACE + "path"):
        across = [float(each) for each in re.findall(r"[MLC, ]?(-?\d+(?:\.\d+)?) -?\d+(?:\.\d+)?", path.attrib["d"])]
        assert across
        assert min(across) >= 0
        assert max(across) <= wide


def test_wider_edges_carry_more() -> None:
    edges = [g for g in parsed(circuit(NODES, EDGES, title="t")).iter(SPACE + "g") if g.get("class") == "dl-edge"]
    widths = [float(edge[1].get("stroke-width", "0")) for edge in edges]
    assert len(widths) == len(EDGES) and widths == sorted(widths) and widths[-1] == 6


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=2, max_size=14, unique=True), st.data())
def test_no_figure_covers_a_node_or_another_figure(places: list[tuple[int, int]], data: st.DataObject) -> None:
    nodes = [Node(site=f"layers.{layer}.attn", position=position, layer=layer) for position, layer in places]
    up = [(i, j) for i, a in enumerate(nodes) for j, b in enumerate(nodes) if a.layer < b.layer]
    pairs = data.draw(st.lists(st.sampled_from(up), max_size=20, unique=True)) if up else []
    edges = [Edge(source=i, target=j, effect=(-1) ** n * (n + 1) / 7) for n, (i, j) in enumerate(pairs)]
    assert overlaps(written(parsed(circuit(nodes, edges, title="t")))) == []


def test_columns_that_stand_for_nothing_are_not_counted() -> None:
    plain, counted = (circuit(NODES, EDGES, title="t", counted=word) for word in ("", "head"))
    assert "position" not in plain and "head 26" in counted and "position" in circuit(NODES, EDGES, title="t")


def test_a_way_in_a_channel_stays_out_of_the_rows_between() -> None:
    way = Way((100, 300), (400, 100), gap=50, channel=250)
    node = Box(60, 160, 160, 80)
    assert not any(Box(x, y, 0.1, 0.1).touches(node) for x, y in way.spots())


@pytest.mark.parametrize(
    ("nodes", "edges"),
    [
        ((), ()),
        (NODES, (Edge(source=1, target=0, effect=1.0),)),
        (NODES, (Edge(source=0, target=9, effect=1.0),)),
        (NODES, (Edge(source=-1, target=1, effect=1.0),)),
        (NODES, (Edge(source=0, target=1, effect=math.nan),)),
        ((NODES[0], Node(site="same place", position=26, layer=0)), ()),
    ],
)
def test_circuit_refuses(nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> None:
    with pytest.raises(RecordError) as caught:
        circuit(nodes, edges, title="t")
    assert caught.value.hint


# sparkline and PNG


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0, math.inf)])
def test_sparkline_refuses(values: tuple[float, ...]) -> None:
    with pytest.raises(RecordError):
        sparkline(values)


def test_png_takes_only_our_own_pictures() -> None:
    with pytest.raises(RecordError, match="made by"):
        to_png('<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>')  # type: ignore[arg-type]


def test_png_is_made_or_says_what_is_missing() -> None:
    if find_spec("resvg_py"):
        assert to_png(sparkline((1.0, 2.0))).startswith(b"\x89PNG\r\n")
    else:
        with pytest.raises(MissingExtraError) as caught:
            to_png(sparkline((1.0, 2.0)))
        assert "pip install" in caught.value.hint
