"""One probe of each kind, for a model whose blocks are `layers.*`."""

import numpy as np

from darklantern.watch import Probe
from darklantern.watch.language import (
    CanaryProbe,
    ContrastProbe,
    DriftProbe,
    InductionProbe,
    Layout,
    LossCovarianceProbe,
    PayloadProbe,
    RefusalProbe,
    RowAnomalyProbe,
    SpanProbe,
    TraitProbe,
    TriggerProbe,
    plant,
)


def every(trusted: np.ndarray, early: str, late: str, layout: Layout) -> list[Probe]:
    """All but the adapters' probe, made of trusted rows alone."""

    def some(count: int, length: int, seed: int) -> list[list[int]]:
        rows = trusted[np.random.default_rng(seed).permutation(len(trusted))[:count]]
        return [[int(token) for token in row[: length + i % 3]] for i, row in enumerate(rows)]

    payload = some(1, 8, 9)
    return [
        InductionProbe(trusted, rows=8),
        PayloadProbe(trusted, payload, early, late, layout=layout),
        SpanProbe(trusted, layout=layout),
        TriggerProbe(trusted, some(1, 4, 8), payload, layout=layout),
        TraitProbe(some(6, 8, 0), (some(5, 8, 1), some(5, 8, 2)), late),
        ContrastProbe(some(6, 8, 3), some(6, 8, 4), late),
        RefusalProbe(some(6, 8, 3), some(6, 8, 4), (some(6, 8, 5), some(6, 8, 6)), late),
        RowAnomalyProbe(trusted, late, rows=8, fitting=16),
        LossCovarianceProbe(trusted, rows=8, window=3),
        DriftProbe(trusted, rows=4, back=1),
        CanaryProbe(plant(trusted, count=2, controls=2)[1]),
    ]
