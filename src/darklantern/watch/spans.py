"""Which spans of tokens are frequent in the rows being trained on and rare in trusted rows?

Rows are counted by hashed six-grams, about 4 ms for a thousand rows of 65 tokens; only the few
spans that stand out are then looked up in the rows themselves and grown to their full length.

A row of token ids is searched as a string whose code points are the ids, and a span is such a string: byte rows are
their Latin-1 text.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import PADDING, Examples, Tokens

GRAM = 6
"""tokens"""
_BITS = 17
LONGEST = 40
"""tokens to which a span may grow"""
LEAST = 3
"""rows that must hold a span: two prove nothing, and most buckets hold fewer"""
AGREE = 0.8
"""share of a span's rows that must agree on the next token for it to grow"""
_LOOKED_AT = 1000
"""rows that tell whether they are text"""
_NO_TEXT = 0.05
"""share of ids up to which rows may be bytes of text that no text has: control characters but white space, and what is
no byte. A few are separators; a vocabulary of a few dozen characters or states puts much of what it says below 32"""


@dataclass(frozen=True)
class Candidate:
    """A span, the rows of the window that hold it, and how surprising that is."""

    span: str
    """its token ids as code points"""
    count: int
    surprise: float
    """log-likelihood ratio, in nats, of its rate in the window against its rate in trusted rows"""
    as_ids: bool = False
    """whether it is shown as token ids, since trusted rows are no bytes of text"""

    def __str__(self) -> str:
        return spelled(self.span, self.as_ids)

    @property
    def quoted(self) -> str:
        """It within a sentence: text in quotes, ids as such."""
        return repr(str(self)) if is_text(self.span, self.as_ids) else f"ids {self}"


@dataclass(frozen=True)
class _Look:
    """The rows trained on before one look. Each is searched at many looks, so what that takes is made once."""

    rows: Sequence[Tokens]
    """an array for each width"""
    counts: NDArray[np.int32]

    @property
    def tokens(self) -> int:
        return sum(rows.size for rows in self.rows)

    @cached_property
    def texts(self) -> list[list[str]]:
        """of each array, its rows as strings"""
        return [as_texts(rows) for rows in self.rows]

    def grams(self, bucket: int) -> Iterator[str]:
        """The six-grams with that hash, as often as they stand there."""
        for buckets, texts in zip(self._buckets, self.texts, strict=True):
            for row, at in zip(*np.nonzero(buckets == bucket), strict=True):
                yield texts[row][at : at + GRAM]

    @cached_property
    def _buckets(self) -> list[NDArray[np.uint32]]:
        return [_buckets(rows) for rows in self.rows]


class SpanCounter:
    """The rows trained on at the last `keep` looks, counted against trusted rows."""

    def __init__(self, trusted: Tokens, keep: int) -> None:
        self._trusted = _count(trusted)
        self._trusted_rows, self._width = trusted.shape
        self._as_ids = not are_text(trusted)
        self._recent: deque[_Look] = deque(maxlen=keep)

    def add(self, rows: Sequence[Tokens]) -> None:
        """Take the rows trained on since the last look, batch by batch, each (n, width)."""
        stacked = _by_width(rows)  # a count costs some milliseconds for an array, however few rows it has
        counts = np.sum([_count(each) for each in stacked], axis=0) if stacked else np.zeros(1 << _BITS, dtype=np.int64)
        self._recent.append(_Look(stacked, counts.astype(np.int32)))

    @property
    def held(self) -> tuple[Any, ...]:
        """The looks as they are now, to go `back_to`; they share their rows with this counter."""
        return tuple(self._recent)

    def back_to(self, held: tuple[Any, ...]) -> None:
        """Hold the looks that were `held` then, and no later ones."""
        self._recent.clear()
        self._recent.extend(held)

    def candidates(self, count: int, looks: int, least: float = 0.0) -> list[Candidate]:
        """Up to `count` spans with more than `least` surprise in the rows of the newest `looks` looks.

        Each is grown as far as `AGREE` of its rows do; none contains another.
        """
        recent = list(self._recent)[-looks:]
        if not any(look.rows for look in recent):
            return []
        now = np.sum([look.counts for look in recent], axis=0)
        rows = sum(look.tokens for look in recent) / self._width  # of the trusted rows' width
        surprise = _surprise(now, rows, self._trusted, self._trusted_rows)
        texts: list[str] = []
        found: list[Candidate] = []
        for _ in range(8 * count):  # a hash may collide with a frequent span, so a few tries yield none
            bucket = int(surprise.argmax())
            if len(found) == count or surprise[bucket] <= least:
                break
            texts = texts or [text for look in recent for part in look.texts for text in part]
            span, held = _grow(_commonest(recent, bucket), texts)
            if not any(span in c.span or c.span in span for c in found):
                found.append(Candidate(span, held, float(surprise[bucket]), self._as_ids))
            surprise[bucket] = 0.0
            surprise[_buckets(as_tokens(span)[None])] = 0.0
        return found


