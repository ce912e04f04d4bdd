"""Directions along which activations differ: find them, hold them against controls, steer, ablate and erase by them.

In: an opened model and two sets of inputs, or one with labels. Out: directions with held-out figures and edits made of
them. What a fit sees, no figure is measured on.
"""

from darklantern.methods.directions.controls import Controls
from darklantern.methods.directions.erasing import Erased, leace
from darklantern.methods.directions.finding import direction, directions
from darklantern.methods.directions.one import Direction
from darklantern.methods.directions.scoring import Interval, auroc
from darklantern.methods.directions.several import Directions
from darklantern.methods.directions.superposition import Superposition, dimensionality, superposition
from darklantern.methods.directions.transfers import Transfer

__all__ = [
    "Controls",
    "Direction",
    "Directions",
    "Erased",
    "Interval",
    "Superposition",
    "Transfer",
    "auroc",
    "dimensionality",
    "direction",
    "directions",
    "leace",
    "superposition",
]
