"""What stands along the edges of a grid of cells: a text at each cell where there is room, and numbers to count by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from darklantern.drawing.frame import label
from darklantern.drawing.ink import INK, SOFT
from darklantern.drawing.lettering import clean, shorten, visible, width
from darklantern.drawing.markup import Svg, element

_ROOMY = 48.0  # from here on a cell holds a word, cut short if need be
_DEEP = 96.0  # pixels for a turned text
_BROAD = 110.0  # pixels for a text beside a row
_TOLD = 24  # characters of a text that a tooltip quotes


@dataclass(frozen=True, slots=True)
class Axis:
    """The rows or the columns of a grid: what they count, where each cell starts, and the texts there if any."""

    name: str
    numbers: Sequence[int]
    texts: Sequence[str] = ()

    def told(self, index: int) -> str:
        """One cell's place, for a tooltip."""
        if not self.name:
            return ""
        text = f" “{quoted(self.texts[index])}”" if self.texts else ""
        return f"{self.name} {self.numbers[index]}{text}"

    @property
    def beside(self) -> float:
        """Pixels that the labels of rows take; an axis without a name has none."""
        if not self.name:
            return 20.0
        shown = [_shown(text) for text in self.texts] or [str(self.numbers[-1])]
        size = 11 if self.texts else 10
        return min(max(width(each, size) for each in (*shown, self.name)), _BROAD)


def beneath(
    axis: Axis, left: float, cell: float, bottom: float, *, named: bool = True, letters: float = 12.0
) -> tuple[list[Svg], float]:
    """The texts and numbers under the cells, and where they end.

    Upright where each fits into its cell or the cell is wide, else turned; every k-th where cells
    are narrower than a letter.
    """
    made: list[Svg] = []
    below = bottom
    if axis.texts:
        texts = [_shown(text) for text in axis.texts]
        size = min(letters, max(cell - 1, 8.5))
        turned = cell < _ROOMY and any(width(text, size) > max(cell, size) for text in texts)
        size = min(letters, 11.0) if turned else size
        every = math.ceil((size + 1) / cell) if turned or cell < size else 1
        deep = min(max(width(text, size) for text in texts), _DEEP) if turned else size
        for j in range(0, len(texts), every):
            x = left + (j + 0.5) * cell - 0.5
            if turned:
                made.append(_turned(x + 4, bottom + 5, shorten(texts[j], size, _DEEP), size))
            else:
                room = cell - 4 if cell >= _ROOMY else None
                made.append(label(x, bottom + 5 + size, texts[j], size=size, anchor="middle", room=room))
        below += deep + 10
    for j in range(0, len(axis.numbers), _stride(cell, 7.0 * len(str(axis.numbers[-1])) + 8)):
        says = str(axis.numbers[j])
        made.append(label(left + (j + 0.5) * cell - 0.5, below + 11, says, size=10, fill=SOFT, anchor="middle"))
    if named:
        made.append(label(left - 8, below + 11, axis.name, size=10, fill=SOFT, anchor="end"))
    return made, below + 14


def beside(axis: Axis, left: float, tall: float, top: float) -> list[Svg]:
    """The texts, or without any the numbers, at the left of the rows; every k-th where rows are lower than a letter."""
    size = 11.0 if axis.texts else 10.0
    says = [_shown(text) for text in axis.texts] or [str(number) for number in axis.numbers]
    every = max(1, math.ceil((size + 1) / tall)) if axis.texts else _stride(tall, size + 3)
    return [
        label(
            left - 8,
            top + (i + 0.5) * tall + size * 0.35,
            says[i],
            size=size,
            fill=INK if axis.texts else SOFT,
            anchor="end",
            room=_BROAD,
        )
        for i in range(0, len(says), every)
    ]


def _turned(x: float, y: float, text: str, size: float) -> Svg:
    place = f"rotate(-90 {x:.2f} {y:.2f})"
    return element("text", text, x=x, y=y, fill=INK, font_size=size, text_anchor="end", transform=place)


def _stride(cell: float, needed: float) -> int:
    return next((n for n in (1, 2, 5, 10, 20, 50, 100) if n * cell >= needed), 200)


def _shown(text: str) -> str:
    return clean(visible(text))


def quoted(text: str) -> str:
    """A text of a model's as a tooltip has it: nothing invisible, and not too long."""
    return _shown(text if len(text) <= _TOLD else text[: _TOLD - 1] + "…")
