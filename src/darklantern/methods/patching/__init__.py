"""Put what sites held in one run into another, and see what comes back.

In: an opened model, clean and corrupt inputs, sites, a metric. Out: effects, as shares of the difference. Runs only
what comes after the patch, where the model can start there.
"""

from darklantern.methods.patching.path_effects import Paths
from darklantern.methods.patching.paths import path_patch
from darklantern.methods.patching.sweeping import patch, sweep
from darklantern.methods.patching.sweeps import Sweep

__all__ = ["Paths", "Sweep", "patch", "path_patch", "sweep"]
