"""A track record as pictures: how often it happened where so much was stated, and how far raters agree."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from darklantern.assess.bounds import Trials, wilson
from darklantern.assess.tracking.agreement import Agreement
from darklantern.assess.tracking.calibration import calibration
from darklantern.drawing import Bar, bars
from darklantern.models.picture import Picture

EDGES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
"""of the bins of stated probabilities: finer where most of them are"""


def reliability(stated: ArrayLike, happened: ArrayLike, base_rate: float) -> Picture:
    """How often it happened in each bin of stated probabilities, with Wilson's 95 %; grey, what was stated on average.

    Raises AssessmentError as `calibration` does.
    """
    said, true = (np.asarray(each, dtype=np.float64) for each in (stated, happened))
    found = calibration(said, true, base_rate)
    items = []
    for low, high in pairwise(EDGES):
        inside = (said >= low) & ((said < high) | (high == EDGES[-1]))
        if inside.any():
            share, count = float(true[inside].mean()), int(inside.sum())
            label = f"stated {low:.0%} to {high:.0%} ({count})"
            items.append(Bar(label=label, value=share, interval=wilson(Trials(int(true[inside].sum()), count))))
            items.append(Bar(label="stated, on average", value=float(said[inside].mean()), control=True))
    title = "How often it happened, by what was stated"
    note = "Whiskers: 95 %. Grey, what was stated; where the whiskers hold it, nothing speaks against it."
    return Picture(bars(items, title=title, unit="share", note=note), title, found.says)


def by_criterion(found: Mapping[str, Agreement], names: Mapping[str, str]) -> Picture:
    """Alpha of each criterion with its interval, in the order given; those that have none are named in the note."""
    drawn: Sequence[tuple[str, Agreement]] = [(code, each) for code, each in found.items() if each.alpha is not None]
    items = [
        Bar(label=f"{code} {names[code]} ({each.items})", value=each.alpha, interval=(each.low, each.high))
        for code, each in drawn
        if each.alpha is not None and each.low is not None and each.high is not None
    ]
    none = [code for code, each in found.items() if each.alpha is None]
    note = "Krippendorff's alpha, ordinal; whiskers: 95 %, over items. 1: always agreed, 0: as by chance."
    note += f" None for {', '.join(none)}." if none else ""
    title = "How far raters agree"
    return Picture(
        bars(items, title=title, note=note), title, "; ".join(f"{c}: {each.says}" for c, each in found.items())
    )
