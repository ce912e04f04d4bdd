"""Contrast-consistent search: a direction along which a statement and its negation are told apart, without labels."""

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe
from darklantern.methods.directions.scoring import auroc


def fit(
    values: Floats,
    labels: Bools,
    seed: int = 0,
    restarts: float = 10,
    steps: float = 1000,
    rate: float = 0.01,
    decay: float = 0.01,
) -> Probe:
    """Of pairs (pair, 2, dim), each half centred: p(one) and p(other) should add up to 1 and not both be near ½.

    Minimises (p₊ + p₋ − 1)² + min(p₊, p₋)² by Adam from `restarts` random directions, and keeps the one of the smallest
    loss. Labels do not enter it: they only say which end is up, which no such search can know. Raises MethodError for
    no restart and no step. Source: Burns et al. 2022, Discovering Latent Knowledge in Language Models Without
    Supervision.
    """
    if min(restarts, steps) < 1:
        raise MethodError(f"a search takes restarts and steps, got {restarts} and {steps}", hint="one of each at least")
    vector, _ = search(values, seed, int(restarts), int(steps), rate, decay)
    if auroc((values[:, 0] - values[:, 1]) @ vector, labels) < 0.5:
        vector = -vector
    return Probe(vector, 0.0)


def search(
    values: Floats, seed: int = 0, restarts: int = 10, steps: int = 1000, rate: float = 0.01, decay: float = 0.01
) -> tuple[Floats, float]:
    """The vector and the offset of `fit`, without a label: which end is up stays open."""
    scale = float(np.sqrt((values**2).mean())) or 1.0
    halves = values / scale
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(restarts, values.shape[-1]))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    found, losses = _descended(halves, np.column_stack([weights, np.zeros(len(weights))]), steps, rate, decay)
    best = found[losses.argmin()]
    return best[:-1] / scale, float(best[-1])


def _descended(halves: Floats, weights: Floats, steps: int, rate: float, decay: float) -> tuple[Floats, Floats]:
    """Weights, the offset last, of each restart after Adam (with AdamW's decay), and the losses there."""
    ones = np.ones((*halves.shape[:2], 1))
    inputs = np.concatenate([halves, ones], axis=2)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, steps + 1):
        _, gradient = _loss(inputs, weights)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        moved = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        weights = weights - rate * (moved + decay * weights)
    return weights, _loss(inputs, weights)[0]


def _loss(inputs: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The loss of each restart (restart,), and its gradient (restart, dim + 1)."""
    one, other = (0.5 * (1 + np.tanh(inputs[:, half] @ weights.T / 2)) for half in (0, 1))  # (pair, restart)
    gap, low = one + other - 1, np.minimum(one, other)
    loss = (gap**2 + low**2).mean(0)
    by_one = (2 * gap + 2 * low * (one <= other)) * one * (1 - one)
    by_other = (2 * gap + 2 * low * (one > other)) * other * (1 - other)
    return loss, (by_one.T @ inputs[:, 0] + by_other.T @ inputs[:, 1]) / len(inputs)
