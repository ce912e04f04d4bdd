"""Tier I1: has an embedding of residues become a few waves, and do neurons add by them?"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.formulas import Floats
from darklantern.watch.policies.fourier import check_period, gini, in_phase, powers, purity
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen

SHUFFLES = 4
"""orders of the residues that make the placebo"""
_OTHERS = "with its residues in other orders"
_SOURCE = "Nanda et al. (2023)"

# All three creep: in the first steps any table of sums gives each neuron some of a wave, also one that is only ever
# memorised. What tells a circuit that takes over is that it goes on growing, which a CUSUM adds up, and grains are such
# that what memorising brings in its first hundred steps comes to a few of them.
_GINI = Signal(
    "Fourier Gini",
    "I1",
    "signal",
    "Gini coefficient",
    "Gini coefficient of the norms of an embedding's frequencies over the residues",
    grain=0.03,
    placebo=f"the same embedding {_OTHERS}",
    source=_SOURCE,
    cost="0F; p · d · log p",
    detector="cusum",
)
_READOUT = Signal(
    "Fourier readout",
    "I1",
    "signal",
    "share",
    "of the power of all neurons' weights to classes, the share at each neuron's strongest frequency",
    grain=0.04,
    placebo=f"the same readout {_OTHERS}",
    source=f"after {_SOURCE}: each neuron has one frequency",
    cost="0F; p · neurons · log p",
    detector="cusum",
)
_SUM = Signal(
    "sum circuit",
    "I1",
    "signal",
    "share",
    "of the power of all neurons' weights to classes, the share at the frequency that each neuron reads most, in "
    "phase with a + b (out of phase counts against it)",
    grain=0.08,
    placebo=f"the same neurons {_OTHERS}",
    source=f"after {_SOURCE}: cos w(a + b) from products of cos wa, sin wa, cos wb and sin wb",
    cost="0F; p · neurons · log p",
    detector="cusum",
)


class FourierProbe(Probe):
    """The Fourier norms of an embedding, and of what neurons read from it and write to classes. Weights alone: no row.

    `weight` is the embedding, a parameter or a pattern of one; `axis` is the one of the residues, of which the first
    `period` rows count. `up` (neurons, dim) are the neurons' weights over the embedding and `readout` (classes,
    neurons) theirs to the answers, as torch's Linear holds them, all three by their full names: with them there are
    two more signals. The placebo are the same weights with the residues in other orders.

    A wave in every neuron is no understanding yet: trained without weight decay on sums, a network keeps some of the
    circuit and never uses it. Runs of that kind belong among the references, as a stratum of their own.
    """

    name: ClassVar[str] = "policies.fourier"

    def __init__(
        self, weight: str, period: int, axis: int = 0, seed: int = 0, up: str | None = None, readout: str | None = None
    ) -> None:
        if (up is None) != (readout is None):
            raise WatchError(
                f"expected `up` and `readout`, or neither, got up={up!r} and readout={readout!r}",
                hint="what neurons write is held against what they read",
            )
        self.signals = (_GINI,) if up is None else (_GINI, _READOUT, _SUM)
        self._names = tuple(each for each in (weight, up, readout) if each is not None)
        self.weights = self._names
        self._period, self._axis = period, axis
        rng = np.random.default_rng(seed)
        self._orders = [rng.permutation(period) for _ in range(SHUFFLES)]
        self._settings = {
            "weight": weight,
            "period": period,
            "axis": axis,
            "seed": seed,
            "up": up,
            "readout": readout,
            "shuffles": SHUFFLES,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(None)

    def read(self, seen: Seen) -> Any:
        embedding = np.moveaxis(_held(seen, self._names[0], len(self._names)), self._axis, 0)
        check_period(len(embedding), self._period, f"an embedding {embedding.shape}")
        rows = embedding[: self._period]
        found = [self._against(lambda order: gini(powers(rows[order])))]
        if len(self._names) > 1:
            up, readout = (_held(seen, name, len(self._names)) for name in self._names[1:])
            if up.ndim != 2 or up.shape[1:] != rows.shape[1:] or readout.shape[1:] != up.shape[:1]:
                raise WatchError(
                    f"expected up (neurons, {rows.shape[1]}) and readout (classes, neurons), got {up.shape} and "
                    f"{readout.shape}",
                    hint="up= reads the embedding and readout= is what its neurons write to the answers",
                )
            check_period(len(readout), self._period, f"a readout {readout.shape}")
            writes, reads = readout[: self._period], rows @ up.T
            found.append(self._against(lambda order: purity(writes[order])))
            found.append(self._against(lambda order: in_phase(reads[order], writes[order])))
        return tuple(found)

    def _against(self, formula: Callable[[Any], float]) -> Reading:
        """Of the residues in their order, and its mean over others."""
        return Reading(formula(slice(None)), float(np.mean([formula(order) for order in self._orders])))


def _held(seen: Seen, name: str, wanted: int) -> Floats:
    """The parameter of that name, in float64; of one alone, `name` may be a pattern."""
    alone = next(iter(seen.weights)) if wanted == len(seen.weights) == 1 else name
    if len(seen.weights) != wanted or alone not in seen.weights:
        raise WatchError(
            f"expected one {'embedding' if wanted == 1 else 'parameter'} called {name!r}, got "
            f"{', '.join(seen.weights) or 'none'}",
            hint="give the parameter's full name",
        )
    return seen.weights[alone].astype(np.float64)
