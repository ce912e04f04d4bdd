"""scikit-learn: logistic regression and linear discriminant analysis."""

from collections.abc import Callable
from typing import Any

import numpy as np
from models.protocol import Request, Timed, serve
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from methods import labelled


def logistic(request: Request) -> Timed:
    """As shipped: L-BFGS, to a gradient of 1e-4."""
    return _scaled(request, lambda: LogisticRegression(C=1 / labelled.PENALTY, max_iter=1000))


def to_the_end(request: Request) -> Timed:
    """By its own Newton's method, to a gradient of 1e-10: what coefficients are held against."""
    return _scaled(
        request, lambda: LogisticRegression(C=1 / labelled.PENALTY, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    )


def shrunk(request: Request) -> Timed:
    """By the one share that both sides are given."""
    return _discriminant(request, labelled.SHRINKAGE)


def own_share(request: Request) -> Timed:
    """By the share that Ledoit and Wolf estimate, of each class's covariance by itself."""
    return _discriminant(request, "auto")


def _scaled(request: Request, make: Callable[[], Any]) -> Timed:
    def fit() -> Any:
        return make_pipeline(StandardScaler(), make()).fit(*seen)

    def vector(made: Any) -> Any:
        return made[-1].coef_[0] / made[0].scale_

    seen, _ = labelled.two(request.model)
    return _timed(request, fit, vector)


def _discriminant(request: Request, share: float | str) -> Timed:
    def fit() -> Any:
        return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share).fit(*seen)

    seen, _ = labelled.two(request.model)
    return _timed(request, fit, lambda made: made.coef_[0])


def _timed(request: Request, fit: Callable[[], Any], vector: Callable[[Any], Any]) -> Timed:
    def detail() -> dict[str, Any]:
        made, (_, held) = fit(), labelled.two(request.model)
        path = request.out / f"{request.case}-{request.model}-scikit-learn.npz"
        np.savez(path, vector=vector(made), scores=made.decision_function(held.values))
        return {}

    return Timed(lambda: None, fit, detail)


if __name__ == "__main__":
    cases = {"logistic": logistic, "logistic_to_the_end": to_the_end, "lda": shrunk, "lda_own_share": own_share}
    serve("scikit-learn", "scikit-learn", cases)
