"""How sure a rate is: intervals for false alarms and detections, and how well run maxima separate. NumPy only."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from darklantern.errors import WatchError


def predicted(runs: int, rank: int, further: int, level: float = 0.95) -> tuple[int, int]:
    """Between which counts the false alarms in `further` clean runs must fall, with probability at least `level`.

    The threshold is the `rank`-th largest of `runs` reference maxima. Then the rate that it turns out to have is
    Beta(rank, runs + 1 − rank) over calibrations, and the count in runs judged by it beta-binomial, whatever the law
    of the maxima if it has no ties (with ties there are fewer false alarms). At most (1 − level)/2 is left out on
    each side.
    """
    _check_rank(runs, rank)
    _check_level(level)
    masses = [beta_binomial(count, further, rank, runs + 1 - rank) for count in range(further + 1)]
    aside = (1 - level) / 2
    low = next(count for count in range(further + 1) if math.fsum(masses[: count + 1]) > aside)
    high = next(count for count in range(further, -1, -1) if math.fsum(masses[count:]) > aside)
    return low, high


def run_rate(runs: int, rank: int, level: float = 0.95) -> tuple[float, float]:
    """Between which rates the run-level false-alarm rate of that threshold lies, with probability `level`.

    Over calibrations: quantiles of Beta(rank, runs + 1 − rank), whose mean is rank/(runs + 1).
    """
    _check_rank(runs, rank)
    _check_level(level)
    # P(Beta(a, b) ≤ x) = P(Binomial(a + b − 1, x) ≥ a)
    below = [(1 - level) / 2, (1 + level) / 2]
    low, high = (_rising(lambda x: at_least(rank, runs, x), mass) for mass in below)
    return low, high


def clopper_pearson(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of a rate seen as `count` of `of` (Clopper, Pearson 1934)."""
    if not 0 <= count <= of or of < 1:
        raise WatchError(f"expected a count out of at least one run, got {count} of {of}", hint="count runs, not looks")
    _check_level(level)
    aside = (1 - level) / 2
    low = 0.0 if count == 0 else _rising(lambda p: at_least(count, of, p), aside)
    high = 1.0 if count == of else _rising(lambda p: at_least(count + 1, of, p), 1 - aside)
    return low, high


def auroc(clean: Sequence[float], poisoned: Sequence[float]) -> float:
    """The chance that a poisoned run's maximum is above a clean one's, ties counting half."""
    quiet, loud = np.asarray(clean, dtype=np.float64), np.asarray(poisoned, dtype=np.float64)
    if not len(quiet) or not len(loud):
        raise WatchError(
            f"expected maxima of clean and of poisoned runs, got {len(quiet)} and {len(loud)}",
            hint="an AUROC compares two kinds of runs",
        )
    above = (loud[:, None] > quiet).mean()
    return float(above + (loud[:, None] == quiet).mean() / 2)


def auroc_interval(
    clean: Sequence[float], poisoned: Sequence[float], seed: int, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap of `auroc` over runs of each kind. A perfect one gives 1 to 1: then say the runs too."""
    quiet, loud = np.asarray(clean, dtype=np.float64), np.asarray(poisoned, dtype=np.float64)
    auroc(quiet.tolist(), loud.tolist())  # for its errors
    _check_level(level)
    above = (loud[:, None] > quiet) + (loud[:, None] == quiet) / 2
    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for i in range(draws):
        rows, columns = rng.integers(len(loud), size=len(loud)), rng.integers(len(quiet), size=len(quiet))
        found[i] = above[rows][:, columns].mean()
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def at_least(count: int, of: int, rate: float) -> float:
    """P(Binomial(of, rate) ≥ count)."""
    if count <= 0:
        return 1.0
    if rate <= 0 or count > of:
        return 0.0
    if rate >= 1:
        return 1.0
    into, out = math.log(rate), math.log1p(-rate)
    return min(1.0, math.fsum(math.exp(_log_choose(of, k) + k * into + (of - k) * out) for k in range(count, of + 1)))


def beta_binomial(count: int, of: int, a: float, b: float) -> float:
    """P(X = count) where X is Binomial(of, p) and p is Beta(a, b)."""
    return math.exp(_log_choose(of, count) + _log_beta(count + a, of - count + b) - _log_beta(a, b))


def _rising(mass: Callable[[float], float], wanted: float) -> float:
    """Where an increasing function of a rate reaches `wanted`, by bisection to the last bit."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if mass(middle) < wanted else (low, middle)
    return high


def _log_choose(of: int, count: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _check_rank(runs: int, rank: int) -> None:
    if not 1 <= rank <= runs:
        raise WatchError(
            f"expected a rank from 1 to {runs}, the number of reference runs, got {rank}",
            hint="the rank of a threshold at rate alpha is floor(alpha · (runs + 1))",
        )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise WatchError(f"expected a level between 0 and 1, got {level:g}", hint="for example level=0.95")
