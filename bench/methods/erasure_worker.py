"""concept-erasure: LEACE, of activations in float64."""

from typing import Any

import numpy as np
import torch
from concept_erasure import LeaceFitter
from models.protocol import Request, Timed, serve

from methods import labelled


def leace(request: Request) -> Timed:
    """The closed form itself: the covariance as it is, nothing held back."""
    return _fitted(request, shrinkage=False, constrain_cov_trace=False)


def as_shipped(request: Request) -> Timed:
    """With its shrinkage of the covariance, and the trace held from growing."""
    return _fitted(request)


def _fitted(request: Request, **options: bool) -> Timed:
    values, labels = labelled.several(request.model)
    given, hot = torch.from_numpy(values), torch.nn.functional.one_hot(torch.from_numpy(labels))

    def fit() -> Any:
        return LeaceFitter.fit(given, hot, **options).eraser

    def detail() -> dict[str, Any]:
        made = fit()
        path = request.out / f"{request.case}-{request.model}-concept-erasure.npz"
        np.savez(path, matrix=made.P.T.numpy(), erased=made(given).numpy())
        return {}

    return Timed(lambda: None, fit, detail)


if __name__ == "__main__":
    serve("concept-erasure", "concept-erasure", {"leace": leace, "leace_as_shipped": as_shipped})
