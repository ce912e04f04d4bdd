"""The difference of two classes' means: what one would have to add to get from one to the other."""

from darklantern.errors import MethodError
from darklantern.methods.directions.probes import Bools, Floats, Probe


def fit(values: Floats, labels: Bools, seed: int = 0) -> Probe:
    """From the mean of the negative examples to that of the positive ones; the threshold lies half-way.

    The best there is where both classes spread alike in all directions. Source: Marks and Tegmark 2023, The Geometry of
    Truth. Raises MethodError where both means are the same.
    """
    positive, negative = values[labels].mean(0), values[~labels].mean(0)
    vector = positive - negative
    if not vector.any():
        raise MethodError("both classes have the same mean", hint="are these two sets of different inputs?")
    return Probe(vector, -float(vector @ (positive + negative)) / 2)
