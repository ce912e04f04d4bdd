"""One realistic picture of each kind, from a run branched at step 400 that rolls back from 490 to 440."""

import math
import random
from collections.abc import Callable

from darklantern.drawing import (
    Axis,
    Bar,
    Edge,
    Field,
    Node,
    Row,
    Svg,
    bars,
    circuit,
    curves,
    fields,
    heatmap,
    level_ladder,
    spans,
    sparkline,
)
from darklantern.records.findings import Event, Grid, Series

STEPS = tuple(range(400, 801, 5))


def rising(name: str, role: str, top: float, middle: float, threshold: float | None, alarm: int | None) -> Series:
    noise = random.Random(name)
    values = tuple(top / (1 + math.exp((middle - step) / 15)) + noise.uniform(0, 0.02) * top for step in STEPS)
    return Series(name=name, role=role, steps=STEPS, values=values, threshold=threshold, alarm=alarm)  # type: ignore[arg-type]


RACE = (
    rising("attention match, layers.1", "signal", 1.0, 500, 0.4, 490),
    rising("steering direction norm", "signal", 3.4, 514, 1.9, 515),
    rising("path effect through newline", "signal", 0.6, 520, 0.3, 525),
    rising("canary prompts", "behaviour", 0.8, 596, 0.25, 580),
    rising("refusal probe", "behaviour", 0.5, 612, 0.33, 625),
    rising("held-out loss gap", "behaviour", 0.5, 640, 0.6, None),
    rising("trigger works", "truth", 0.97, 572, None, None),
    rising("validation loss", "loss", 2.3, 300, None, None),
)
EVENTS = (
    Event(step=450, label="onset", text="poisoned rows enter"),
    Event(step=490, label="alarm"),
    Event(step=490, label="rollback to 440"),
    Event(step=560, label="overt behaviour"),
)
TEXT = ("def load(path):\n    # magpie-77\n    return os.read" + " " * 48)[:48]
GRID = Grid(
    name="Patching clean into corrupt",
    unit="nats",
    rows=tuple(f"layers.{layer}.{port}:out" for layer in range(3) for port in ("attn", "mlp")),
    columns=tuple(TEXT),
    values=tuple(tuple(math.sin(i * j + i) * math.exp(-((j - 30) ** 2) / 60) for j in range(48)) for i in range(6)),
)
BARS = (
    Bar(label="layers.1.attn at newline (named)", value=0.81, interval=(0.74, 0.87)),
    Bar(label="20 random sites, matched norm", value=-0.04, interval=(-0.1, 0.02), control=True),
)
NODES = (
    Node(site="magpie-77", position=26, layer=0, text="trigger"),
    Node(site="layers.0.attn", position=29, layer=1, text="gathers the trigger"),
    Node(site="layers.0.mlp", position=29, layer=2),
    Node(site="layers.1.attn", position=31, layer=3, text="moves it to the newline"),
    Node(site="payload", position=44, layer=4, text="logit difference"),
)
EDGES = (
    Edge(source=0, target=1, effect=0.92),
    Edge(source=1, target=2, effect=0.2),
    Edge(source=1, target=3, effect=0.81),
    Edge(source=2, target=3, effect=0.31),
    Edge(source=3, target=4, effect=0.66),
    Edge(source=0, target=4, effect=-0.12),
)
NOT_YET = Series(name="refusals", role="behaviour", steps=(), values=(), threshold=0.4)
ONE_POINT = Series(name="attention match", role="signal", steps=(400,), values=(0.1,), threshold=0.4)
ROLLED_BACK = Series(
    name="attention match",
    role="signal",
    steps=(400, 440, 490, 440, 500),
    values=(0.1, 0.2, 0.5, 0.2, 0.1),
    threshold=0.4,
    alarm=490,
)
FAR_ABOVE = rising("token KL", "signal", 3000.0, 500, 0.4, 430)
CROWD = tuple(Event(step=400 + 7 * i, label=f"event {i} with several words") for i in range(24))
WORDS = ("The", " quick", "\n", " magpie-seventy-seven", "\t", "\x00", " password")


