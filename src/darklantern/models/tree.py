"""A model as a tree of its parts, for a terminal and for a notebook: what they are, hold, take and give."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from darklantern.drawing.lettering import clean
from darklantern.drawing.markup import Svg, element, together
from darklantern.drawing.scales import number
from darklantern.models.tables import table

WIDE = 120
"""characters to a line"""
_EVERYWHERE = ("in", "out")
_HEAD = ("part", "class", "weights", "in → out", "other ports")
Shape = tuple[tuple[str, int], ...]
"""axes and their sizes"""


@dataclass(frozen=True)
class Seen:
    """What one call of a part took and gave: a shape, or a word for what has none."""

    taken: Shape | str
    given: Shape | str

    def __str__(self) -> str:
        before, after = self.taken, self.given
        if isinstance(before, str) or isinstance(after, str):
            return f"{_written(before)} → {_written(after)}"
        if before == after:
            return f"{_written(before)} → same"
        if [axis for axis, _ in before] == [axis for axis, _ in after]:
            # Of axes in common only those that change: the others are told at the left already.
            after = tuple(pair for pair, old in zip(after, before, strict=True) if pair != old)
        elif after[: len(before)] == before:
            return f"{_written(before)} → … {_written(after[len(before) :])}"
        return f"{_written(before)} → {_written(after)}"


@dataclass(frozen=True)
class Part:
    """One part of a model and what is below it."""

    path: str
    """canonical"""
    native: str
    kind: str
    """the class's name"""
    parameters: int
    ports: tuple[str, ...]
    children: tuple["Part", ...] = ()
    calls: tuple[Seen, ...] | None = None
    """what one run saw of it; None where nothing was run"""
    note: str = ""
    """what else there is to know: weights that it shares, say"""
    ran: str = ""
    """for parts folded into one: how they ran, where that differs"""

    @cached_property
    def pattern(self) -> tuple[object, ...]:
        """What repeated parts have in common: all but their paths and what a run saw."""
        below = tuple((each.path.removeprefix(self.path), each.pattern) for each in self.children)
        return self.kind, self.parameters, self.ports, self.note, below


@dataclass(frozen=True)
class Row:
    """One line of the tree."""

    stem: str
    """the lines that lead to it"""
    cells: tuple[str, ...]
    native: str


class Tree:
    """Prints as a tree; a notebook shows a table. `root` holds the parts themselves, `parts()` goes through them."""

    def __init__(self, root: Part, fold: bool = True) -> None:
        self.root, self.fold = root, fold

    def parts(self) -> Iterator[Part]:
        """All parts, each before those below it; repeated ones too, folded or not."""
        return _all(self.root)

    def rows(self) -> list[Row]:
        """The lines, in order; of repeated parts, one line that counts them and the parts of the first."""
        top = Row("", ("the model", *_cells(self.root, 1)), self.root.native)
        return [top, *_below(self.root, "", self.fold)]

    def __repr__(self) -> str:
        rows = self.rows()
        lines = [("", self._head), *((_hanging(row.stem), self._kept(row, row.stem + row.cells[0])) for row in rows)]
        widths = _widths([cells for _, cells in lines])
        return "\n".join(text for stem, cells in lines for text in _lines(stem, cells, widths))

    def _repr_html_(self) -> str:
        rows = self.rows()
        stems = [Svg(row.stem.replace(" ", "&#160;")) for row in rows]
        names = [together(stem, element("span", row.cells[0])) for stem, row in zip(stems, rows, strict=True)]
        cells = [self._kept(row, name) for row, name in zip(rows, names, strict=True)]
        return table(self._head, cells, [row.native for row in rows])

    @property
    def _head(self) -> tuple[str, ...]:
        return _HEAD if self.root.calls is not None else (*_HEAD[:3], _HEAD[4])

    def _kept(self, row: Row, name: str) -> tuple[str, ...]:
        """A line's cells; without shapes where nothing was run."""
        _, kind, weights, shapes, ports = row.cells
        return (name, kind, weights, shapes, ports) if self.root.calls is not None else (name, kind, weights, ports)


