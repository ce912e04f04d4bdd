"""Directions that tell two answers apart, as `directions` fits them: (values, labels) → a line with log-odds.

In: values (example, dim). Out: `Line`, whose score is above 0 for answer 1. Nothing here runs a model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.directions import consistent
from darklantern.methods.directions import logistic as regression

Numbers = NDArray[np.float64]
_RATE = 0.03
"""of the search without labels: few examples, so its steps may be long, and it comes to its end within them"""


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
    """Logistic regression on standardised values, `ridge` per example on all but the offset."""
    found = regression.fit(values, labels == 1, penalty=ridge * len(values))
    return Line(found.vector, found.offset)


def searched(yes: Numbers, no: Numbers, seed: int) -> Line:
    """Contrast-consistent search: no labels, only that a claim and its denial have chances that add up to 1.

    `yes` and `no` hold the same questions with either claim, each centred on its own mean here. The sign is open: which
    end means yes takes a label. The offset is for values of `yes`. Source: Burns et al. 2022.
    """
    pairs = np.stack([yes - yes.mean(0), no - no.mean(0)], axis=1)
    direction, offset = consistent.search(pairs, seed, rate=_RATE)
    return Line(direction, float(offset - direction @ yes.mean(0)))


def sigmoid(scores: Numbers) -> Numbers:
    """1 / (1 + exp(−score)), without overflow."""
    found: Numbers = np.where(scores >= 0, 1.0, np.exp(-np.abs(scores))) / (1 + np.exp(-np.abs(scores)))
    return found


FITS: dict[str, Callable[[Numbers, Numbers], Line]] = {"means": means, "logistic": logistic}


def check_labels(labels: Numbers, count: int, what: str) -> None:
    """Raises MethodError unless there is a 0 or 1 for each example, and some of each."""
    if labels.shape != (count,) or not np.isin(labels, (0, 1)).all():
        came = f"{np.unique(labels)[:4].tolist()} in shape {labels.shape}"
        raise MethodError(f"expected {count} answers of 0 and 1 for {what}, got {came}", hint="one for each example")
    if len(np.unique(labels)) < 2:
        raise MethodError(f"all answers for {what} are {labels[0]:g}", hint="examples of both kinds")
