"""Logistic regression with an L2 penalty, solved to the end by Newton's method."""

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe

_STEPS = 100
_NEAR = 1e-10
"""of the loss: nearer to the minimum than that, one more step of Newton's is exact to the last bits"""
_CONSTANT = 1e-7
"""spread of a dimension, of the largest activation: below it is what float32 rounds, or underflows to, and no signal"""


def fit(values: Floats, labels: Bools, seed: int = 0, penalty: float = 1.0) -> Probe:
    """The direction that minimises Σ log-loss + penalty/2 · ‖w‖² over standardised activations; no offset is penalised.

    As scikit-learn's `LogisticRegression(C=1/penalty)` behind its `StandardScaler`. Costs a few solutions of as many
    equations as there are dimensions, or examples if those are fewer. Raises MethodError for a penalty that is not
    above 0: of separable classes there is no best direction then.
    """
    if not penalty > 0:
        raise MethodError(f"the penalty of a logistic probe must be above 0, got {penalty}", hint="penalty=1.0")
    centre, spread = values.mean(0), values.std(0)
    # A dimension that does not vary would get a weight of 1 / its spread, and be all that the vector is made of.
    spread = np.where(spread > _CONSTANT * np.abs(values).max(), spread, np.inf)
    scaled = (values - centre) / spread
    # The penalised solution lies in the span of the examples: fewer of them than dimensions are fewer unknowns.
    basis = np.linalg.qr(scaled.T)[0] if scaled.shape[1] > len(scaled) else None
    weights = _newton(scaled if basis is None else scaled @ basis, labels, penalty)
    inner = weights[:-1] if basis is None else basis @ weights[:-1]
    vector = inner / spread
    return Probe(vector, float(weights[-1] - centre @ vector))


def _newton(inputs: Floats, labels: Bools, penalty: float) -> Floats:
    """The weights, the offset last."""
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    held_back = np.full(inputs.shape[1], penalty)
    held_back[-1] = 0.0
    signs = np.where(labels, 1.0, -1.0)
    weights = np.zeros(inputs.shape[1])
    loss = _loss(inputs, signs, held_back, weights)
    for _ in range(_STEPS):
        wrong = 0.5 * (1 - np.tanh(signs * (inputs @ weights) / 2))  # probability of the other class
        gradient = held_back * weights - inputs.T @ (signs * wrong)
        half = inputs * np.sqrt(wrong * (1 - wrong))[:, None]  # one array by itself: BLAS reckons half of its product
        curvature = half.T @ half + np.diag(held_back)
        curvature[-1, -1] += 1e-12  # where all are far on their side, the offset has no curvature left
        step: Floats = np.linalg.solve(curvature, gradient).astype(np.float64, copy=False)
        if gradient @ step <= _NEAR * max(loss, 1.0):
            return weights - step
        weights, loss = _stepped(inputs, signs, held_back, weights, step, loss)
    return weights


def _stepped(
    inputs: Floats, signs: Floats, held_back: Floats, weights: Floats, step: Floats, loss: float
) -> tuple[Floats, float]:
    """After the step, halved until it helps: Newton's own may overshoot far from the minimum."""
    for halved in range(30):
        tried = weights - step / 2**halved
        after = _loss(inputs, signs, held_back, tried)
        if after < loss:
            return tried, after
    raise MethodError("a logistic probe does not converge", hint="a larger penalty, or activations of a smaller range")


def _loss(inputs: Floats, signs: Floats, held_back: Floats, weights: Floats) -> float:
    return float(np.logaddexp(0, -signs * (inputs @ weights)).sum() + (held_back * weights**2).sum() / 2)
