"""From signals' histories to an alarm with a stated false-alarm rate. Pure: numbers in, decision out.

Each contrast is standardised on clean reference runs and smoothed (EWMA); the joint statistic is
the largest over the internal signals; the threshold is an order statistic of that maximum over
whole clean runs. When a new clean run is exchangeable with the R reference runs (same recipe, new
seed), P(it ever crosses) ≤ k/(R+1) for the k-th largest maximum, whatever the signals'
autocorrelation or trend (notes: classical detectors fire on most healthy runs).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darklantern.errors import WatchError
from darklantern.records.references import References, SignalReference

SMOOTHING = 0.5
"""EWMA weight of the newest look"""


@dataclass(frozen=True)
class Threshold:
    """Where a statistic becomes an alarm."""

    value: float
    alpha: float
    """the false-alarm rate for a whole clean run that `value` guarantees"""
    calibrated: bool
    reason: str
    """what the rate rests on, or why there is none"""


def standardise(reference: SignalReference, look: int, contrast: float) -> float:
    """`contrast` at look number `look` (from 0), in standard deviations over clean runs.

    Beyond the last reference look, the last one's mean is used.
    """
    return (contrast - reference.mean[min(look, len(reference.mean) - 1)]) / reference.spread


def smooth(previous: float | None, value: float) -> float:
    """One EWMA step; the first value stands for itself, damped as if zero came before."""
    return SMOOTHING * value + (1 - SMOOTHING) * (previous or 0.0)


def statistics(reference: SignalReference, contrasts: Sequence[float]) -> list[float]:
    """The smoothed, standardised history of one signal."""
    out: list[float] = []
    for look, contrast in enumerate(contrasts):
        out.append(smooth(out[-1] if out else None, standardise(reference, look, contrast)))
    return out


def threshold(maxima: Sequence[float], alpha: float) -> Threshold:
    """The smallest run-level threshold that `maxima` of clean runs support at rate `alpha`.

    Raises WatchError when there are too few runs: alpha ≥ 1/(R+1) is needed.
    """
    runs = len(maxima)
    rank = int(np.floor(alpha * (runs + 1)))
    if rank < 1:
        raise WatchError(
            f"a false-alarm rate of {alpha:g} needs at least {int(np.ceil(1 / alpha)) - 1} reference runs, got {runs}",
            hint="run `darklantern watch calibrate` with more runs, or ask for a higher rate",
        )
    return Threshold(
        value=float(np.sort(maxima)[-rank]),
        alpha=rank / (runs + 1),
        calibrated=True,
        reason=f"{runs} clean reference runs of this recipe",
    )


def for_run(limit: Threshold, references: References, recipe: str, data: str) -> Threshold:
    """`limit` as it holds for a run of `recipe` on `data`: no rate is claimed for another one."""
    if recipe != references.recipe:
        return Threshold(limit.value, float("nan"), False, "the reference runs are of another recipe")
    if data != references.data:
        return Threshold(limit.value, float("nan"), False, "the reference runs trained on another text")
    return limit


def summarise(
    runs: Mapping[int, Mapping[str, Sequence[float]]], standardising: Sequence[int]
) -> dict[str, SignalReference]:
    """Mean by look and pooled spread of each signal, over the runs `standardising` (by seed)."""
    out = {}
    for name in next(iter(runs.values())):
        table = np.array([runs[seed][name] for seed in standardising])
        spread = float(np.sqrt(table.var(axis=0, ddof=1).mean()))
        out[name] = SignalReference(name=name, mean=tuple(float(m) for m in table.mean(axis=0)), spread=spread)
    return out


def first_crossing(steps: Sequence[int], values: Sequence[float], limit: float) -> int | None:
    """The first step at which a statistic exceeds its threshold."""
    return next((step for step, value in zip(steps, values, strict=True) if value > limit), None)


def rise_began(values: Sequence[float], quiet: float) -> int:
    """Index of the last look at which the statistic was still at or below `quiet`; −1 if never."""
    return max((i for i, value in enumerate(values) if value <= quiet), default=-1)
