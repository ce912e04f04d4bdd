"""A page read back as a tree: what elements it has, and what it says."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator

SVG = "{http://www.w3.org/2000/svg}"


def parsed(html: str) -> ET.Element:
    """Our pages are well-formed XML, which says more than a lenient HTML parser would."""
    start = "<!doctype html>\n"
    assert html.startswith(start)
    return ET.fromstring(html.removeprefix(start))


def names(root: ET.Element) -> Counter[str]:
    return Counter(each.tag.removeprefix(SVG) for each in root.iter())


BLOCKS = {
    "p",
    "div",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "dt",
    "dd",
    "td",
    "th",
    "caption",
    "section",
    "article",
    "br",
    "pre",
}


def text(root: ET.Element) -> str:
    """What a browser's `innerText` would give, on one line."""
    return " ".join("".join(_pieces(root)).split())


def _pieces(root: ET.Element) -> Iterator[str]:
    edge = " " if root.tag in BLOCKS else ""
    yield edge
    yield root.text or ""
    for each in root:
        yield from _pieces(each)
        yield each.tail or ""
    yield edge


def part(root: ET.Element, anchor: str) -> ET.Element:
    return next(each for each in root.iter() if each.get("id") == anchor)


def rows(root: ET.Element, caption: str) -> list[list[str]]:
    """The body of the table with that caption."""
    table = next(t for t in root.iter("table") if text(t.find("caption")) == caption)  # type: ignore[arg-type]
    return [[text(cell) for cell in row] for row in table.find("tbody") or []]
