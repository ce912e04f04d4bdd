"""From signals' histories to an alarm with a stated false-alarm rate. Pure: numbers in, decision out.

Each contrast's change within the run is standardised on clean reference runs and smoothed (EWMA);
the joint statistic is the largest over the internal signals; the threshold is an order statistic of that maximum over
whole clean runs. When a new clean run is exchangeable with the R reference runs (same recipe, new
seed), P(it ever crosses) ≤ k/(R+1) for the k-th largest maximum, whatever the signals'
autocorrelation or trend (notes: classical detectors fire on most healthy runs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.records.references import References, SignalReference

SMOOTHING = 0.5
"""EWMA weight of the newest look"""
BOUND = 4.0
"""standard deviations"""
LEFT_OUT = 2
"""looks just before the newest that do not count as its baseline"""


@dataclass(frozen=True)
class Threshold:
    """Where a statistic becomes an alarm."""

    value: float
    alpha: float
    """the false-alarm rate for a whole clean run that `value` guarantees"""
    calibrated: bool
    reason: str
    """what the rate rests on, or why there is none"""


def constants() -> dict[str, Any]:
    """What decides a statistic besides its signal, for the recipe that a calibration holds for."""
    return {"smoothing": SMOOTHING, "bound": BOUND, "left_out": LEFT_OUT}


def change(contrasts: Sequence[float]) -> float:
    """The newest contrast against the mean of the run's own earlier looks, leaving out the `LEFT_OUT` before it.

    What differs between runs from the start is no alarm; what rises within one is.
    """
    earlier = contrasts[: max(1, len(contrasts) - 1 - LEFT_OUT)]
    return contrasts[-1] - float(np.mean(earlier))


def changes(contrasts: Sequence[float]) -> list[float]:
    """`change` at each look."""
    return [change(contrasts[: look + 1]) for look in range(len(contrasts))]


def standardise(reference: SignalReference, look: int, changed: float) -> float:
    """`changed` at look number `look` (from 0) in standard deviations over clean runs, at most ±4.

    The bound keeps one wild look from deciding: an alarm needs a rise that lasts. Beyond the last
    reference look, the last one's mean is used.
    """
    mean = reference.mean[min(look, len(reference.mean) - 1)]
    return float(np.clip((changed - mean) / reference.spread, -BOUND, BOUND))


def smooth(previous: float, value: float) -> float:
    """One EWMA step."""
    return SMOOTHING * value + (1 - SMOOTHING) * previous


def statistics(reference: SignalReference, contrasts: Sequence[float]) -> list[float]:
    """A signal's statistic at each look: its change, standardised and smoothed."""
    out: list[float] = []
    for look, changed in enumerate(changes(contrasts)):
        value = standardise(reference, look, changed)
        out.append(smooth(out[-1] if out else 0.0, value))
    return out


def threshold(maxima: Sequence[float], alpha: float) -> Threshold:
    """The smallest run-level threshold that `maxima` of clean runs support at rate `alpha`.

    Raises WatchError when there are too few runs: alpha ≥ 1/(R+1) is needed.
    """
    if not 0 < alpha < 1:
        raise WatchError(f"expected a false-alarm rate between 0 and 1, got {alpha:g}", hint="for example alpha=0.05")
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


def limits(references: References, recipe: str, data: str, alpha: float) -> dict[str, Threshold]:
    """The joint threshold and one for each behavioural monitor, as they hold for a run of `recipe` on `data`.

    For another recipe or text the numbers stay and the claim goes: the threshold says "uncalibrated".
    """
    doubt = ""
    if recipe != references.recipe:
        doubt = "the reference runs are of another recipe"
    elif data != references.data:
        doubt = "the reference runs trained on another text"
    found = {"joint": threshold(references.maxima, alpha)}
    found |= {name: threshold(maxima, alpha) for name, maxima in references.behaviours.items()}
    if doubt:
        found = {name: Threshold(t.value, float("nan"), False, doubt) for name, t in found.items()}
    return found


def summarise(name: str, grain: float, runs: Sequence[Sequence[float]]) -> SignalReference:
    """Mean by look of one signal's change over clean `runs`, and its spread pooled over looks, at least `grain`."""
    table = np.array([changes(run) for run in runs])
    spread = max(float(np.sqrt(table.var(axis=0, ddof=1).mean())), grain)
    if spread == 0:
        raise WatchError(
            f"signal {name!r} never changed in {len(runs)} clean runs, so nothing says what is unusual",
            hint="give the signal a grain, the smallest change worth a standard deviation",
        )
    return SignalReference(name=name, mean=tuple(float(m) for m in table.mean(axis=0)), spread=spread)


def first_crossing(steps: Sequence[int], values: Sequence[float], limit: float) -> int | None:
    """The first step at which a statistic exceeds its threshold."""
    return next((step for step, value in zip(steps, values, strict=True) if value > limit), None)


def rise_began(values: Sequence[float], quiet: float) -> int:
    """Index of the last look at which the statistic was still at or below `quiet`; −1 if never."""
    return max((i for i, value in enumerate(values) if value <= quiet), default=-1)
