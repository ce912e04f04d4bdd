"""Pieces of trusted rows that probes are made of. All from trusted rows alone, drawn with a seed.

Rows are texts whose code points are token ids, as `spans.as_texts` makes them.
"""

from collections.abc import Sequence

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.examples import Tokens
from darklantern.watch.language.layout import TELL, Layout
from darklantern.watch.spans import LONGEST, as_texts


def contexts(trusted: Tokens, count: int, width: int, layout: Layout, rng: np.random.Generator) -> list[str]:
    """`count` pieces of `width` tokens that end with the break of a line that is not empty."""
    found = []
    for row in _shuffled(trusted, rng):
        end = layout.find(row, width - 1)
        if end >= 0 and not layout.is_break(row[end - 1]):
            found.append(row[end + 1 - width : end + 1])
        if len(found) == count:
            return found
    raise _scarce(f"{count} contexts of {width} tokens that end a line", len(found))


def broken_lines(trusted: Tokens, count: int, at: int, layout: Layout, rng: np.random.Generator) -> list[str]:
    """`count` whole rows whose first break past token `at` comes soon, so that the next line stays in view."""
    room = trusted.shape[1] - 1 - LONGEST - 4
    if room < at + 2:
        raise WatchError(
            f"expected trusted rows of at least {at + LONGEST + 7} tokens, got {trusted.shape[1]}",
            hint=f"the probe inserts spans of up to {LONGEST} tokens and reads the line after them",
        )
    found = []
    for row in _shuffled(trusted, rng):
        if at + 2 <= layout.find(row, at) <= room:
            found.append(row)
        if len(found) == count:
            return found
    raise _scarce(f"{count} rows with a line break between tokens {at + 2} and {room}", len(found))


def lines(trusted: Tokens, lengths: Sequence[int], layout: Layout, rng: np.random.Generator) -> list[str]:
    """Whole lines of trusted rows, stripped; each at least as long as asked, cut to that length."""
    pool = (line for row in _shuffled(trusted, rng) for line in layout.lines(row)[1:-1])
    found: list[str] = []
    for line in pool:
        if len(line) >= lengths[len(found)]:
            found.append(line[: lengths[len(found)]])
        if len(found) == len(lengths):
            return found
    least = ", ".join(map(str, sorted(set(lengths))))
    raise _scarce(f"{len(lengths)} whole lines of at least {least} tokens", len(found))


def whole(trusted: Tokens, count: int, rng: np.random.Generator) -> list[str]:
    """`count` different rows."""
    if len(trusted) < count:
        raise _scarce(f"{count} rows", len(trusted))
    return _shuffled(trusted, rng)[:count]


def like(material: str, filler: str, layout: Layout) -> str:
    """`filler` at the length of `material`, with line breaks where it has them."""
    other = cut(filler, len(material))
    return "".join(own if layout.is_break(own) else its for own, its in zip(material, other, strict=True))


def cut(text: str, length: int) -> str:
    """`text`, repeated if need be, cut to `length`."""
    return (text * (length // len(text) + 1))[:length]


def _shuffled(trusted: Tokens, rng: np.random.Generator) -> list[str]:
    texts = as_texts(trusted)
    return [texts[i] for i in rng.permutation(len(texts))]


def _scarce(wanted: str, found: int) -> WatchError:
    return WatchError(
        f"trusted rows hold {found} of {wanted}",
        hint=f"give more trusted rows, or longer ones, that have lines; of a tokenizer's rows, {TELL}",
    )
