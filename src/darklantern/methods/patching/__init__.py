"""Put what sites held in one run into another, and see what comes back.

In: an opened model, clean and corrupt inputs, sites or paths, a metric. Out: effects, as shares of the difference; of
ablations, which need no second inputs, changes of the metric. Runs only what comes after the patch, where the model can
start there.
"""

from darklantern.methods.patching.ablated import Ablated
from darklantern.methods.patching.ablating import ablate
from darklantern.methods.patching.path_effects import Paths
from darklantern.methods.patching.paths import path_patch
from darklantern.methods.patching.sweeping import patch, sweep
from darklantern.methods.patching.sweeps import Sweep

__all__ = ["Ablated", "Paths", "Sweep", "ablate", "patch", "path_patch", "sweep"]
