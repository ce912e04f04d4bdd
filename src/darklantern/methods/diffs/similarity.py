"""How alike two sets of activations of the same data are, and along which directions they differ."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST = 4
"""rows, below which nothing is known without bias"""


def cka(x: Floats, y: Floats) -> float:
    """Linear centred kernel alignment of (row, feature) with (row, feature): 1 where one is the other turned, scaled.

    Without the bias that few rows of many features have, so that chance is 0 on average, and a figure may be a little
    below. NaN for fewer than four rows, and where one side does not vary. Sources: Kornblith et al. 2019; for the
    estimator Song et al. 2012.
    """
    if len(x) < FEWEST:
        return float("nan")
    x, y = x - x.mean(0), y - y.mean(0)
    own = _alignment(x, x), _alignment(y, y)
    return _alignment(x, y) / float(np.sqrt(own[0] * own[1])) if min(own) > 0 else float("nan")


def _alignment(x: Floats, y: Floats) -> float:
    """The unbiased HSIC of centred rows under linear kernels, up to a factor that cancels."""
    n = len(x)
    products = (x**2).sum(1), (y**2).sum(1)
    # By the smaller of both ways: features by features, or rows by rows.
    cross = ((x @ x.T) * (y @ y.T)).sum() if n < min(x.shape[1], y.shape[1]) else ((x.T @ y) ** 2).sum()
    own = products[0] @ products[1]
    return float(cross - n / (n - 2) * own + products[0].sum() * products[1].sum() / ((n - 1) * (n - 2)))


def directions(step: Floats, count: int) -> tuple[Floats, Floats]:
    """The directions along which rows moved, (direction, feature), and the share of all squared movement of each.

    Not centred: a shift that all rows share is a direction. Their sign is such that the mean movement is along them.
    """
    total = float((step**2).sum())
    if not total:
        return np.zeros((0, step.shape[1])), np.zeros(0)
    _, lengths, found = np.linalg.svd(step, full_matrices=False)
    found, shares = found[:count], lengths[:count] ** 2 / total
    along = np.where(found @ step.mean(0) < 0, -1.0, 1.0)
    return found * along[:, None], shares