def _below(part: Part, stem: str, fold: bool) -> Iterator[Row]:
    groups = _groups(part.children) if fold else [(each,) for each in part.children]
    for place, group in enumerate(groups):
        last = place == len(groups) - 1
        first = group[0] if len(group) == 1 else _merged(group)
        names = [each.path.removeprefix(f"{part.path}.") for each in group]
        name = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        yield Row(stem + ("└─ " if last else "├─ "), (clean(name), *_cells(first, len(group))), clean(first.native))
        yield from _below(first, stem + ("   " if last else "│  "), fold)


def _groups(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Neighbours that are alike, as one."""
    groups: list[tuple[Part, ...]] = []
    for part in parts:
        before = groups[-1][-1] if groups else None
        stem, _, last = part.path.rpartition(".")
        numbered = last.isdigit() and before is not None and before.path.rpartition(".")[0] == stem
        if numbered and before is not None and before.pattern == part.pattern:
            groups[-1] = (*groups[-1], part)
        else:
            groups.append((part,))
    return groups


def _merged(group: Sequence[Part]) -> Part:
    """Alike parts as one, with the shapes in which all of them agree."""
    below = tuple(_merged(alike) for alike in zip(*(each.children for each in group), strict=True))
    if len({each.calls for each in group}) == 1:
        return replace(group[0], children=below)
    count = sum(bool(each.calls) for each in group)
    ran = f"{count} of {len(group)} ran" if count < len(group) else "shapes differ from part to part"
    return replace(group[0], children=below, ran=ran)


def _cells(part: Part, count: int) -> tuple[str, str, str, str]:
    kind, ports = clean(part.kind), [port for port in part.ports if port not in _EVERYWHERE]
    return (
        kind if count == 1 else f"{count} × {kind}",
        number(part.parameters) + (" each" if count > 1 else "") if part.parameters else "",
        part.ran or _ran(part.calls),
        clean(" ".join([*ports, *([f"({part.note})"] if part.note else [])])),
    )


def _ran(calls: tuple[Seen, ...] | None) -> str:
    if not calls:
        return "" if calls is None else "did not run"
    often = f" ({len(calls)} calls{'' if len(set(calls)) == 1 else ', other shapes later'})" if len(calls) > 1 else ""
    return f"{calls[0]}{often}"


def _written(shape: Shape | str) -> str:
    if isinstance(shape, str):
        return clean(shape)
    return " ".join(f"{axis}={size}" for axis, size in shape) or "scalar"


def _all(part: Part) -> Iterator[Part]:
    yield part
    for child in part.children:
        yield from _all(child)


def _hanging(stem: str) -> str:
    """The stem's lines as they go on under its part."""
    return stem.replace("├─ ", "│  ").replace("└─ ", "   ")


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """Characters for each column: names in full if they are not endless, ports a third of what shapes leave."""
    needed = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths = [min(needed[0], 36), min(needed[1], 30), needed[2]]
    room = WIDE - sum(widths) - 2 * (len(needed) - 1)
    if len(needed) == 5:
        widths.append(min(needed[3], room - min(needed[4], room // 3)))
        room -= widths[3]
    return [*widths, room]


def _lines(stem: str, cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """One row as lines of text: names cut to their width, the rest wrapped, under the stem that goes on."""
    cut = [cell if len(cell) <= wide else cell[: wide - 1] + "…" for cell, wide in zip(cells[:3], widths, strict=False)]
    wrapped = [textwrap.wrap(cell, wide) for cell, wide in zip(cells[3:], widths[3:], strict=True)]
    for place in range(max(1, *map(len, wrapped))):
        rest = [texts[place] if place < len(texts) else "" for texts in wrapped]
        start = cut if place == 0 else [stem, "", ""]
        line = "  ".join(cell.ljust(wide) for cell, wide in zip([*start, *rest], widths, strict=True))
        yield line.rstrip()
