"""Formulas: arrays in, numbers out. What the signals of every kind of model share, each with its source.

Nothing here knows of a look, a model or a framework. All reckoning is in float64.
"""

from darklantern.watch.formulas.auroc import auroc
from darklantern.watch.formulas.cka import gram, gram_cka, linear_cka
from darklantern.watch.formulas.covariance import Covariance, shrunk_covariance
from darklantern.watch.formulas.directions import cosine, discriminant, mean_difference
from darklantern.watch.formulas.features import Floats, features
from darklantern.watch.formulas.linear_discriminant import LinearDiscriminant, linear_discriminant
from darklantern.watch.formulas.mahalanobis import Cloud, cloud
from darklantern.watch.formulas.participation import participation_ratio, spectral_heat_capacity, spectrum
from darklantern.watch.formulas.separation import d_prime

__all__ = [
    "Cloud",
    "Covariance",
    "Floats",
    "LinearDiscriminant",
    "auroc",
    "cloud",
    "cosine",
    "d_prime",
    "discriminant",
    "features",
    "gram",
    "gram_cka",
    "linear_cka",
    "linear_discriminant",
    "mean_difference",
    "participation_ratio",
    "shrunk_covariance",
    "spectral_heat_capacity",
    "spectrum",
]
