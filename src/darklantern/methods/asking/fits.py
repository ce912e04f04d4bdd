"""Directions that tell two answers apart, fitted in NumPy: (values, labels) → a direction and an offset.

In: values (example, dim). Out: `Line`, whose score is above 0 for answer 1. Nothing here runs a model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError

Numbers = NDArray[np.float64]
_STEPS = 50
_TRIES = 8
"""of contrast-consistent search, from other beginnings"""
_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Line:
    """A score linear in a value."""

    direction: Numbers
    offset: float

    def __call__(self, values: Numbers) -> Numbers:
        """Log-odds of answer 1, of each value (example, dim)."""
        scores: Numbers = values @ self.direction + self.offset
        return scores


def means(values: Numbers, labels: Numbers) -> Line:
    """The difference of both means; even odds half-way between, log-odds by the spread along it."""
    high, low = values[labels == 1].mean(0), values[labels == 0].mean(0)
    direction = high - low
    spread = ((values - np.where(labels[:, None] == 1, high, low)) @ direction).var()
    # Of two Gaussians with one variance along the line, the log-odds are gap / variance times the distance.
    scale = float(direction @ direction) / max(float(spread), 1e-12)
    return Line(direction * scale, float(-scale * direction @ (high + low) / 2))


def logistic(values: Numbers, labels: Numbers, ridge: float = 1e-3) -> Line:
    """Logistic regression by Newton's method on standardised values, `ridge` per example on all but the offset."""
    centre, scale = values.mean(0), values.std(0) + 1e-9
    inputs = np.concatenate([(values - centre) / scale, np.ones((len(values), 1))], axis=1)
    penalty = ridge * len(values) * np.diag([*[1.0] * values.shape[1], 0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        chance = sigmoid(inputs @ weights)
        slope = inputs.T @ (chance - labels) + penalty @ weights
        bend = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + penalty
        step = np.linalg.solve(bend + 1e-9 * np.eye(len(bend)), slope)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    direction = weights[:-1] / scale
    return Line(direction, float(weights[-1] - direction @ centre))


def contrast(yes: Numbers, no: Numbers, seed: int) -> Line:
    """Contrast-consistent search: no labels, only that a claim and its denial have chances that add up to 1.

    `yes` and `no` hold the same questions with either claim, each centred on its own mean. The best of several
    beginnings by Burns et al.'s loss, minimised by Adam. The sign is open:
    which end means yes takes a label. The offset is for values of `yes`. Source: Burns et al. 2022.
    """
    one, two = yes - yes.mean(0), no - no.mean(0)
    scale = float(np.sqrt((one**2).mean() + (two**2).mean())) + 1e-12
    rng = np.random.default_rng(seed)
    tries = (_searched(one / scale, two / scale, start) for start in rng.normal(size=(_TRIES, yes.shape[1])))
    _, weights, offset = min(tries, key=lambda found: found[0])
    direction = weights / scale
    return Line(direction, float(offset - direction @ yes.mean(0)))


def _searched(one: Numbers, two: Numbers, start: Numbers) -> tuple[float, Numbers, float]:
    """The loss, weights and offset to which Adam comes from `start`."""
    params = np.concatenate([start / np.linalg.norm(start), [0.0]])
    first, second = np.zeros_like(params), np.zeros_like(params)
    bar = np.concatenate([one, np.ones((len(one), 1))], 1), np.concatenate([two, np.ones((len(two), 1))], 1)
    loss = np.inf
    for step in range(1, 301):
        loss, slope = _consistency(*bar, params)
        slope[:-1] += 1e-3 * params[:-1]  # or a perfect line would grow without end
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        params = params - _RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return loss, params[:-1], float(params[-1])


def _consistency(one: Numbers, two: Numbers, params: Numbers) -> tuple[float, Numbers]:
    """(p₁ − (1 − p₂))² + min(p₁, p₂)², the mean over pairs, and its gradient."""
    p, q = sigmoid(one @ params), sigmoid(two @ params)
    gap, least = p + q - 1, np.minimum(p, q)
    by_p, by_q = 2 * gap + 2 * least * (p <= q), 2 * gap + 2 * least * (q < p)
    slope = one.T @ (by_p * p * (1 - p)) + two.T @ (by_q * q * (1 - q))
    return float((gap**2 + least**2).mean()), slope / len(p)


def sigmoid(scores: Numbers) -> Numbers:
    """1 / (1 + exp(−score)), without overflow."""
    found: Numbers = np.where(scores >= 0, 1.0, np.exp(-np.abs(scores))) / (1 + np.exp(-np.abs(scores)))
    return found


FITS: dict[str, Callable[[Numbers, Numbers], Line]] = {"means": means, "logistic": logistic}


def check_labels(labels: Numbers, count: int, what: str) -> None:
    """Raises MethodError unless there is a 0 or 1 for each example, and some of each."""
    if labels.shape != (count,) or not np.isin(labels, (0, 1)).all():
        raise MethodError(
            f"expected {count} answers of 0 and 1 for {what}, got shape {labels.shape}", hint="one for each example"
        )
    if len(np.unique(labels)) < 2:
        raise MethodError(f"all answers for {what} are {labels[0]:g}", hint="examples of both kinds")
