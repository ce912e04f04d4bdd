"""Interpretability as functions: (model, data) → result.

In: an opened model and inputs. Out: frozen results with the numbers that evidence is made of.
Methods never train, never write, and never see who will read the result.
"""

from darklantern.methods.attribution import Attribution, attribute
from darklantern.methods.circuits import Pair, TriggerCircuit, pair_spans, trigger_circuit
from darklantern.methods.diffs import Diff, diff
from darklantern.methods.directions import Direction, Directions, direction, directions
from darklantern.methods.lenses import Lens, lens
from darklantern.methods.linearising import linearise
from darklantern.methods.patching import Sweep, patch, sweep
from darklantern.methods.results import Result

__all__ = [
    "Attribution",
    "Diff",
    "Direction",
    "Directions",
    "Lens",
    "Pair",
    "Result",
    "Sweep",
    "TriggerCircuit",
    "attribute",
    "diff",
    "direction",
    "directions",
    "lens",
    "linearise",
    "pair_spans",
    "patch",
    "sweep",
    "trigger_circuit",
]
