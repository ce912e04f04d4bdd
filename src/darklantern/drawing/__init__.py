"""Pictures as self-contained SVG, and PNG where resvg is installed.

In: records (Series, Event, Grid, levels) and small frozen values of this room (Bar, Node, Edge, Field, Axis, Row).
Out: an `Svg`, which is a string; the same input gives the same bytes. It shows the same inline in
a page under `default-src 'self'`, in a notebook and opened alone: no style, script, id or reference
to anything outside. Labels come from peers and are treated as hostile.

This room never reads or writes a file, judges nothing, and draws no number that it had to make
up: NaN, infinity, ragged or empty data and unreadably much of it are refused with RecordError.
Only `fields`, which shows what a model holds, draws NaN, infinity and masked cells, as such.
"""

from darklantern.drawing.axes import Axis
from darklantern.drawing.bars import Bar, bars
from darklantern.drawing.circuit import Edge, Node, circuit
from darklantern.drawing.curves import curves
from darklantern.drawing.fields import Field, fields
from darklantern.drawing.heatmap import heatmap
from darklantern.drawing.ladder import level_ladder
from darklantern.drawing.markup import Svg
from darklantern.drawing.png import to_png
from darklantern.drawing.readings import readings
from darklantern.drawing.spans import Row, spans
from darklantern.drawing.sparkline import sparkline

__all__ = [
    "Axis",
    "Bar",
    "Edge",
    "Field",
    "Node",
    "Row",
    "Svg",
    "bars",
    "circuit",
    "curves",
    "fields",
    "heatmap",
    "level_ladder",
    "readings",
    "spans",
    "sparkline",
    "to_png",
]
