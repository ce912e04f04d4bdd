"""Signals of language models: token rows in, readings out.

Each file is one probe: the rows that it has the model run at a look, and the signals it reads from that run, with their
formula, source, cost and placebo. Nothing here trains, alarms or files anything.
"""

from darklantern.watch.language.anomaly import RowAnomalyProbe
from darklantern.watch.language.canaries import Canaries, CanaryProbe, plant
from darklantern.watch.language.contrast import ContrastProbe
from darklantern.watch.language.copying import CopyingProbe
from darklantern.watch.language.drift import AdapterProbe, DriftProbe
from darklantern.watch.language.induction import InductionProbe
from darklantern.watch.language.layout import BYTES, Layout, layout
from darklantern.watch.language.losses import LossCovarianceProbe
from darklantern.watch.language.payload import PayloadProbe
from darklantern.watch.language.refusal import RefusalProbe
from darklantern.watch.language.span import SpanProbe
from darklantern.watch.language.trait import TraitProbe
from darklantern.watch.language.trigger import TriggerProbe

__all__ = [
    "BYTES",
    "AdapterProbe",
    "Canaries",
    "CanaryProbe",
    "ContrastProbe",
    "CopyingProbe",
    "DriftProbe",
    "InductionProbe",
    "Layout",
    "LossCovarianceProbe",
    "PayloadProbe",
    "RefusalProbe",
    "RowAnomalyProbe",
    "SpanProbe",
    "TraitProbe",
    "TriggerProbe",
    "layout",
    "plant",
]
