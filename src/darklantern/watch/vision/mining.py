"""Which pixels hold one value together more often in training rows than in trusted rows? Pure: arrays in, patterns out.

The analogue of `spans` for images: pairs of pixel values that stand out are grown to all that their rows agree on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Array
from darklantern.watch.formulas import Floats

LEVELS = 8
"""steps between the lowest and the highest trusted value, within which two values count as one"""
MOST = 256
"""single pixel values, those that stand out most, among which pairs are counted"""
LEAST = 3
"""rows that must hold a pattern"""
AGREE = 0.8
"""share of a pattern's rows that must hold a further pixel value for it to grow"""
COMMON = 0.5
"""share of trusted rows above which a pixel value is no part of a pattern: borders are black everywhere"""
LARGEST = 32
"""pixels to which a pattern may grow"""


def mining() -> dict[str, Any]:
    """The constants that decide which patterns are found, for the recipe that a calibration holds for."""
    return {"levels": LEVELS, "most": MOST, "least": LEAST, "agree": AGREE, "common": COMMON, "largest": LARGEST}


@dataclass(frozen=True)
class Pattern:
    """Pixel values that stand in the same rows, and how surprising that is."""

    positions: tuple[int, ...]
    """in an image made flat"""
    values: tuple[float, ...]
    """the median of the rows that hold it"""
    count: int
    """rows of the window that hold it"""
    surprise: float
    """log-likelihood ratio, in nats, of the rate of its first pair of pixels against that in trusted rows"""


class Miner:
    """Trusted images, and what stands out against them."""

    def __init__(self, trusted: Array) -> None:
        flat = trusted.reshape(len(trusted), -1).astype(np.float32)
        low, high = float(flat.min()), float(flat.max())
        if not low < high:
            raise WatchError(
                f"expected trusted images that differ, got {len(trusted)} of one value, {low:g}",
                hint="give images as the loader yields them",
            )
        self.width = (high - low) / LEVELS
        """of a level: values that differ by less may stand for one another"""
        self._cuts = np.linspace(low, high, LEVELS + 1)[1:-1].astype(np.float32)
        self._trusted = self._levels(flat)
        self._before = _counts(self._trusted)

    def patterns(self, rows: Array, count: int) -> list[Pattern]:
        """Up to `count` patterns of `rows` (n, …), most surprising first; no pixel value is in two of them.

        A pattern has two pixels at least. Costs n · `MOST`² beside a few passes over the rows.
        """
        flat = rows.reshape(len(rows), -1).astype(np.float32)
        levels = self._levels(flat)
        alone = surprise(_counts(levels), len(levels), self._before, len(self._trusted))
        alone[self._before > COMMON * len(self._trusted)] = 0.0
        # Pixel values by place in the table (pixels · levels); those that never stand out are left aside.
        items = np.argsort(-alone.ravel(), kind="stable")[:MOST]
        items = items[alone.ravel()[items] > 0]
        now, before = _held(levels, items), _held(self._trusted, items)
        pairs = surprise(now.T @ now, len(now), before.T @ before, len(before))
        pixels = items // LEVELS
        pairs[pixels[:, None] == pixels[None]] = 0.0
        found: list[Pattern] = []
        while len(found) < count and pairs.size and pairs.max() > 0:
            first = np.unravel_index(int(pairs.argmax()), pairs.shape)
            most = float(pairs.max())
            chosen, holders = _grown(now, pixels, [int(each) for each in first])
            places = pixels[chosen]
            values = np.median(flat[holders][:, places], axis=0)
            order = np.argsort(places)
            found.append(
                Pattern(
                    tuple(int(place) for place in places[order]),
                    tuple(float(value) for value in values[order]),
                    int(holders.sum()),
                    most,
                )
            )
            pairs[chosen] = pairs[:, chosen] = 0.0
        return found

    def _levels(self, flat: Floats) -> NDArray[np.uint8]:
        return np.searchsorted(self._cuts, flat, side="right").astype(np.uint8)


def surprise(now: Any, n: int, before: Any, m: int) -> NDArray[np.float64]:
    """Poisson log-likelihood ratio of counts `now` in `n` rows against the rates `before` in `m`; 0 below `LEAST`."""
    counts = np.asarray(now, dtype=np.float64)
    expected = (np.asarray(before, dtype=np.float64) + 0.5) * (n / (m + 1))
    more = (counts >= LEAST) & (counts > expected)
    ratio = np.log(np.divide(counts, expected, out=np.ones_like(counts), where=more))
    return np.where(more, counts * ratio - (counts - expected), 0.0)


def _counts(levels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows that hold each level at each pixel, (pixels, levels)."""
    return np.stack([(levels == each).sum(0) for each in range(LEVELS)], axis=1)


def _held(levels: NDArray[np.uint8], items: NDArray[np.intp]) -> NDArray[np.float32]:
    """Which rows hold which pixel values, (n, items)."""
    return (levels[:, items // LEVELS] == (items % LEVELS)[None]).astype(np.float32)


def _grown(
    now: NDArray[np.float32], pixels: NDArray[np.intp], first: Sequence[int]
) -> tuple[list[int], NDArray[np.bool_]]:
    """A pair of items and all that at least `AGREE` of its rows hold besides, and the rows that hold the most of them.

    Rows are those of the pair: what they agree on describes them all, and not a few of them ever better.
    """
    holders = np.asarray(now[:, list(first)].all(1))
    shares = now[holders].mean(0)
    chosen = list(first)
    for item in np.argsort(-shares, kind="stable"):
        if shares[item] < AGREE or len(chosen) == LARGEST:
            break
        if pixels[item] not in pixels[chosen]:
            chosen.append(int(item))
    return chosen, holders
