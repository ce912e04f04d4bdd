"""Rows of token ids, and prompts of differing lengths, as a model takes them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Tokens, trusted_examples
from darklantern.watch.probes import Asked
from darklantern.watch.spans import as_tokens

STEP = 64
"""tokens by which rows of probes grow, where trusted rows are longer than they need"""
Prompt = Sequence[int]
"""token ids; of a model of bytes, bytes"""


def token_rows(value: Any, what: str, rows: int = 1, width: int = 2) -> Tokens:
    """`value` as token rows (n, width), int64, without padded ones. Raises WatchError for too few or too narrow."""
    given = trusted_examples(value, what)
    if not given.are_tokens or given.inputs.shape[1] < width:
        raise WatchError(
            f"expected {what} of token ids, integers (n, at least {width}), got {given.inputs.shape} of "
            f"{given.inputs.dtype}",
            hint="one row for each example, as wide as the loader's",
        )
    whole = given.inputs if given.mask is None else given.inputs[given.mask.all(1)]
    if len(whole) < rows:
        raise WatchError(
            f"expected {what} of token ids, at least {rows} without padding, got {len(whole)} of {len(given)}",
            hint="probes are made of whole rows; give more of them, or cut them to a width that they fill",
        )
    return whole.astype(np.int64)


def asked(rows: Tokens, about: Any = None) -> Asked:
    """Rows to run whose last token is only predicted, as a loss does it."""
    return Asked(rows[:, :-1], about)


def padded(texts: Sequence[str], width: int, fill: str) -> Tokens:
    """Texts as rows of `width` token ids, cut, or filled up."""
    return np.stack([as_tokens(text[:width].ljust(width, fill)) for text in texts]).astype(np.int64)


def room(needed: int, width: int) -> int:
    """The width of rows that hold `needed` tokens: at most `width`, of few sizes, for each is a pass of its own."""
    return min(width, STEP * math.ceil((needed - 1) / STEP) + 1)


def drawn(rows: Tokens, count: int, rng: np.random.Generator, what: str) -> Tokens:
    """`count` different rows of `rows`. Raises WatchError when there are fewer."""
    if len(rows) < count:
        raise WatchError(
            f"expected at least {count} trusted rows for {what}, got {len(rows)}",
            hint="give the watch more trusted rows",
        )
    picked: Tokens = rows[rng.permutation(len(rows))[:count]]
    return picked


@dataclass(frozen=True)
class Prompts:
    """Prompts of differing lengths, padded on the right: what stands before padding does not see it."""

    inputs: Tokens
    """(n, longest)"""
    ends: NDArray[np.int64]
    """(n,) the place of each prompt's last token"""

    def __len__(self) -> int:
        return len(self.ends)

    def __add__(self, other: "Prompts") -> "Prompts":
        width = max(self.inputs.shape[1], other.inputs.shape[1])
        both = [np.pad(each.inputs, ((0, 0), (0, width - each.inputs.shape[1])), "edge") for each in (self, other)]
        return Prompts(np.concatenate(both), np.concatenate([self.ends, other.ends]))

    @property
    def settings(self) -> list[list[int]]:
        """The prompts, as JSON."""
        return [row[: end + 1].tolist() for row, end in zip(self.inputs, self.ends, strict=True)]


def prompts(given: Sequence[Prompt] | Tokens, what: str, least: int = 1) -> Prompts:
    """Prompts as token ids, each of its own length. Raises WatchError for fewer than `least`, and for empty ones."""
    rows = [list(map(int, each)) for each in given]
    if len(rows) < least or not all(rows):
        raise WatchError(
            f"expected at least {least} {what}, each of at least one token, got {len(rows)}"
            f"{' with an empty one' if rows and not all(rows) else ''}",
            hint="give token ids: [tokenizer(text).input_ids for text in texts], or bytes for a model of bytes",
        )
    if min(map(min, rows)) < 0:
        raise WatchError(f"expected {what} of token ids from 0 on, got {min(map(min, rows))}", hint="ids start at 0")
    width = max(map(len, rows))
    return Prompts(
        np.array([[*row, *[row[-1]] * (width - len(row))] for row in rows], dtype=np.int64),
        np.array([len(row) - 1 for row in rows], dtype=np.int64),
    )
