"""How far two models' outputs are apart, where those are logits."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.metrics import logits_of
from darklantern.models.shim import log_probs
from darklantern.models.tokens import Batch

Floats = NDArray[np.float64]


class Outputs:
    """How far the outputs are apart, over all tokens."""

    def __init__(self) -> None:
        self._apart, self._same, self._count = 0.0, 0, 0

    def add(self, inputs: Any, before: Any, after: Any) -> None:
        try:
            one, two = (log_probs(logits_of(each)) for each in (before, after))
        except MethodError:
            return  # no logits: the figures say NaN
        for p, q in zip(_own(inputs, one), _own(inputs, two), strict=True):
            possible = p > -np.inf  # what is impossible adds nothing
            self._apart += float((np.exp(p[possible]) * (p[possible] - q[possible])).sum())
            self._same += int((p.argmax(-1) == q.argmax(-1)).sum())
            self._count += p[..., 0].size

    @property
    def kl(self) -> float:
        return self._apart / self._count if self._count else float("nan")

    @property
    def agreement(self) -> float:
        return self._same / self._count if self._count else float("nan")


def _own(inputs: Any, said: Floats) -> Iterator[Floats]:
    """What was said after each example's own tokens, padding left out."""
    if not isinstance(inputs, Batch):
        yield said
        return
    for row, length in zip(said, inputs.lengths, strict=True):
        yield row[:length]
