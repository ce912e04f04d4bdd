"""Two groups of prompts, each in two halves: directions are fitted on one half and judged on the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.language.token_rows import Prompt, Prompts, prompts
from darklantern.watch.seen import Floats

LEAST = 4
"""prompts of a group, so that each half has a spread"""
Pair = tuple[Floats, Floats]


@dataclass(frozen=True)
class Groups:
    """Prompts, and which of them are positive, and which are kept for judging."""

    prompts: Prompts
    positive: NDArray[np.bool_]
    """(n,)"""
    held: NDArray[np.bool_]
    """(n,)"""

    def fitting(self, values: Floats) -> Pair:
        """Of values (n, …), those to fit on: positive, negative."""
        return values[~self.held & self.positive], values[~self.held & ~self.positive]

    def judging(self, values: Floats) -> Pair:
        """Of values (n, …), those to judge on: positive, negative."""
        return values[self.held & self.positive], values[self.held & ~self.positive]

    def shuffled(self, count: int, seed: int) -> tuple["Groups", ...]:
        """The same halves with labels dealt anew within each, `count` times."""
        rng = np.random.default_rng([seed, 1])
        made = []
        for _ in range(count):
            labels = self.positive.copy()
            for half in (self.held, ~self.held):
                labels[half] = rng.permutation(labels[half])
            made.append(Groups(self.prompts, labels, self.held))
        return tuple(made)

    @property
    def settings(self) -> dict[str, Any]:
        """The prompts, as JSON."""
        rows = self.prompts.settings
        return {
            "positive": [row for row, positive in zip(rows, self.positive, strict=True) if positive],
            "negative": [row for row, positive in zip(rows, self.positive, strict=True) if not positive],
        }


def groups(positive: Sequence[Prompt], negative: Sequence[Prompt], what: tuple[str, str], seed: int) -> Groups:
    """Two groups in halves drawn with `seed`. Raises WatchError for fewer than `LEAST` prompts in either."""
    high, low = (
        prompts(given, f"{name} prompts", LEAST) for given, name in zip((positive, negative), what, strict=True)
    )
    rng = np.random.default_rng(seed)
    held = [rng.permutation(len(each)) < len(each) // 2 for each in (high, low)]
    return Groups(high + low, np.arange(len(high) + len(low)) < len(high), np.concatenate(held))
