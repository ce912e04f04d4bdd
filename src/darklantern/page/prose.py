"""Peers' text as paragraphs: never markup, never links; long ones folded, endless ones cut, and said so."""

from darklantern.page.markup import Html, tag, together

FOLD = 4_000
"""Characters shown before the rest is folded away."""
MOST = 100_000
"""Characters shown at all: a page is for reading, the record keeps everything."""


def prose(text: str, *, class_: str = "prose") -> Html:
    """`text` with its paragraphs, line breaks and indentation."""
    head, rest = _split(text[:MOST], FOLD)
    parts = _paragraphs(head)
    if rest:
        folded = [tag("summary", f"Read on ({len(rest):,} more characters)"), *_paragraphs(rest)]
        parts.append(tag("details", *folded, class_="fold"))
    if len(text) > MOST:
        parts.append(tag("p", f"Cut here: {len(text) - MOST:,} more characters are in the record.", class_="note"))
    return tag("div", *(parts or [tag("p", "No text.", class_="note")]), class_=class_, dir="auto")


def bdi(text: str) -> Html:
    """One line of a peer's text that cannot reorder what stands around it."""
    return tag("bdi", text.strip() or "no name")


def _split(text: str, at: int) -> tuple[str, str]:
    """Cut at a white space near `at`, if there is one; a little too much is not worth a fold."""
    if len(text) <= at * 1.25:
        return text, ""
    near = max(text.rfind(" ", at - 200, at), text.rfind("\n", at - 200, at))
    cut = near if near > 0 else at
    return text[:cut], text[cut:]


def _paragraphs(text: str) -> list[Html]:
    paragraphs: list[list[Html]] = [[]]
    for line in text.splitlines():
        if line.strip():
            paragraphs[-1].append(_indented(line.expandtabs(4).rstrip()))
        elif paragraphs[-1]:
            paragraphs.append([])
    return [tag("p", _lines(lines), dir="auto") for lines in paragraphs if lines]


def _lines(lines: list[Html]) -> Html:
    first, *others = lines
    return together(first, *(part for line in others for part in (tag("br"), line)))


def _indented(line: str) -> Html:
    """Leading spaces as no-break spaces; others fold into one."""
    body = line.lstrip(" ")
    return together(Html("&#160;" * min(len(line) - len(body), 24)), body)
