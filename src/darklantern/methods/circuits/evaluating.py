"""How much of a behaviour a circuit makes by itself."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.circuits.circuit import Circuit
from darklantern.methods.circuits.contrasts import Contrast, checked, contrasts
from darklantern.methods.circuits.curve import FRACTIONS, Faithfulness
from darklantern.methods.circuits.running import Elsewhere, averaged, corrupted, nothing, run_circuit
from darklantern.methods.circuits.scores import EdgeScores
from darklantern.methods.circuits.selecting import select
from darklantern.methods.making import making
from darklantern.methods.metrics import number
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.held import held, seen
from darklantern.methods.patching.wiring import Wiring
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.shim import without_gradients

ABLATIONS: dict[str, Callable[[Wiring, Recording], Elsewhere]] = {
    "corrupt": corrupted, "mean": averaged, "zero": nothing,
}  # fmt: skip
"""what is heard over edges that are not kept"""


@dataclass(frozen=True)
class Measured:
    """The metric on each contrast, of the whole model, without any edge, and of each circuit."""

    whole: NDArray[np.float64]
    none: NDArray[np.float64]
    circuits: NDArray[np.float64]
    """(contrast, circuit)"""

    @property
    def faithfulness(self) -> NDArray[np.float64]:
        """Of each circuit, the share of the metric's whole difference. Raises MethodError where there is none."""
        whole, none = self.whole.mean(), self.none.mean()
        if not np.isfinite(whole - none) or whole == none:
            raise MethodError(
                f"the metric is {whole:g} of the whole model and {none:g} without any edge",
                hint="shares of their difference take finite numbers that differ: another ablation, or other data",
            )
        shares: NDArray[np.float64] = (self.circuits.mean(axis=0) - none) / (whole - none)
        return shares + 0.0  # no negative zero


def evaluate(
    model: Model,
    scores: EdgeScores,
    data: Contrast | Iterable[Contrast],
    fractions: Sequence[float] = FRACTIONS,
    ablation: str = "corrupt",
    connected: bool = True,
    draws: int = 1000,
    seed: int = 0,
) -> Faithfulness:
    """How faithful the circuits are that `scores` choose, of so many `fractions` of all edges each.

    Each circuit is run for real: every receiver hears its kept senders as they are in this run, all others as in the
    corrupt run (`corrupt`), as their mean over the corrupt examples (`mean`), or as zeros (`zero`). Faithfulness is
    (metric of the circuit - without any edge) / (of the whole model - without any edge). CPR is the area under it over
    the fractions as they were asked for, CMD that between it and 1. Their intervals, of 95 %, are over `draws`
    bootstrap samples of the contrasts, drawn with `seed`; so give data as many small contrasts, and others than the
    scores are from. There are none where samples have no behaviour to share, or the opposite one.

    Costs, for each contrast and fraction, about a run for each set of senders that receivers of one part hear.
    Source: Mueller et al. 2025, MIB. Raises MethodError for no data, and where there is no difference to share.
    """
    check_opened(model)
    places = sorted(set(fractions))
    if not places or not 0 < places[0] <= places[-1] <= 1 or len(places) < 2:
        raise MethodError(f"fractions {list(fractions)}", hint="two at least, above 0 and up to 1")
    count = len(scores.edges)
    chosen = [select(scores, max(1, round(share * count)), connected and share < 1) for share in places]
    with making("evaluate", model, seed) as under_way:
        found = measured(model, chosen, data, ablation, under_way.saw)
    return Faithfulness(
        how=scores.how,
        ablation=ablation,
        fractions=tuple(places),
        edges=tuple(map(len, chosen)),
        whole=tuple(found.whole.tolist()),
        none=tuple(found.none.tolist()),
        metrics=tuple(map(tuple, found.circuits.tolist())),
        faithfulness=tuple(found.faithfulness.tolist()),
        draws=draws,
        made=under_way.made(),
    )


def faithfulness(
    model: Model, circuit: Circuit, data: Contrast | Iterable[Contrast], ablation: str = "corrupt"
) -> Circuit:
    """`circuit`, with how much of the behaviour it makes by itself; `evaluate` says how that is measured.

    `ablation` is what the other edges hand on: `corrupt`, `mean` or `zero`, as `evaluate` has it. Raises MethodError
    for another.
    """
    check_opened(model)
    with making("faithfulness", model) as under_way:
        found = measured(model, [circuit], data, ablation, under_way.saw)
    return replace(circuit, faithfulness=float(found.faithfulness[0]), made=under_way.made())


def minimal(
    model: Model,
    scores: EdgeScores,
    data: Contrast | Iterable[Contrast],
    faithfulness: float = 0.9,
    ablation: str = "corrupt",
) -> Circuit:
    """A smallest connected circuit that makes a share `faithfulness` of the behaviour, in the order of `scores`.

    Found by halving, which is the smallest where more edges are never less faithful. Costs log2(edges) evaluations of
    one circuit on all of `data`, which are held as a list. Raises MethodError for a share not in (0, 1].
    """
    check_opened(model)
    if not 0 < faithfulness <= 1:
        raise MethodError(f"expected a share of the behaviour, got {faithfulness}", hint="above 0 and at most 1")
    with making("minimal", model) as under_way:
        each = [checked(model, given) for given in contrasts(data)]
        for contrast in each:
            under_way.saw(contrast.clean, contrast.corrupt)
        low, high = 0, len(scores.edges)
        best = select(scores, high, connected=False), 1.0
        while high - low > 1:
            middle = (low + high) // 2
            circuit = select(scores, middle)
            share = float(measured(model, [circuit], each, ablation).faithfulness[0])
            if share >= faithfulness:
                high, best = middle, (circuit, share)
            else:
                low = middle
    return replace(best[0], faithfulness=best[1], made=under_way.made())


@without_gradients()
def measured(
    model: Model,
    circuits: Sequence[Circuit],
    data: Contrast | Iterable[Contrast],
    ablation: str,
    saw: Callable[[Any, Any], None] | None = None,
) -> Measured:
    """The metric of each circuit on all of `data`."""
    if ablation not in ABLATIONS:
        raise MethodError(f"cannot ablate by {ablation!r}", hint=f"one of {', '.join(ABLATIONS)}")
    wiring = circuits[0].wiring
    rows: list[list[float]] = []
    for given in tracked(contrasts(data), "contrasts"):
        contrast = checked(model, given)
        if saw is not None:
            saw(contrast.clean, contrast.corrupt)
        here = held(model, contrast.clean, wiring, len(circuits) * 2 * len(wiring.parts))
        elsewhere = ABLATIONS[ablation](wiring, model.record(contrast.corrupt, *seen(wiring)))
        metric = contrast.bound(model)
        empty = replace(circuits[0], kept=np.zeros_like(circuits[0].kept))
        runs = (run_circuit(here, elsewhere, each) for each in (empty, *circuits))
        rows.append([number(metric, here.plain.output), *(number(metric, output) for output in runs)])
    if not rows:
        raise MethodError("no data to run a circuit on", hint="one Contrast at least")
    table = np.array(rows)
    return Measured(table[:, 0], table[:, 1], table[:, 2:])
