"""Which values carry a behaviour, all of them at the cost of a gradient; and how far that can be trusted.

In: an opened model, clean and corrupt inputs, sites, a metric. Out: a score for each input, head, neuron or position,
in the metric's own unit. `verify` holds some of them against exact patches. Never: weights.
"""

from darklantern.methods.attribution.attributing import attribute
from darklantern.methods.attribution.attributions import Attribution
from darklantern.methods.attribution.verified import Verified

__all__ = ["Attribution", "Verified", "attribute"]
