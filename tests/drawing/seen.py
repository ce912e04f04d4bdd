"""A picture read back the way an eye would: its texts, where each stands, and what lies under it."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from darklantern.drawing import Svg
from darklantern.drawing.lettering import width
from darklantern.drawing.placing import Box

SPACE = "{http://www.w3.org/2000/svg}"
KNOWN = {"svg", "title", "desc", "g", "rect", "line", "path", "circle", "text", "tspan"}


@dataclass(frozen=True)
class Written:
    text: str
    ink: str
    paper: str
    box: Box


def parsed(picture: Svg) -> ET.Element:
    assert "<!" not in picture and "<?" not in picture
    return ET.fromstring(picture)


def names(root: ET.Element) -> list[str]:
    return [element.tag.removeprefix(SPACE) for element in root.iter()]


def written(root: ET.Element) -> list[Written]:
    """Every text with its colour, the colour under it and an upper estimate of its box."""
    papers: list[tuple[Box, str]] = []
    found: list[Written] = []
    for element in root.iter():
        if element.tag == SPACE + "rect" and element.get("fill") != "none":
            place = Box(*(float(element.get(key, "0")) for key in ("x", "y", "width", "height")))
            papers.append((place, element.get("fill", "")))
        if element.tag == SPACE + "text":
            found.extend(_runs(element, papers))
    return found


def overlaps(texts: list[Written]) -> list[tuple[str, str]]:
    return [(one.text, two.text) for one, two in combinations(texts, 2) if one.box.touches(two.box)]


def outside(root: ET.Element, texts: list[Written]) -> list[str]:
    wide, tall = (float(root.get(key, "0")) for key in ("width", "height"))
    return [
        each.text
        for each in texts
        if each.box.x < 0 or each.box.y < 0 or each.box.x + each.box.wide > wide or each.box.y + each.box.tall > tall
    ]


def _runs(element: ET.Element, papers: list[tuple[Box, str]]) -> Iterator[Written]:
    """A text is one run; with tspans, one box for all and one entry for each colour."""
    size = float(element.get("font-size", "12"))
    bold = element.get("font-weight") is not None
    runs = [(element.text or "", element.get("fill", ""), bold)]
    wide = width(runs[0][0], size, bold=bold)
    for part in element.iter(SPACE + "tspan"):
        strong = part.get("font-weight", element.get("font-weight", "400")) != "400"
        runs.append((part.text or "", part.get("fill", element.get("fill", "")), strong))
        small = float(part.get("font-size", size))
        wide += float(part.get("dx", "0")) + width(part.text or "", small, bold=strong)
    x, y = float(element.get("x", "nan")), float(element.get("y", "nan"))
    assert math.isfinite(x) and math.isfinite(y)
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor", "start")]
    box = Box(x - shift * wide, y - 0.75 * size, wide, 0.98 * size)
    if element.get("transform"):  # turned by -90 degrees: what ran left now runs down
        box = Box(x - 0.75 * size, y - (1 - shift) * wide, 0.98 * size, wide)
    middle = Box(x, y - 0.3 * size, 0.01, 0.01)
    under = [fill for place, fill in papers if place.touches(middle)]
    ink = {fill for text, fill, _ in runs if text}
    for fill in sorted(ink):
        joined = "".join(text for text, _, _ in runs)
        yield Written(joined, fill, under[-1], box if fill == sorted(ink)[0] else Box(-1e9, -1e9, 0, 0))
