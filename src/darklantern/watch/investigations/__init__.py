"""Investigations: what is too dear for every look, and run once after an alarm on an opened model.

In: what `darklantern.open` gives, of torch or JAX, and examples. Out: values that print and can be filed. The model
that trains is never changed: its weights, gradients, buffers and modes are what they were.
"""

from darklantern.watch.investigations.ablation import Ablation, ablation, direction_ablation
from darklantern.watch.investigations.learning_coefficient import LearningCoefficient, learning_coefficient
from darklantern.watch.investigations.minimum_mask import Mask, Masks, minimum_mask, minimum_masks

__all__ = [
    "Ablation",
    "LearningCoefficient",
    "Mask",
    "Masks",
    "ablation",
    "direction_ablation",
    "learning_coefficient",
    "minimum_mask",
    "minimum_masks",
]
