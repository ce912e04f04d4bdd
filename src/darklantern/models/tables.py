"""A table for a notebook: HTML that brings its own looks and takes text of others as text."""

from collections.abc import Sequence

from darklantern.drawing.markup import element

_CELL = "text-align:left;white-space:nowrap;padding:1px 14px 1px 0;border:0"
_MONO = "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;border-collapse:collapse"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], tips: Sequence[str] = ()) -> str:
    """`rows` under `head`; a row shows its tip, if there are any, while the pointer is over it.

    A cell is text of anybody's, or markup that `drawing.markup` made.
    """
    first = element("tr", *(element("th", each, style=_CELL) for each in head))
    body = [
        element("tr", *(element("td", each, style=_CELL) for each in row), title=tip)
        for row, tip in zip(rows, [*tips, *[None] * (len(rows) - len(tips))], strict=True)
    ]
    return str(element("table", element("thead", first), element("tbody", *body), style=_MONO))