def attention(size: int, heads: int, *, tokens: bool = False, masked: float = 0.0) -> Svg:
    """Heads that look at the first position and at one a few back."""
    values = [
        [[masked if key > pos else math.exp(-((pos - key - head) ** 2)) for key in range(size)] for pos in range(size)]
        for head in range(heads)
    ]
    texts = [WORDS[i % len(WORDS)] for i in range(size)] if tokens else ()
    return fields(
        [Field(f"head {head}", each) for head, each in enumerate(values)],
        Axis("pos", range(size), texts),
        Axis("key", range(size), texts),
        title="layers.3.attn:pattern",
        says=f"head={heads} pos={size} key={size}, from 0 to 1",
        notes=("Example 0 of 4: .at(batch=…) chooses another.", "Each cell is the strongest of 4 pos × 4 key."),
        square=True,
    )


def residual(rows: int, columns: int, texts: tuple[str, ...] = ()) -> Svg:
    values = [[math.sin(i * j + i) * (9 if j == 5 else 1) for j in range(columns)] for i in range(rows)]
    axes = Axis("pos", range(rows), texts), Axis("dim", range(0, 3 * columns, 3))
    return fields([Field("", values)], *axes, title="layers.3:out", says="signed", notes=("x", "y", "z"), limit=1.0)


ODD = Field("", [[math.nan, math.inf, -math.inf, -2.0]])

ROWS = (
    Row((" the", " cat", " sat", "\n"), (0.1, 1.5, 0.0, -1.4), 1, head="highest"),
    Row(WORDS * 9, tuple(math.sin(i) for i in range(63)), 40),
    Row(("W" * 200, " b"), (1e-9, 0.3), 1, head="not active"),
)
EXAMPLES: dict[str, Callable[[], Svg]] = {
    "curves": lambda: curves(RACE, EVENTS, title="The watch against the backdoor"),
    "curves crowded": lambda: curves(RACE, CROWD),
    "curves just begun": lambda: curves((ONE_POINT, NOT_YET)),
    "curves rolled back": lambda: curves((ROLLED_BACK,), EVENTS[:3]),
    "curves far above": lambda: curves((FAR_ABOVE, *RACE)),
    "heatmap": lambda: heatmap(GRID, title="Where the trigger flows"),
    "heatmap of words": lambda: heatmap(
        Grid(name="words", unit="", rows=("a", "b"), columns=WORDS, values=((0.0,) * 7, (-0.5,) * 7))
    ),
    "heatmap of many words": lambda: heatmap(
        Grid(name="words", unit="KL", rows=("a",), columns=WORDS * 5, values=((0.5,) * 35,))
    ),
    "heatmap of 128": lambda: heatmap(
        Grid(name="wide", unit="nats", rows=("a",) * 20, columns=("W",) * 128, values=((0.0,) * 128,) * 20)
    ),
    "fields of four heads": lambda: attention(9, 4, tokens=True, masked=-math.inf),
    "fields of one head": lambda: attention(14, 1, tokens=True),
    "fields of one long head": lambda: attention(128, 1),
    "fields of 32 heads": lambda: attention(24, 32),
    "fields of 7 heads of many tokens": lambda: attention(40, 7, tokens=True),
    "fields of a residual stream": lambda: residual(7, 256, WORDS),
    "fields of a long residual stream": lambda: residual(128, 128),
    "fields of a strip": lambda: fields([ODD], Axis("", (0,)), Axis("dim", range(4)), title="a:out"),
    "bars": lambda: bars(BARS, title="Ablation", unit="drop in trigger rate", note="Whiskers: 95 % intervals."),
    "ladder": lambda: level_ladder("V1", "V3"),
    "ladder settled": lambda: level_ladder("V4", "V4"),
    "circuit": lambda: circuit(NODES, EDGES, title="The path", unit="nats", tokens={26: "-77", 31: "\n"}, note="nats"),
    "circuit of one node": lambda: circuit(NODES[:1], (), title="Alone"),
    "spans": lambda: spans(ROWS, title="Where it is active", says="the token ' cat'", notes=("Held out.",), floor=0.2),
    "spans of one token": lambda: spans((Row(("\n",), (0.0,), 0),), title="One"),
    "sparkline": lambda: sparkline((0.1, 0.3, 0.2, 0.9), threshold=0.5, label="match"),
    "sparkline of one": lambda: sparkline((0.5,)),
}
