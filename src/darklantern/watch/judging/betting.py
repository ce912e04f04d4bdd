"""A bet, look by look, that training rows stand out from trusted rows. Pure: scores in, wealth out.

At a look, n training rows (scored BEFORE the update that trains on them) and n trusted rows, all fresh, get one
anomaly score each under the same weights. For the k highest of the 2n,

    d = (training rows among them − trusted rows among them) / k   ∈ [−1, 1]

and a stake λ multiplies its wealth by 1 + λd. Why no run of harmless rows makes it rich:

    Given the past (weights, wealth so far), swapping all training with all trusted rows leaves the law of the look
    as it is and turns d into −d, so E[d | past] = 0 and the factor 1 + λd > 0 has expectation 1, for each λ and k.
    A product of such factors is a nonnegative martingale from 1, and so is any mean of them with fixed weights.

Nothing else is asked: neither independence between looks nor a law that stays, since what training does to all
rows cancels. What it does need is rows drawn afresh from one law: rows seen before (memorised), one trusted set
used again and again, a scale of the score taken from the trusted half alone, or a screen put on one side only
break it.

Ville, Étude critique de la notion de collectif (1939): P(wealth ever ≥ 1/α) ≤ α.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.records.exact import Value
from darklantern.watch.judging.detectors import Threshold, check_alpha

Floats = NDArray[np.float64]

STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""λ. One alone is too timid or too bold for most rates; the mean over them loses at most a factor of their number"""
TOPS = (1, 2, 4, 8, 16)
"""k: few poisoned rows show at the very top, many further down"""


class Bet(Value, frozen=True, kw_only=True):
    """The state of a bet after so many looks. Keep one for each look, and a rollback can go back to any."""

    stakes: tuple[Annotated[float, msgspec.Meta(gt=0, lt=1)], ...]
    tops: tuple[Annotated[int, msgspec.Meta(ge=1)], ...]
    logs: tuple[float, ...]
    """for each stake, for each top: log W, in nats"""
    looks: int = 0
    idle: int = 0
    """looks that left the wealth as it was"""
    said: str = ""
    """why the newest look did, if it did"""

    @property
    def log_wealth(self) -> float:
        """log of the mean over stakes and tops of W, an e-value at each look, in nats: the curve to draw."""
        highest = max(self.logs)
        return highest + math.log(math.fsum(math.exp(each - highest) for each in self.logs) / len(self.logs))


def start(stakes: Sequence[float] = STAKES, tops: Sequence[int] = TOPS) -> Bet:
    """A bet before its first look, in equal parts over `stakes` (0 < λ < 1) and `tops` (k ≥ 1 rows).

    Raises WatchError for a stake that could lose all, or none.
    """
    if not stakes or not tops or not all(0 < stake < 1 for stake in stakes) or any(top < 1 for top in tops):
        raise WatchError(
            f"expected stakes between 0 and 1 and tops of at least 1 row, got {tuple(stakes)} and {tuple(tops)}",
            hint="betting.STAKES and betting.TOPS do for most",
        )
    return Bet(
        stakes=tuple(float(stake) for stake in stakes),
        tops=tuple(int(top) for top in tops),
        logs=(0.0,) * (len(stakes) * len(tops)),
    )


def look(bet: Bet, training: Sequence[float], trusted: Sequence[float]) -> Bet:
    """`bet` after one more look at scores of fresh rows, higher being stranger.

    Without as many trusted rows as training rows nothing is symmetric, so that look is left out (wealth stays: a
    factor of 1), and `said` says so. Raises WatchError for a score that is no finite number.
    """
    ours, theirs = _scores(training, "training"), _scores(trusted, "trusted")
    if not len(ours) or len(ours) != len(theirs):
        said = f"{len(ours)} training and {len(theirs)} trusted rows: no bet without as many of each"
        return msgspec.structs.replace(bet, looks=bet.looks + 1, idle=bet.idle + 1, said=said)
    leans = [lean(ours, theirs, top) for top in bet.tops]
    gains = [math.log1p(stake * d) for stake in bet.stakes for d in leans]
    grown = tuple(held + gain for held, gain in zip(bet.logs, gains, strict=True))
    return msgspec.structs.replace(bet, logs=grown, looks=bet.looks + 1, said="")


def lean(training: Floats, trusted: Floats, top: int) -> float:
    """d: how far the `top` highest of the pooled scores lean to the training rows, from −1 to 1.

    Rows tied at the edge count in part, each as much as a fair draw among them would on average: so swapping the two
    sides gives exactly −d, with no chance of its own. 0 when `top` takes in all rows.
    """
    pooled = np.sort(np.concatenate([training, trusted]))[::-1]
    top = min(top, len(pooled))
    edge = pooled[top - 1]
    above = int((training > edge).sum()), int((trusted > edge).sum())
    tied = int((training == edge).sum()), int((trusted == edge).sum())
    left = top - sum(above)
    return (above[0] - above[1] + left * (tied[0] - tied[1]) / sum(tied)) / top


def limit(alpha: float) -> Threshold:
    """Where `log_wealth` becomes an alarm: at most `alpha` of harmless runs ever do, however long they are.

    No reference runs are needed.
    """
    check_alpha(alpha)
    return Threshold(math.log(1 / alpha), alpha, True, "a bet on fresh rows against trusted rows (Ville)")


def _scores(rows: Sequence[float], side: str) -> Floats:
    scores = np.asarray(rows, dtype=np.float64)
    if scores.ndim != 1:
        raise WatchError(f"expected one score for each {side} row, got shape {scores.shape}", hint="one number a row")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise WatchError(
            f"{bad} of {len(scores)} scores of {side} rows are no finite numbers, so no order says which are highest",
            hint="look at the model's outputs on these rows: training may have diverged",
        )
    return scores
