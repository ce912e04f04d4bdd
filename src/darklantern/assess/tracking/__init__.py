"""The track record: what raters expected, what became of it, and how far they agree.

In: forecasts and follow-ups, and raters' answers over many findings. Out: which follow-ups are due, scores against a
base rate, alphas with intervals, counts of what happened, and how many it would take to tell more.

Nothing here enters a level. Nothing says "calibrated" or "reliable" without an interval, and an unknown outcome is
never counted as one that did not happen.
"""

from darklantern.assess.tracking.agreement import Agreement, agreement, alpha, ranks
from darklantern.assess.tracking.calibration import Calibration, Murphy, brier, calibration, murphy
from darklantern.assess.tracking.due import Asked, asked
from darklantern.assess.tracking.history import SELECTIVE, Count, history, resolved_pairs
from darklantern.assess.tracking.pooling import Shrunk, pooled, rater_weights, shrunk
from darklantern.assess.tracking.simulating import (
    Disagreement,
    Levels,
    alpha_width,
    disagreement,
    every_level,
    power,
    resolved_for,
)

__all__ = [
    "SELECTIVE",
    "Agreement",
    "Asked",
    "Calibration",
    "Count",
    "Disagreement",
    "Levels",
    "Murphy",
    "Shrunk",
    "agreement",
    "alpha",
    "alpha_width",
    "asked",
    "brier",
    "calibration",
    "disagreement",
    "every_level",
    "history",
    "murphy",
    "pooled",
    "power",
    "ranks",
    "rater_weights",
    "resolved_for",
    "resolved_pairs",
    "shrunk",
]
