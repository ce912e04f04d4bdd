"""Signals of image classifiers: rows to run at a look, and what is read of them.

In: images (n, …) with a class each. Out: readings with their placebos. Whoever reads the logits says "behaviour"; what
reads a site inside says "signal", though the last layer before the logits is but one step from them.
"""

from darklantern.watch.vision.clustering_probe import ClusteringProbe
from darklantern.watch.vision.drift_probe import DriftProbe
from darklantern.watch.vision.loss_probe import LossProbe
from darklantern.watch.vision.mahalanobis_probe import MahalanobisProbe
from darklantern.watch.vision.mined_probe import MinedProbe
from darklantern.watch.vision.misfiled_probe import MisfiledProbe
from darklantern.watch.vision.patch_probe import PatchProbe
from darklantern.watch.vision.patches import Family
from darklantern.watch.vision.spectral_probe import SpectralProbe
from darklantern.watch.vision.strip_probe import StripProbe
from darklantern.watch.vision.units_probe import UnitsProbe

__all__ = [
    "ClusteringProbe",
    "DriftProbe",
    "Family",
    "LossProbe",
    "MahalanobisProbe",
    "MinedProbe",
    "MisfiledProbe",
    "PatchProbe",
    "SpectralProbe",
    "StripProbe",
    "UnitsProbe",
]
