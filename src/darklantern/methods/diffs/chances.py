"""How likely differences of many edges are where nothing changed but the data that were drawn."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 2000
"""of which contrast belongs to which checkpoint"""
_AT_ONCE = 10_000_000
"""numbers held at a time"""
_TIE = 1e-9


def chances(before: Floats, after: Floats, seed: int, draws: int = DRAWS) -> Floats:
    """Of each edge, how often the largest difference of all that are left is as large by chance: adjusted p-values.

    `before` and `after` are (contrast, edge). All their rows are dealt out anew to both sides; the statistic is the
    correlation of an edge's scores with the side, which orders as Welch's t does for sides of one size. Step-down over
    the maximum: the chance of any false claim among all edges claimed at a level is at most that level, however edges
    hang together, where scores of both are of one distribution. Contrasts are taken for independent of each other.

    Rows of one contrast are not kept together: that would ask whether anything changed at all, and any weights that
    differ in a bit make it so. Asked is whether more changed than another draw of contrasts does; as both checkpoints
    do see the same contrasts, the answer is cautious, unless an edge's scores before and after go against each other
    from contrast to contrast. Sources: Westfall and Young 1993, Resampling-Based Multiple Testing; Phipson and Smyth
    2010 for the one that is added.
    """
    count, rng = len(before), np.random.default_rng((seed, 0))
    every = np.concatenate([before, after])
    centred = every - every.mean(0)
    size = np.linalg.norm(centred, axis=0)
    scaled = np.divide(centred, size, out=np.zeros_like(centred), where=size > 0)
    sides = np.repeat([1.0, -1.0], count) / math.sqrt(2 * count)
    seen = np.abs(sides @ scaled)
    order = np.argsort(-seen, kind="stable")
    above = np.zeros(len(seen))
    dealt = rng.permuted(np.tile(sides, (draws, 1)), axis=1)
    for some in np.array_split(dealt, math.ceil(dealt.shape[0] * max(len(seen), 1) / _AT_ONCE)):
        drawn = np.abs(some @ scaled[:, order])
        largest = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]  # of each edge and all that are weaker
        above += (largest >= seen[order] - _TIE).sum(0)
    found = np.empty_like(seen)
    found[order] = np.maximum.accumulate((above + 1) / (draws + 1))
    return found
