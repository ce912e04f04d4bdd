"""How many bits about a known truth a message carried, message by message."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darklantern.errors import AssessmentError

CLIP = 1e-3
"""Predicted probabilities are raised to this, so that one confident mistake costs a bounded number of bits."""


def pvi_bits(predicted: ArrayLike, truth: ArrayLike, prior: Sequence[float]) -> NDArray[np.float64]:
    """Pointwise V-information of each message, in bits: log2 f(y | message) − log2 p(y).

    `predicted`: probabilities, shape (messages, classes), by a predictor that was fitted on other
    messages. `truth`: the class of each. `prior`: the *exact* probabilities by which the truth was
    drawn; with an estimated one, the mean is no longer a lower bound on mutual information.
    (Ethayarajh, Choi and Swayamdipta 2022; Xu et al. 2020.)
    """
    probabilities = np.asarray(predicted, dtype=np.float64)
    classes = np.asarray(truth)
    exact = np.asarray(prior, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape != (classes.size, exact.size):
        raise AssessmentError(
            f"expected predictions of shape ({classes.size}, {exact.size}), got {probabilities.shape}",
            hint="one row for each message, one column for each class of the prior",
        )
    if not np.allclose(probabilities.sum(axis=1), 1) or (probabilities < 0).any():
        raise AssessmentError("the rows of the predictions are no probabilities", hint="normalise each row to sum to 1")
    if not np.isin(classes, np.arange(exact.size)).all():
        raise AssessmentError("the truth names no class of the prior", hint=f"classes count from 0 to {exact.size - 1}")
    check_prior(prior)
    # Mixing with the uniform distribution clips from below and still sums to one, so the
    # expectation stays ≤ I(Y; O). Raising small entries alone would not.
    smooth = (1 - CLIP * exact.size) * probabilities + CLIP
    said = smooth[np.arange(classes.size), classes]
    return np.asarray(np.log2(said) - np.log2(exact[classes]), dtype=np.float64)


def pvi_range(prior: Sequence[float]) -> tuple[float, float]:
    """The least and the most that `pvi_bits` can give under this prior."""
    check_prior(prior)
    most_certain = 1 - CLIP * (len(prior) - 1)
    return float(np.log2(CLIP) - np.log2(max(prior))), float(np.log2(most_certain) - np.log2(min(prior)))


def check_prior(prior: Sequence[float]) -> None:
    """Raises AssessmentError unless these are the probabilities of two to a hundred possible classes."""
    if not 2 <= len(prior) <= 100 or min(prior) <= 0 or not np.isclose(sum(prior), 1):
        raise AssessmentError(
            f"expected 2 to 100 positive probabilities that sum to 1, got {len(prior)} with sum {sum(prior):.3g}",
            hint="keep the truth small: bounds on information grow only with the logarithm of the data",
        )
