"""Where a path is looked at, and with which weight."""

import numpy as np

from darklantern.errors import MethodError


def gauss_legendre(steps: int) -> tuple[tuple[float, float], ...]:
    """Points from 0 to 1 with their weights, which sum to 1: exact for polynomials of degree 2 · steps − 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise MethodError(f"steps is a number of points, 1 or more, got {steps!r}", hint="steps=16")
    places, weights = np.polynomial.legendre.leggauss(steps)
    return tuple((float(place + 1) / 2, float(weight) / 2) for place, weight in zip(places, weights, strict=True))
