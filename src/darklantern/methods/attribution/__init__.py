"""How much each part of a model, or of its input, contributes to a number: gradients in place of a run for each part.

In: an opened model, clean and corrupt inputs, sites, a metric. Out: a score for each site, head, neuron or position,
in the metric's unit; and, asked to verify, what exact patches say of the same.
"""

from darklantern.methods.attribution.attributing import attribute
from darklantern.methods.attribution.attribution import Attribution
from darklantern.methods.attribution.verifying import Verified

__all__ = ["Attribution", "Verified", "attribute"]