def counter(trusted: Examples, keep: int) -> SpanCounter | None:
    """A counter for rows like the trusted ones; None where these are no token rows.

    Raises WatchError for trusted rows that are narrower than `GRAM`.
    """
    if not trusted.are_tokens:
        return None
    rows = trusted.tokens
    if not len(rows) or rows.shape[1] < GRAM:
        raise WatchError(
            f"expected trusted rows of at least {GRAM} tokens, got {len(rows)} rows of {rows.shape[1]}",
            hint="give rows of text that you know to be harmless, as wide as the loader's",
        )
    return SpanCounter(rows, keep)


def as_texts(rows: Tokens) -> list[str]:
    """Each row as a string whose code points are its token ids, which are below 0x110000."""
    count, width = rows.shape
    text = rows.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return [text[at : at + width] for at in range(0, count * width, width)]


def as_tokens(span: str) -> NDArray[np.uint32]:
    """The token ids of a span."""
    return np.frombuffer(span.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32)


def are_text(rows: Tokens) -> bool:
    """Whether rows may be bytes of text, padding and a few special tokens aside."""
    some = rows[:_LOOKED_AT].ravel().astype(np.int64)
    some = some[some != PADDING]
    counts = np.bincount(np.minimum(some, 256), minlength=257)
    return bool(counts[1:9].sum() + counts[14:32].sum() + counts[256] <= _NO_TEXT * len(some))


def is_text(span: str, as_ids: bool = False) -> bool:
    """Whether a span is shown as text: of bytes, where nothing says that they are none."""
    return not as_ids and all(ord(token) < 256 for token in span)


def spelled(span: str, as_ids: bool = False) -> str:
    """A span of bytes as text; of other tokens, their ids."""
    if is_text(span, as_ids):
        return span.encode("latin-1").decode(errors="replace")
    return " ".join(str(ord(token)) for token in span)


def counting() -> dict[str, Any]:
    """The constants that decide which spans are found, for the recipe that a calibration holds for."""
    return {"gram": GRAM, "bits": _BITS, "longest": LONGEST, "least": LEAST, "agree": AGREE}


def _buckets(rows: Tokens) -> NDArray[np.uint32]:
    """Hash of the six-gram at each position, (n, width − 5): a polynomial in wrapping uint32.

    One that reaches into padding goes into a bucket of its own, past all others.
    """
    width = max(0, rows.shape[1] - GRAM + 1)
    total = np.zeros((len(rows), width), dtype=np.uint32)
    padded = np.zeros((len(rows), width), dtype=bool)
    may_pad = bool(rows.size) and int(rows.max()) == PADDING
    for k in range(GRAM):
        part = rows[:, k : k + width]
        total *= np.uint32(0x01000193)
        total ^= part.astype(np.uint32)
        if may_pad:
            padded |= part == PADDING
    total *= np.uint32(0x9E3779B1)
    total >>= np.uint32(32 - _BITS)
    total[padded] = 1 << _BITS
    return total


def _count(rows: Tokens) -> NDArray[np.int64]:
    """Rows that hold each hashed six-gram."""
    ordered = np.sort(_buckets(rows), axis=1)
    fresh = np.ones(ordered.shape, dtype=bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return np.bincount(ordered[fresh], minlength=1 << _BITS)[: 1 << _BITS]


def _surprise(now: NDArray[np.int64], n: float, before: NDArray[np.int64], m: int) -> NDArray[np.float64]:
    """Poisson log-likelihood ratio of a count of `now` in `n` rows against the rate `before` in `m`."""
    surprise = np.zeros(len(now))
    often = np.flatnonzero(now >= LEAST)
    count = now[often]
    expected = (before[often] + 0.5) * (n / (m + 1))
    surprise[often] = np.where(count > expected, count * np.log(count / expected) - (count - expected), 0.0)
    return surprise


def _by_width(batches: Sequence[Tokens]) -> list[Tokens]:
    """One array of all batches of a width, in four bytes a token at most."""
    widths: dict[int, list[Tokens]] = {}
    for batch in batches:
        widths.setdefault(batch.shape[1], []).append(batch if batch.itemsize <= 4 else batch.astype(np.uint32))
    return [np.concatenate(held) for held in widths.values()]


def _commonest(looks: Sequence[_Look], bucket: int) -> str:
    grams: dict[str, int] = {}
    for look in looks:
        for gram in look.grams(bucket):
            grams[gram] = grams.get(gram, 0) + 1
    return max(sorted(grams), key=lambda gram: grams[gram])


def _grow(span: str, texts: list[str]) -> tuple[str, int]:
    """Extend `span` by the token that at least `AGREE` of its first holders agree on, as often as one does."""
    holders = [text for text in texts if span in text]
    least = AGREE * len(holders)
    while len(span) < LONGEST:
        options: dict[str, int] = {}
        for text in holders:
            at = text.find(span)
            if at > 0:
                left = text[at - 1 : at + len(span)]
                options[left] = options.get(left, 0) + 1
            right = text[at : at + len(span) + 1]
            if len(right) > len(span):
                options[right] = options.get(right, 0) + 1
        best = max(sorted(options), key=lambda option: options[option], default=span)
        if best == span or options[best] < least or chr(PADDING) in best:
            break
        span = best
        holders = [text for text in holders if span in text]
    return span, len(holders)
