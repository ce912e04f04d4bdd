"""Events above a run's picture: flags on poles, and the arrow of a rollback."""

from collections.abc import Sequence
from dataclasses import dataclass

from darklantern.drawing.frame import EDGE, HEADED, WIDE, line
from darklantern.drawing.ink import ALARM, AXIS, INK, SOFT
from darklantern.drawing.lettering import clean, shorten, width
from darklantern.drawing.markup import Svg, element
from darklantern.drawing.placing import stagger
from darklantern.drawing.scales import Scale, whole
from darklantern.records.findings import Event

_ROW = 17.0


@dataclass(frozen=True, slots=True)
class Flag:
    """An event and where its label stands: `x` of the pole, baseline `y`, what is written."""

    event: Event
    x: float
    y: float
    text: str

    @property
    def is_alarm(self) -> bool:
        return "alarm" in self.event.label.lower()


def flags_of(events: Sequence[Event], across: Scale) -> list[Flag]:
    """Where each event's label goes: a row above every label that its pole would otherwise cross."""
    starts = [across(event.step) for event in events]
    texts = [_flag_text(event, WIDE - EDGE - x - 5) for event, x in zip(events, starts, strict=True)]
    rows = stagger(starts, [width(text, 12, bold=True) for text in texts])
    tallest = max(rows, default=0)
    ys = [HEADED + 12 + (tallest - row) * _ROW for row in rows]
    return [Flag(event, x, y, text) for event, x, y, text in zip(events, starts, ys, texts, strict=True)]


def _flag_text(event: Event, room: float) -> str:
    return shorten(clean(f"{whole(event.step)} {event.label}"), 12, min(room, 300.0), bold=True)


def poles(flags: Sequence[Flag], bottom: float) -> list[Svg]:
    """Poles of alarms last, so that they show where another event has the same step."""
    ordered = sorted(flags, key=lambda flag: flag.is_alarm)
    return [line(each.x, each.y - 9, each.x, bottom, ALARM if each.is_alarm else AXIS) for each in ordered]


def labels(flags: Sequence[Flag]) -> list[Svg]:
    made = []
    for each in flags:
        step, _, name = each.text.partition(" ")
        made.append(
            element(
                "text",
                element("tspan", f"{step} ", fill=SOFT, font_weight="400"),
                element("tspan", name),
                element("title", f"step {whole(each.event.step)}: {each.event.label}. {each.event.text}"),
                class_="dl-event",
                x=each.x + 5,
                y=each.y,
                fill=ALARM if each.is_alarm else INK,
                font_weight="600",
            )
        )
    return made


def rollbacks(pairs: Sequence[tuple[int, int]], across: Scale, y: float) -> list[Svg]:
    """A small arrow back in time for each pair of steps (left at, started again at)."""
    made = []
    for left, again in pairs:
        x1, x2 = across(left), across(again)
        head = f"M{x2 + 6:.2f} {y - 3.5:.2f}L{x2 + 1:.2f} {y:.2f}L{x2 + 6:.2f} {y + 3.5:.2f}"
        made.append(
            element(
                "g",
                element("title", f"rolled back from step {whole(left)} to {whole(again)}"),
                line(x1, y, x2 + 1, y, INK, 1.5),
                element("path", d=head, fill="none", stroke=INK, stroke_width=1.5),
                class_="dl-rollback",
            )
        )
    return made
