"""From signals' histories to an alarm with a stated false-alarm rate. Pure: numbers in, decision out.

Each contrast's change within the run is standardised on clean reference runs, gathered over looks (EWMA for what
jumps, CUSUM for what creeps, an anchored EWMA for what stays changed since the start) and divided by the signal's own
scale, what about one clean run in twenty reaches. So all internal signals may share one joint statistic, the largest
of them, and spend its error budget about alike. The threshold is an order statistic of that maximum over whole clean
runs, none of which had a part in the standardising. When a new clean run is exchangeable with the R reference runs
(same recipe, new seed), P(it ever crosses) ≤ k/(R+1) for the k-th largest maximum, whatever the signals'
autocorrelation or trend, on which classical detectors fire in most healthy runs. This is a rate over repeated runs of
one recipe: it says nothing of a single run that no other is like.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from darklantern.errors import WatchError
from darklantern.records.references import Detector, References, SignalReference

SMOOTHING = 0.5
"""EWMA weight of the newest look"""
SLACK = 0.5
"""the CUSUM's reference value (Page 1954), in standard deviations: what rises by less a look does not add up"""
TAIL = 1.866
"""standard deviations from the mean of run maxima to what one run in twenty reaches, after Gumbel's law of maxima.
Not the mean itself: a CUSUM's maxima reach so much further from theirs that beside EWMAs it would take all of the
error budget (simulated: 100 %, and so about 75 %)"""
BOUND = 4.0
"""standard deviations that count in full; of more, the logarithm"""
LEFT_OUT = 2
"""looks just before the newest that do not count as its baseline"""
ANCHOR = 3
"""first looks of a run, from which an anchored change is counted"""
NEAR = 3
"""looks to either side with which a look's spread is pooled"""
ROUNDING = 1e-4
"""what a signal without a grain reads must change by more than this part of itself: less is the machine's doing, since
sums in float32 in another order differ by 1e-6 to 1e-5 of themselves"""


@dataclass(frozen=True)
class Threshold:
    """Where a statistic becomes an alarm."""

    value: float
    alpha: float
    """the false-alarm rate for a whole clean run that `value` guarantees"""
    calibrated: bool
    reason: str
    """what the rate rests on, or why there is none"""


def percent(rate: float) -> str:
    """A rate above 0 in two digits, rounded up, so that what is at most that rate is at most what is said."""
    digits = 1 - math.floor(math.log10(rate)) if rate > 0 else 2
    return f"{min(1.0, math.ceil(round(rate * 10**digits, 6)) / 10**digits) * 100:.12g}%"


def constants(detector: str = "ewma") -> dict[str, Any]:
    """What decides a statistic besides its signal, for the recipe that a calibration holds for."""
    own = {"anchor": ANCHOR} if detector == "anchored" else {}
    return own | {
        "smoothing": SMOOTHING,
        "slack": SLACK,
        "tail": TAIL,
        "bound": BOUND,
        "beyond": "logarithm",
        "left_out": LEFT_OUT,
        "near": NEAR,
        "rounding": ROUNDING,
    }


def least(grain: float, sizes: Sequence[float]) -> float:
    """The smallest change that may count as a standard deviation: the signal's grain, where its author gave one.

    Otherwise what rounding alone may make of readings of these `sizes`; 0 for readings of nothing but 0.
    """
    return grain if grain > 0 else ROUNDING * float(np.median(np.abs(sizes)))


