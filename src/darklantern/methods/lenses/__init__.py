"""What a model would say if it stopped after each layer: logit, tuned and Jacobian lens.

In: an opened model, inputs, and for lenses that are fitted, batches. Out: tokens, probabilities and distances at each
layer and position. What is read goes through the model's own last norm and unembedding, never a copy of them.
"""

from darklantern.methods.lenses.fitting import FittedLens, fit_lens
from darklantern.methods.lenses.readings import Reading
from darklantern.methods.lenses.translators import Translators, load_translators
from darklantern.methods.lenses.viewing import lens
from darklantern.methods.lenses.views import Lens

__all__ = ["FittedLens", "Lens", "Reading", "Translators", "fit_lens", "lens", "load_translators"]
