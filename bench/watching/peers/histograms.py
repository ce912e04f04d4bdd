"""Histograms of tensors to streams: of each module its size and its reach. Standard library only."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

TINY = 1e-12


class Moments(NamedTuple):
    """What a histogram says of a tensor."""

    count: float
    squares: float
    """sum of squares"""
    reach: float
    """largest size of a value"""

    @classmethod
    def of(cls, counts: Sequence[float], edges: Sequence[float]) -> Self:
        """From how many values fall between each two edges, taken to lie halfway."""
        middles = [(low + high) / 2 for low, high in pairwise(edges)]
        squares = sum(count * middle**2 for count, middle in zip(counts, middles, strict=True))
        return cls(sum(counts), squares, max(abs(edges[0]), abs(edges[-1])))


def streams(looks: Iterable[Mapping[str, Moments]]) -> dict[str, list[float]]:
    """Of looks at tensors by name (`gradients/layers.0.up.weight`), streams a module (`gradients/layers.0.up`).

    Size is the logarithm of the root mean square, reach that of the largest value over it: what swells, and what grows
    a tail.
    """
    out: dict[str, list[float]] = {}
    for look in looks:
        modules: dict[str, list[Moments]] = {}
        for name, held in look.items():
            modules.setdefault(name.rpartition(".")[0] or name, []).append(held)
        for module, parts in modules.items():
            size = math.sqrt(sum(part.squares for part in parts) / max(sum(part.count for part in parts), 1.0)) + TINY
            reach = max(part.reach for part in parts) + TINY
            out.setdefault(f"{module} size", []).append(math.log(size))
            out.setdefault(f"{module} reach", []).append(math.log(reach / size))
    return out
