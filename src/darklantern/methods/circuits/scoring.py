"""How much each edge of a model matters for a behaviour."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.circuits.attributing import attribution
from darklantern.methods.circuits.contrasts import Contrast, checked, contrasts
from darklantern.methods.circuits.exact import patched
from darklantern.methods.circuits.ranks import ranks
from darklantern.methods.circuits.receiving import receiving
from darklantern.methods.circuits.saying import Scored
from darklantern.methods.circuits.scores import EdgeScores, frozen
from darklantern.methods.making import Made, making
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.tracing import wired
from darklantern.methods.patching.wiring import Wiring
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model

RECEIVERS = "eap-ig-receivers"
GRADIENTS = ("eap", "eap-ig", "relp", RECEIVERS)
HOW = ("exact", *GRADIENTS, "ensemble")


def edge_scores(model: Model, data: Contrast | Iterable[Contrast], how: str = "eap-ig", steps: int = 5) -> EdgeScores:
    """What each edge adds to the metric: how much that loses where this one edge carries the corrupt run's word.

    An edge leads from what writes into the residual stream (the embedding, a head, an MLP) to what reads it (a head's
    queries, keys or values, an MLP, the logits), at all positions together. Which there are is told by the model's own
    sites and two of its runs. `data` is a Contrast or any iterable of them; scores are their mean, each counting once.

    - `exact`: each edge patched in a run of its own.
    - `eap`: to first order in the clean run, (sender clean - corrupt) · gradient at the receiver's input.
    - `eap-ig`: that gradient's mean on the straight way between both embeddings, `steps` points of Gauss and Legendre.
    - `eap-ig-receivers`: the same mean on a way of each receiver's own, its input going from the corrupt run's to the
      clean one's, all else clean: nearest to `exact`, for a number of gradients that grows with layers, not edges.
    - `relp`: as eap in the model linearised with attention, norms and activations frozen, so queries and keys get 0.
    - `ensemble`: the mean rank by size over eap, eap-ig and relp, from 0 to 1, with eap-ig's sign.

    All but `relp` and `ensemble` are exact in a linear network, `relp` too where attention is fixed.

    Costs, for each Contrast: eap and relp two runs forward and one back; eap-ig two and `steps` gradients;
    eap-ig-receivers `steps` gradients for each MLP, for the queries, the keys and the values of each attention, all its
    heads at once, and for the logits, each from its own block on; exact a run for each edge and a partial one for each
    sender and attention or MLP. Once for all of them come the wiring's few runs, and as many as it takes to hold
    dim + 1 positions, in which queries', keys' and values' maps are read off.
    Memory: what each head adds to the stream, in two runs, and the gradients there.

    Sources: Syed et al. 2023, Attribution Patching Outperforms Automated Circuit Discovery; Hanna et al. 2024, Have
    Faith in Faithfulness; Jafari et al. 2025, RelP; Zhang et al. 2025 for ensembles (arXiv 2510.06811).

    Raises MethodError for another `how`, no data, data whose metric does not differ, and a model that is not wired so.
    """
    check_opened(model)
    scorer = Scorer(model, how, steps)
    with making(f"edge_scores: {how}", model) as under_way:
        found: list[Scored] = []
        for each in tracked(contrasts(data), "contrasts"):
            contrast = checked(model, each)
            under_way.saw(contrast.clean, contrast.corrupt)
            found.append(scorer.score(contrast))
    return gathered(scorer, found, under_way.made())


@dataclass
class Scorer:
    """Scores one model's edges, a contrast at a time; how it is wired, the first one shows."""

    model: Model
    how: str
    steps: int = 5
    idle: bool = False
    """whether the model may be without the behaviour, its metric the same on clean and corrupt inputs"""
    wiring: Wiring | None = None
    ways: Sequence[Callable[[Contrast], Scored]] = ()

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise MethodError(f"cannot score by {self.how!r}", hint=f"one of {', '.join(HOW)}")
        if self.steps < 1:
            raise MethodError(f"{self.steps} steps on the way", hint="5 are enough for most models")

    def score(self, contrast: Contrast) -> Scored:
        """Of one contrast; costs what `edge_scores` says."""
        if self.wiring is None:
            self.wiring = wired(self.model, contrast.clean, contrast.corrupt)
            self.ways = self._ways(contrast, self.wiring)
        return _ranked(self.wiring, [way(contrast) for way in self.ways])

    def _ways(self, contrast: Contrast, wiring: Wiring) -> list[Callable[[Contrast], Scored]]:
        if self.how == "exact":
            return [partial(patched, self.model, wiring, idle=self.idle)]
        if self.how == RECEIVERS:
            return [receiving(self.model, contrast, wiring, self.steps, self.idle).score]
        asked = ("eap-ig", "eap", "relp") if self.how == "ensemble" else (self.how,)
        return [attribution(self.model, contrast, wiring, each, self.steps, self.idle).score for each in asked]


def gathered(scorer: Scorer, found: Sequence[Scored], made: Made) -> EdgeScores:
    """Scores of all contrasts as one result. Raises MethodError for none."""
    if scorer.wiring is None:
        raise MethodError("no data to score edges on", hint="one Contrast at least")
    tables, high, low = (np.array(each) for each in zip(*found, strict=True))
    return EdgeScores(
        wiring=scorer.wiring,
        how=scorer.how,
        tables=frozen(tables),
        clean=float(high.mean()),
        corrupt=float(low.mean()),
        made=made,
    )


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
