"""The product's probes and erasers, as functions of arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from models.protocol import Request, Timed

from darklantern.methods.directions import lda, logistic
from darklantern.methods.directions.leace import Moments, eraser
from darklantern.methods.directions.probes import Probe
from methods import labelled


def logistic_probe(request: Request) -> Timed:
    """By Newton's method, to the end."""
    return _probe(request, lambda values, labels: logistic.fit(values, labels, penalty=labelled.PENALTY))


def shrunk(request: Request) -> Timed:
    """By the one share that both sides are given."""
    return _probe(request, lambda values, labels: lda.fit(values, labels, shrinkage=labelled.SHRINKAGE))


def own_share(request: Request) -> Timed:
    """By the share that Ledoit and Wolf estimate, of the pooled covariance."""
    return _probe(request, lda.fit)


def leace(request: Request) -> Timed:
    """Moments of one batch, and the eraser from them."""
    values, labels = labelled.several(request.model)
    classes = labelled.ERASED[request.model]

    def fit() -> Any:
        moments = Moments(values.shape[1], classes)
        moments.add(values, labels)
        return eraser(moments, "dim")

    def detail() -> dict[str, Any]:
        made = fit()
        path = request.out / f"{request.case}-{request.model}-darklantern.npz"
        np.savez(path, matrix=np.eye(values.shape[1]) - made.read @ made.write, erased=made(values))
        return {}

    return Timed(lambda: None, fit, detail)


def _probe(request: Request, fit: Callable[[Any, Any], Probe]) -> Timed:
    seen, held = labelled.two(request.model)
    labels = seen.labels == 1

    def detail() -> dict[str, Any]:
        made = fit(seen.values, labels)
        path = request.out / f"{request.case}-{request.model}-darklantern.npz"
        np.savez(path, vector=made.vector, scores=held.values @ made.vector + made.offset)
        return {}

    return Timed(lambda: None, lambda: fit(seen.values, labels), detail)


CASES = {"logistic": logistic_probe, "lda": shrunk, "lda_own_share": own_share, "leace": leace}
