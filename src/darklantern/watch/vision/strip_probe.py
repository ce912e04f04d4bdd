"""Tier I0: which training rows keep their prediction whatever image they are blended with?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats
from darklantern.watch.probes import Asked, Now, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.fresh_probe import FreshProbe, halves
from darklantern.watch.vision.material import Familiar, balanced


class StripProbe(FreshProbe):
    """Each row half and half with each of `blends` trusted images: a strong trigger decides all of the blends.

    Costs one pass over 2 · rows · blends images.
    """

    name: ClassVar[str] = "vision.strip"
    output = True
    signals = (
        Signal(
            "blended certainty",
            "I0",
            "behaviour",
            "nats",
            "of the highest tenth of fresh rows, the logarithm of the number of classes minus the mean entropy of the "
            "predictions over blends",
            placebo="as many fresh trusted rows",
            source="Gao et al., STRIP (2019)",
            cost="1F over 2 · rows · blends",
            detector="betting",
            says="novelty",
        ),
    )

    def __init__(self, trusted: Examples, rows: int = 32, blends: int = 8, share: float = 0.1, seed: int = 0) -> None:
        chosen = balanced(trusted, blends, seed, "trusted images")
        self._blends = chosen.inputs
        self.familiar = Familiar(chosen)  # a row blended with itself is as certain as the row
        self.rows, self.share = rows, share
        self._settings = {"rows": rows, "blends": blends, "share": share, "seed": seed}

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        asked = super().inputs(now)
        if asked.inputs is None:
            return asked
        kind = asked.inputs.dtype
        # In float64: whole numbers of 8 bits would overflow in the sum.
        blended = (asked.inputs.astype(np.float64)[:, None] + self._blends.astype(np.float64)[None]) / 2
        return Asked(blended.reshape(-1, *asked.inputs.shape[1:]).astype(kind), asked.about)

    def scored(self, seen: Seen) -> Mapping[str, tuple[Floats, Floats]]:
        log_probs = seen.log_probs.astype(np.float64)
        entropies = entropy(log_probs).reshape(-1, len(self._blends)).mean(1)
        return {"blended certainty": halves(np.log(log_probs.shape[-1]) - entropies, seen.about)}


def entropy(log_probs: Floats) -> Floats:
    """−Σ p log p over the last axis, in nats; what is never said adds 0."""
    never = np.isneginf(log_probs)
    made: Floats = -(np.exp(log_probs) * np.where(never, 0.0, log_probs)).sum(-1)
    return made
