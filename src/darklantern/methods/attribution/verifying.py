"""Scores against the truth: the strongest cells and some at random, patched one at a time."""

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.attribution.attributions import Attribution
from darklantern.methods.attribution.verified import Verified
from darklantern.methods.making import making
from darklantern.methods.patching.cells import cell, flat
from darklantern.models.shim import without_gradients


def verified(scores: Attribution, n: int, seed: int) -> Verified:
    """Exact effects of the strongest `n / 2` cells, and of as many of the others, drawn by `seed`."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise MethodError(f"expected 2 or more cells to verify, got {n!r}", hint="verify(40)")
    means = scores.means()
    values = flat(means)
    order = np.argsort(-np.abs(values), kind="stable")
    top, rest = order[: n - n // 2], order[n - n // 2 :]
    drawn = np.random.default_rng(seed).permutation(rest)[: n // 2]
    places = [int(place) for place in (*top, *drawn)]
    cells = [cell(means, place) for place in places]
    with without_gradients(), making("attribute.verify", scores.question.model, seed) as under_way:
        effects = scores.question.effects(cells, under_way)
    return Verified(
        name=scores.name,
        sites=tuple(cells),
        attributed=tuple(values[places].tolist()),
        exact=tuple(effects.tolist()),
        strongest=len(top),
        others=len(rest),
        made=under_way.made(),
    )
