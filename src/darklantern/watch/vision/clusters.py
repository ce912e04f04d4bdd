"""Two clusters and how far apart they are. Pure: arrays in, numbers out."""

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.formulas import Floats

_STEPS = 100
"""of Lloyd's algorithm, which ends much earlier"""


def two_means(rows: Floats) -> NDArray[np.bool_]:
    """Which of the rows (n, d) are in the second of two clusters, (n,), by Lloyd's algorithm.

    Starts from the cut of the first principal component, in order, that leaves the smallest sum of squares: without
    chance, and where a small cluster lies far out, not in the middle. All in the first where all rows are alike.
    """
    centred = rows - rows.mean(0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    second = _best_cut(along)
    for _ in range(_STEPS):
        if second.all() or not second.any():
            return np.zeros(len(rows), dtype=bool)
        squares = [((rows - rows[which].mean(0)) ** 2).sum(1) for which in (~second, second)]
        moved = squares[1] < squares[0]
        if (moved == second).all():
            break
        second = moved
    return second


def silhouette(rows: Floats, second: NDArray[np.bool_]) -> float:
    """The mean of (b − a) / max(a, b) over rows (n, d): a is the mean distance to the others of a row's own cluster, b
    to those of the other. 1 for two points far apart, about 0 for one cloud cut in two.

    Rousseeuw, "Silhouettes" (1987). A cluster of one row counts 0, as there; and so do rows that are all in one.
    """
    if second.all() or not second.any():
        return 0.0
    squares = (rows**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    same = second[:, None] == second[None]
    mine, others = same.sum(1) - 1, (~same).sum(1)
    inside = np.where(same, distances, 0.0).sum(1) / np.maximum(mine, 1)
    outside = np.where(same, 0.0, distances).sum(1) / others
    larger = np.maximum(inside, outside)
    made = np.divide(outside - inside, larger, out=np.zeros(len(rows)), where=(larger > 0) & (mine > 0))
    return float(made.mean())


def _best_cut(along: Floats) -> NDArray[np.bool_]:
    order = np.argsort(along, kind="stable")
    ordered = along[order]
    count = np.arange(1, len(along))
    left = np.cumsum(ordered)[:-1]
    right = ordered.sum() - left
    between = left**2 / count + right**2 / (len(along) - count)
    second = np.zeros(len(along), dtype=bool)
    if len(count) and ordered[-1] > ordered[0]:
        second[order[int(between.argmax()) + 1 :]] = True
    return second
