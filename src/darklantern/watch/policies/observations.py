"""Observations: which features are flags, what it is to flip one, and what a policy does on average."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Array, Examples
from darklantern.watch.formulas import Floats


def chosen(examples: Examples, count: int, seed: int, what: str) -> Array:
    """`count` observations (count, features), drawn with `seed`. Raises WatchError for fewer, or of another shape."""
    given = examples.inputs
    if given.ndim != 2 or len(given) < count or given.dtype.kind not in "fuib":
        raise WatchError(
            f"expected at least {count} {what}, (n, features), got {given.shape} of {given.dtype}",
            hint="give more of them, or ask for fewer rows",
        )
    return given[np.random.default_rng(seed).permutation(len(given))[:count]]


def flags(observations: Array) -> tuple[int, ...]:
    """The features that take two values, by their number."""
    return tuple(i for i in range(observations.shape[1]) if len(np.unique(observations[:, i])) == 2)


def swapped(observations: Array, feature: int) -> tuple[Array, Array]:
    """The observations with one feature low in all of them, and with it high.

    A flag has its two values; any other feature its lower and upper quartile, so that it moves as far as it often does.
    """
    values = np.unique(observations[:, feature])
    low, high = (values[0], values[-1]) if len(values) == 2 else np.quantile(observations[:, feature], [0.25, 0.75])
    made = (observations.copy(), observations.copy())
    for each, value in zip(made, (low, high), strict=True):
        each[:, feature] = value
    return made


def divergence(one: Floats, other: Floats) -> Floats:
    """KL(p ‖ q) of log-probabilities (…, actions), in nats; an action that p never takes adds 0."""
    never = np.isneginf(one)
    ratio = np.subtract(one, other, out=np.zeros(np.broadcast(one, other).shape), where=~never)
    made: Floats = (np.exp(one) * ratio).sum(-1)
    return made


def jensen_shannon(one: Floats, other: Floats) -> float:
    """The Jensen–Shannon divergence of two distributions (actions,), in nats: 0 to log 2.

    Lin, "Divergence measures based on the Shannon entropy" (1991).
    """
    middle = (one + other) / 2
    parts = [np.where(each > 0, each * np.log(np.where(each > 0, each / np.maximum(middle, 1e-300), 1.0)), 0.0)
             for each in (one, other)]  # fmt: skip
    return float(sum(part.sum() for part in parts)) / 2


def actions(log_probs: Floats) -> Floats:
    """Log-probabilities (n, actions) in float64. Raises WatchError where the output is none of a policy."""
    if log_probs.ndim != 2:
        raise WatchError(
            f"expected one distribution over actions for each observation, got an output {log_probs.shape}",
            hint="the model returns logits (n, actions)",
        )
    return log_probs.astype(np.float64)


def against_rest(values: Sequence[float], tested: Sequence[int]) -> tuple[float, float]:
    """The largest of the tested features' values, and the mean over all other features. NaN where there is one."""
    held = np.asarray(values, dtype=np.float64)
    best = tested[int(held[list(tested)].argmax())]  # NaN counts as the largest
    rest: NDArray[np.bool_] = np.arange(len(held)) != best
    return float(held[best]), float(held[rest].mean())
