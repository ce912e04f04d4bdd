"""How much each edge of a model matters for a behaviour."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.circuits.attributing import Scored, attribution
from darklantern.methods.circuits.contrasts import Contrast, checked, contrasts
from darklantern.methods.circuits.exact import patched
from darklantern.methods.circuits.ranks import ranks
from darklantern.methods.circuits.scores import EdgeScores, frozen
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.tracing import wired
from darklantern.methods.patching.wiring import Wiring
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model

GRADIENTS = ("eap", "eap-ig", "relp")
HOW = ("exact", *GRADIENTS, "ensemble")


def edge_scores(model: Model, data: Contrast | Iterable[Contrast], how: str = "eap-ig", steps: int = 5) -> EdgeScores:
    """What each edge adds to the metric: how much that loses where this one edge carries the corrupt run's word.

    An edge leads from what writes into the residual stream (the embedding, a head, an MLP) to what reads it (a head's
    queries, keys or values, an MLP, the logits), at all positions together. Which there are is told by the model's own
    sites and two of its runs. `data` is a Contrast or any iterable of them; scores are their mean, each counting once.

    - `exact`: each edge patched in a run of its own.
    - `eap`: to first order in the clean run, (sender clean - corrupt) · gradient at the receiver's input.
    - `eap-ig`: that gradient's mean on the straight way between both embeddings, `steps` points of Gauss and Legendre.
    - `relp`: as eap in the model linearised with attention, norms and activations frozen, so queries and keys get 0.
    - `ensemble`: the mean rank by size over eap, eap-ig and relp, from 0 to 1, with eap-ig's sign.

    All but `relp` and `ensemble` are exact in a linear network, `relp` too where attention is fixed.

    Costs, for each Contrast: eap and relp two runs forward and one back; eap-ig two and `steps` gradients; exact a run
    for each edge and a partial one for each sender and attention or MLP. Once for all of them come the wiring's few
    runs, and as many as it takes to hold dim + 1 positions, in which queries', keys' and values' maps are read off.
    Memory: what each head adds to the stream, in two runs, and the gradients there.

    Sources: Syed et al. 2023, Attribution Patching Outperforms Automated Circuit Discovery; Hanna et al. 2024, Have
    Faith in Faithfulness; Jafari et al. 2025, RelP; Zhang et al. 2025 for ensembles (arXiv 2510.06811).

    Raises MethodError for another `how`, no data, data whose metric does not differ, and a model that is not wired so.
    """
    check_opened(model)
    if how not in HOW:
        raise MethodError(f"cannot score by {how!r}", hint=f"one of {', '.join(HOW)}")
    if steps < 1:
        raise MethodError(f"{steps} steps on the way", hint="5 are enough for most models")
    with making(f"edge_scores: {how}", model) as under_way:
        found: list[Scored] = []
        wiring: Wiring | None = None
        ways: list[Callable[[Contrast], Scored]] = []
        for each in tracked(contrasts(data), "contrasts"):
            contrast = checked(each)
            under_way.saw(contrast.clean, contrast.corrupt)
            if wiring is None:
                wiring = wired(model, contrast.clean, contrast.corrupt)
                ways = _ways(model, contrast, wiring, how, steps)
            found.append(_ranked(wiring, [way(contrast) for way in ways]))
    if wiring is None:
        raise MethodError("no data to score edges on", hint="one Contrast at least")
    tables, high, low = (np.array(each) for each in zip(*found, strict=True))
    return EdgeScores(
        wiring=wiring,
        how=how,
        tables=frozen(tables),
        clean=float(high.mean()),
        corrupt=float(low.mean()),
        made=under_way.made(),
    )


def _ways(model: Model, contrast: Contrast, wiring: Wiring, how: str, steps: int) -> list[Callable[[Contrast], Scored]]:
    if how == "exact":
        return [partial(patched, model, wiring)]
    asked = ("eap-ig", "eap", "relp") if how == "ensemble" else (how,)
    return [attribution(model, contrast, wiring, each, steps).score for each in asked]


def _ranked(wiring: Wiring, found: Sequence[Scored]) -> Scored:
    """What was found, or, of several, the mean of their ranks with the first one's sign."""
    first, high, low = found[0]
    if len(found) == 1:
        return found[0]
    there = wiring.edges
    places = np.mean([ranks(np.abs(table[there])) for table, _, _ in found], axis=0)
    made = np.zeros_like(first)
    made[there] = np.sign(first[there]) * (places - 1) / max(len(places) - 1, 1)
    return made, high, low
