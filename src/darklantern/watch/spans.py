"""Which byte spans are frequent in the rows being trained on and rare in trusted rows?

Rows are counted by hashed six-grams, about 4 ms for a thousand rows of 65 bytes; only the few
spans that stand out are then looked up in the rows themselves and grown to their full length.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.rows import Bytes

GRAM = 6
"""bytes"""
_BITS = 17
LONGEST = 40
"""bytes to which a span may grow"""
LEAST = 3
"""rows that must hold a span: two prove nothing, and most buckets hold fewer"""
AGREE = 0.8
"""share of a span's rows that must agree on the next byte for it to grow"""


@dataclass(frozen=True)
class Candidate:
    """A span, the rows of the window that hold it, and how surprising that is."""

    span: bytes
    count: int
    surprise: float
    """log-likelihood ratio, in nats, of its rate in the window against its rate in trusted rows"""


class SpanCounter:
    """The rows trained on at the last `keep` looks, counted against trusted rows."""

    def __init__(self, trusted: Bytes, keep: int) -> None:
        self._trusted = _count(trusted)
        self._trusted_rows = len(trusted)
        self._recent: deque[tuple[Bytes, NDArray[np.int64]]] = deque(maxlen=keep)

    def add(self, rows: Bytes) -> None:
        """Take the rows trained on since the last look, (n, width)."""
        self._recent.append((rows, _count(rows)))

    def forget(self, looks: int) -> None:
        """Drop the rows of the newest `looks` looks."""
        for _ in range(min(looks, len(self._recent))):
            self._recent.pop()

    def candidates(self, count: int, looks: int, least: float = 0.0) -> list[Candidate]:
        """Up to `count` spans with more than `least` surprise in the rows of the newest `looks` looks.

        Each is grown as far as `AGREE` of its rows do; none contains another.
        """
        recent = list(self._recent)[-looks:]
        if not recent:
            return []
        rows = np.concatenate([rows for rows, _ in recent])
        now = np.sum([counts for _, counts in recent], axis=0)
        surprise = _surprise(now, len(rows), self._trusted, self._trusted_rows)
        texts = [row.tobytes() for row in rows]
        buckets = _buckets(rows)
        found: list[Candidate] = []
        for _ in range(8 * count):  # a hash may collide with a frequent span, so a few tries yield none
            bucket = int(surprise.argmax())
            if len(found) == count or surprise[bucket] <= least:
                break
            span, held = _grow(_commonest(texts, buckets, bucket), texts)
            if not any(span in c.span or c.span in span for c in found):
                found.append(Candidate(span, held, float(surprise[bucket])))
            surprise[bucket] = 0.0
            surprise[_buckets(np.frombuffer(span, dtype=np.uint8)[None])] = 0.0
        return found


def counting() -> dict[str, Any]:
    """The constants that decide which spans are found, for the recipe that a calibration holds for."""
    return {"gram": GRAM, "bits": _BITS, "longest": LONGEST, "least": LEAST, "agree": AGREE}


def _buckets(rows: Bytes) -> NDArray[np.uint32]:
    """Hash of the six-gram at each position, (n, width − 5): a polynomial in wrapping uint32."""
    width = rows.shape[1] - GRAM + 1
    total = np.zeros((len(rows), width), dtype=np.uint32)
    for k in range(GRAM):
        total *= np.uint32(0x01000193)
        total ^= rows[:, k : k + width]
    total *= np.uint32(0x9E3779B1)
    return total >> np.uint32(32 - _BITS)


def _count(rows: Bytes) -> NDArray[np.int64]:
    """Rows that hold each hashed six-gram."""
    ordered = np.sort(_buckets(rows), axis=1)
    fresh = np.ones(ordered.shape, dtype=bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return np.bincount(ordered[fresh], minlength=1 << _BITS)


def _surprise(now: NDArray[np.int64], n: int, before: NDArray[np.int64], m: int) -> NDArray[np.float64]:
    """Poisson log-likelihood ratio of a count of `now` in `n` rows against the rate `before` in `m`."""
    surprise = np.zeros(len(now))
    often = np.flatnonzero(now >= LEAST)
    count = now[often]
    expected = (before[often] + 0.5) * (n / (m + 1))
    surprise[often] = np.where(count > expected, count * np.log(count / expected) - (count - expected), 0.0)
    return surprise


def _commonest(texts: list[bytes], buckets: NDArray[np.uint32], bucket: int) -> bytes:
    grams: dict[bytes, int] = {}
    width = buckets.shape[1]
    for at in np.flatnonzero(buckets.ravel() == bucket):
        row, column = divmod(int(at), width)
        gram = texts[row][column : column + GRAM]
        grams[gram] = grams.get(gram, 0) + 1
    return max(sorted(grams), key=lambda gram: grams[gram])


def _grow(span: bytes, texts: list[bytes]) -> tuple[bytes, int]:
    """Extend `span` by the byte that at least `AGREE` of its first holders agree on, as often as one does."""
    holders = [text for text in texts if span in text]
    least = AGREE * len(holders)
    while len(span) < LONGEST:
        options: dict[bytes, int] = {}
        for text in holders:
            at = text.find(span)
            if at > 0:
                left = text[at - 1 : at + len(span)]
                options[left] = options.get(left, 0) + 1
            right = text[at : at + len(span) + 1]
            if len(right) > len(span):
                options[right] = options.get(right, 0) + 1
        best = max(sorted(options), key=lambda option: options[option], default=span)
        if best == span or options[best] < least:
            break
        span = best
        holders = [text for text in holders if span in text]
    return span, len(holders)
