"""Spans: a token with those around it; the highest, and some of every level of activation, kept as data pass."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.labels.levels import FINE, level
from darklantern.methods.labels.reading import Words

BEFORE, AFTER = 12, 6
"""tokens of a span on either side of its own"""
TOP = 20
"""highest spans that are kept"""
SPREAD = 48
"""spans that are kept of each half octave, each token there as likely as another"""
_OCTAVES = 12
"""half octaves that are told apart; all below share one"""


@dataclass(frozen=True, eq=False)
class Span:
    """A token and those around it."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    """one for each token"""
    peak: int
    """which of the tokens it was taken for"""
    codes: NDArray[np.int64] = field(repr=False)
    """what stands around each token, (view, token): what rules are applied to"""
    example: int = 0
    """which example of the data it is from"""

    @property
    def activation(self) -> float:
        """At its own token."""
        return self.activations[self.peak]

    def cut(self, before: int, after: int) -> "Span":
        """At most so many tokens on either side of its own."""
        first, last = max(self.peak - before, 0), self.peak + after + 1
        tokens, activations = self.tokens[first:last], self.activations[first:last]
        return Span(tokens, activations, self.peak - first, self.codes[:, first:last], self.example)

    def reach(self, threshold: float) -> tuple[int, int]:
        """How many tokens on either side of its own go by before one reaches `threshold`."""
        there = np.array(self.activations) >= threshold
        left, right = there[: self.peak][::-1], there[self.peak + 1 :]
        return tuple(int(np.argmax(each)) if each.any() else len(each) for each in (left, right))  # type: ignore[return-value]

    def mixed(self, threshold: float) -> bool:
        """Whether some of its tokens reach `threshold` and some do not."""
        return min(self.activations) < threshold <= max(self.activations)

    @property
    def text(self) -> str:
        return "".join(self.tokens)


@dataclass(frozen=True, eq=False)
class Page:
    """One batch with a feature's activations, from which spans are cut."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    activations: NDArray[np.float64]
    codes: NDArray[np.int64]
    words: Words
    first: int
    """the number of its first example"""

    def span(self, example: int, pos: int) -> Span:
        start, end = max(pos - BEFORE, 0), min(pos + AFTER + 1, int(self.lengths[example]))
        ids = self.ids[example, start:end]
        codes = self.codes[:, example, start:end].copy()
        tokens = tuple(self.words[int(number)] for number in ids)
        held = tuple(self.activations[example, start:end].tolist())
        return Span(tokens, held, pos - start, codes, self.first + example)


class Kept:
    """Spans of a stream: the highest, one an example, and `SPREAD` of each half octave drawn at random."""

    def __init__(self) -> None:
        self.top: list[tuple[float, Span]] = []
        self._spread: dict[int, list[tuple[float, Span]]] = {}

    def add(self, page: Page, chosen: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """The spans of a batch, of the places `chosen`, that are to be kept."""
        if not chosen.any():
            return
        held = np.where(chosen, page.activations, -np.inf)
        peaks = held.argmax(1)
        least = self.top[-1][0] if len(self.top) == TOP else -np.inf
        found = [
            (float(held[row, pos]), page.span(row, int(pos))) for row, pos in enumerate(peaks) if held[row, pos] > least
        ]
        self.top = sorted([*self.top, *found], key=lambda each: -each[0])[:TOP]
        self._draw(page, chosen, rng)

    def _draw(self, page: Page, chosen: NDArray[np.bool_], rng: np.random.Generator) -> None:
        # Each place draws a lot, and the lowest lots of a level stay: a uniform sample, however data are cut or joined.
        rows, places = np.nonzero(chosen)
        lots, levels = rng.random(len(rows)), level(page.activations[rows, places]) // (FINE // 2)
        lowest = max(int(levels.max()), max(self._spread, default=0)) - _OCTAVES
        below = [each for key in sorted(self._spread) if key <= lowest for each in self._spread.pop(key)]
        if below:
            self._spread[lowest] = sorted(below, key=_lot)[:SPREAD]
        levels = np.maximum(levels, lowest)
        for each in np.unique(levels):
            held = self._spread.get(int(each), [])
            most = held[-1][0] if len(held) == SPREAD else np.inf
            there = np.flatnonzero((levels == each) & (lots < most))
            there = there[np.argsort(lots[there])[:SPREAD]]
            new = [(float(lots[i]), page.span(int(rows[i]), int(places[i]))) for i in there]
            self._spread[int(each)] = sorted([*held, *new], key=_lot)[:SPREAD]

    def drawn(self) -> Iterator[Span]:
        """Those of every half octave, lowest first."""
        for each in sorted(self._spread):
            yield from (span for _, span in self._spread[each])


def _lot(drawn: tuple[float, Span]) -> float:
    return drawn[0]