def change(contrasts: Sequence[float], detector: Detector = "ewma") -> float:
    """The newest contrast against the newer half of the run's own earlier looks, leaving out the `LEFT_OUT` before it.

    Against the first `ANCHOR` of them where the detector is anchored: otherwise a rise early in a run, that stays, is
    soon its own baseline.

    What differs between runs from the start is no alarm; what rises within one is, be it at once or over hundreds of
    steps. The older half has no say: what a run goes through as it begins would hide what comes later.
    """
    earlier = contrasts[: max(1, len(contrasts) - 1 - LEFT_OUT)]
    base = earlier[:ANCHOR] if detector == "anchored" else earlier[len(earlier) // 2 :]
    return contrasts[-1] - float(np.mean(base))


def changes(contrasts: Sequence[float], detector: Detector = "ewma") -> list[float]:
    """`change` at each look."""
    return [change(contrasts[: look + 1], detector) for look in range(len(contrasts))]


def standardise(reference: SignalReference, look: int, changed: float) -> float:
    """`changed` at look number `look` (from 0) in standard deviations over clean runs, those beyond ±4 by logarithm.

    Few looks of a run are wild in harmless runs, and in full they would decide its maximum. Cut off, they would all
    stand alike: a signal that comes so far in some harmless runs could not raise an alarm at all. Beyond the last
    reference look, the last one's mean and spread are used.
    """
    mean, spread = (held[min(look, len(held) - 1)] for held in (reference.mean, reference.spread))
    value = (changed - mean) / spread
    if abs(value) <= BOUND:
        return float(value)
    return math.copysign(BOUND * (1 + math.log(abs(value) / BOUND)), value)


def smooth(previous: float, value: float) -> float:
    """One EWMA step."""
    return SMOOTHING * value + (1 - SMOOTHING) * previous


def accumulate(previous: float, value: float, scale: float = 1.0) -> float:
    """One step of the upper CUSUM of `value` above `SLACK`, in units of `scale`; below 0 it starts again there."""
    return max(0.0, previous + (value - SLACK) / scale)


def advance(reference: SignalReference, previous: float, value: float) -> float:
    """A signal's statistic after one more standardised `value`, in multiples of its scale; `previous` starts at 0."""
    if reference.detector == "cusum":
        return accumulate(previous, value, reference.top)
    return smooth(previous, value / reference.top)


def statistics(reference: SignalReference, contrasts: Sequence[float]) -> list[float]:
    """A signal's statistic at each look: its change, standardised, gathered over looks and scaled."""
    return _gathered(reference, changes(contrasts, reference.detector))


def _gathered(reference: SignalReference, changed_by: Sequence[float]) -> list[float]:
    out: list[float] = []
    for look, changed in enumerate(changed_by):
        value = standardise(reference, look, changed)
        out.append(advance(reference, out[-1] if out else 0.0, value))
    return out


def threshold(maxima: Sequence[float], alpha: float, of: str = "clean") -> Threshold:
    """The smallest run-level threshold that `maxima` of harmless runs support at rate `alpha`; `of` names their arm.

    Raises WatchError when there are too few runs: alpha ≥ 1/(R+1) is needed.
    """
    check_alpha(alpha)
    runs = len(maxima)
    rank = int(np.floor(alpha * (runs + 1)))
    rank += (rank + 1) / (runs + 1) <= alpha  # .35 × 180 is a hair below 63
    if rank < 1:
        raise WatchError(
            f"a false-alarm rate of {alpha:g} needs at least {int(np.ceil(1 / alpha)) - 1} reference runs, got {runs}"
            f"{'' if of == 'clean' else f' of {of}'}",
            hint="run `darklantern watch calibrate` with more runs, or ask for a higher rate",
        )
    return Threshold(
        value=float(np.sort(maxima)[-rank]),
        alpha=rank / (runs + 1),
        calibrated=True,
        reason=f"{runs} {of} reference runs of this recipe",
    )


def strictest(maxima: Mapping[str, Sequence[float]], alpha: float) -> Threshold:
    """The largest of the thresholds of several harmless arms, so that the rate `alpha` holds in each of them.

    Its `alpha` is the highest of theirs. Raises WatchError when any has too few runs.
    """
    found = {of: threshold(held, alpha, of) for of, held in maxima.items()}
    highest = max(found, key=lambda of: found[of].value)
    reason = ", and ".join(limit.reason for limit in found.values())
    return Threshold(
        value=found[highest].value,
        alpha=max(limit.alpha for limit in found.values()),
        calibrated=True,
        reason=reason if len(found) == 1 else f"{reason}; {highest} comes highest",
    )


def limits(
    references: References, recipe: str, data: str, alpha: float, every: int | None = None
) -> dict[str, Threshold]:
    """The joint threshold and one for each behavioural monitor, as they hold for a run of `recipe` on `data`.

    For another recipe or text, or looks at another cadence than `every` steps where both are known, the numbers stay
    and the claim goes: the threshold says "uncalibrated".
    """
    doubt = ""
    if recipe != references.recipe:
        doubt = "the reference runs are of another recipe"
    elif data != references.data:
        doubt = "the reference runs trained on another text"
    elif not references.steps:
        doubt = "the references do not say at which steps they looked"
    elif every is not None and references.every is not None and every != references.every:
        doubt = f"the reference runs were looked at every {references.every} steps, this one every {every}"
    found = {"joint": strictest({"clean": references.maxima} | {s.name: s.maxima for s in references.strata}, alpha)}
    found |= {name: strictest(_behaved(references, name), alpha) for name in references.behaviours}
    if doubt:
        found = {name: Threshold(t.value, float("nan"), False, doubt) for name, t in found.items()}
    return found


def split(alpha: float, shares: Mapping[str, float]) -> dict[str, float]:
    """Each detector's part of the false-alarm rate `alpha`, in proportion to `shares`; together at most `alpha`.

    By the union bound the rate of any alarm in a clean run is then at most `alpha`, however they depend on each other.
    """
    check_alpha(alpha)
    if not shares or not all(math.isfinite(share) and share > 0 for share in shares.values()):
        raise WatchError(
            f"expected a share above 0 for each detector, got {dict(shares)}", hint="leave out what is to get nothing"
        )
    whole = math.fsum(shares.values())
    parts = {name: alpha * (share / whole) for name, share in shares.items()}
    while math.fsum(parts.values()) > alpha:  # rounding: one last bit each
        parts = {name: math.nextafter(part, 0.0) for name, part in parts.items()}
    return parts


def summarise(name: str, grain: float, runs: Sequence[Sequence[float]], detector: Detector = "ewma") -> SignalReference:
    """Mean and spread by look of one signal's change over clean `runs`, and its scale.

    The spread is pooled over `NEAR` looks to either side, since a few runs say little about one look, and at least
    `grain` (see `least`): a signal is restless as training begins, and what is ordinary there is not ordinary later.

    The scale is what the highest value of `detector` comes to in about one of twenty such runs, at least one standard
    deviation of the signal.
    """
    table = np.array([changes(run, detector) for run in runs])
    variance = table.var(axis=0, ddof=1)
    near = [float(np.sqrt(variance[max(0, at - NEAR) : at + NEAR + 1].mean())) for at in range(len(variance))]
    # A stretch in which nothing moved in any run is as quiet as the quietest one where something did.
    lowest = max(min((each for each in near if each > 0), default=0.0), grain)
    if lowest == 0:
        raise WatchError(
            f"signal {name!r} never changed in {len(runs)} clean runs, so nothing says what is unusual",
            hint="give the signal a grain, the smallest change worth a standard deviation",
        )
    mean = tuple(float(m) for m in table.mean(axis=0))
    spread = tuple(max(each, lowest) for each in near)
    bare = SignalReference(name=name, mean=mean, spread=spread, detector=detector)
    highest = [max(_gathered(bare, run)) for run in table.tolist()]
    top = float(np.mean(highest) + TAIL * np.std(highest, ddof=1))
    return msgspec.structs.replace(bare, top=max(1.0, top))


def first_crossing(steps: Sequence[int], values: Sequence[float], limit: float) -> int | None:
    """The first step at which a statistic exceeds its threshold."""
    return next((step for step, value in zip(steps, values, strict=True) if value > limit), None)


def rise_began(values: Sequence[float], quiet: float) -> int:
    """Index of the last look at which the statistic was still at or below `quiet`; −1 if never."""
    return max((i for i, value in enumerate(values) if value <= quiet), default=-1)


def _behaved(references: References, name: str) -> Mapping[str, Sequence[float]]:
    missing = [stratum.name for stratum in references.strata if name not in stratum.behaviours]
    if missing:
        raise WatchError(
            f"the references have no maxima of {name!r} in runs of {', '.join(missing)}",
            hint="make them anew with `darklantern watch calibrate`: each arm needs those of all monitors",
        )
    return {"clean": references.behaviours[name]} | {s.name: s.behaviours[name] for s in references.strata}


def check_alpha(alpha: float) -> None:
    """Raise WatchError for a rate that is no probability between 0 and 1."""
    if not 0 < alpha < 1:
        raise WatchError(f"expected a false-alarm rate between 0 and 1, got {alpha:g}", hint="for example alpha=0.05")
