"""Edges of both checkpoints scored on the same contrasts, and their differences held against other draws of data."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darklantern.counted import counted
from darklantern.errors import MethodError
from darklantern.methods.circuits.contrasts import Contrast, checked, contrasts
from darklantern.methods.circuits.saying import Scored
from darklantern.methods.circuits.scores import EdgeScores
from darklantern.methods.circuits.scoring import Scorer, gathered
from darklantern.methods.diffs.chances import chances
from darklantern.methods.diffs.rewired import LEVEL, CircuitDiff
from darklantern.methods.making import Making
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model

FEWEST = 4
"""contrasts: of fewer, the rarest outcome of chance is commoner than 5 %"""


def rewired(
    before: Model,
    after: Model,
    given: Contrast | Iterable[Contrast],
    how: str,
    least: float,
    seed: int,
    under_way: Making,
) -> CircuitDiff:
    """See `diff`. Raises MethodError for too few contrasts, and for models that are wired differently."""
    _check_asked(how, least)
    scorers = [Scorer(model, how, idle=True) for model in (before, after)]
    found: tuple[list[Scored], list[Scored]] = ([], [])
    for each in tracked(contrasts(given), "contrasts"):
        contrast = checked(before, each)
        under_way.saw(contrast.clean, contrast.corrupt)
        for scorer, mine in zip(scorers, found, strict=True):
            mine.append(scorer.score(contrast))
    _check_found(scorers, found)
    made = replace(under_way.made(), method=f"diff: edges by {how}")
    mades = (made, replace(made, model=after.hash_later()))
    one, two = (gathered(*each) for each in zip(scorers, found, mades, strict=True))
    behaviour = max(float(np.mean([abs(high - low) for _, high, low in each])) for each in found)
    if not behaviour:
        raise MethodError(
            "clean and corrupt inputs give the same metric in both models, so no edge carries anything",
            hint="choose inputs between which the behaviour of one of them differs",
        )
    return CircuitDiff(one, two, _chances(one, two, least * behaviour, seed), least * behaviour)


def _chances(before: EdgeScores, after: EdgeScores, least: float, seed: int) -> NDArray[np.float64]:
    one, two = (scores.tables[:, *scores.wiring.edges] for scores in (before, after))
    # Where the mean is `least` on one side, the root mean square over both is at least this; which side is which does
    # not enter it, so that leaving the others out costs no false claims, and leaves fewer to choose among.
    strong = np.sqrt((np.concatenate([one, two]) ** 2).mean(0)) >= least / math.sqrt(2)
    found = np.ones(len(strong))
    found[strong] = chances(one[:, strong], two[:, strong], seed)
    return found


def _check_asked(how: str, least: float) -> None:
    if how == "ensemble":
        raise MethodError(
            "ranks of edges in two models say nothing of how strong they are", hint='how="eap-ig", or "exact"'
        )
    if not 0 < least < 1:
        raise MethodError(f"least is a share of the behaviour, between 0 and 1, got {least}", hint="least=0.01")


def _check_found(scorers: Sequence[Scorer], found: tuple[list[Scored], list[Scored]]) -> None:
    if (count := len(found[0])) < FEWEST:
        raise MethodError(
            f"{counted(count, 'contrast')} shows nothing of how edges vary with the data: {FEWEST} are the "
            f"least for an error of {LEVEL:.0%}",
            hint="contrast=[darklantern.Contrast(clean, corrupt, metric) for each pair of prompts]",
        )
    one, two = (scorer.wiring for scorer in scorers)
    assert one and two  # something was scored
    if (one.senders, one.receivers) != (two.senders, two.receivers):
        raise MethodError("the two models are wired differently", hint="two checkpoints of one model")
    if not all(np.isfinite(table).all() for each in found for table, _, _ in each):
        raise MethodError("some scores are no finite numbers", hint="was the metric finite on all data?")
