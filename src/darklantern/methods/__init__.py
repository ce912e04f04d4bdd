"""Interpretability as functions: (model, data) → result.

In: an opened model and inputs. Out: frozen results with the numbers that evidence is made of.
Methods never train, never write, and never see who will read the result.
"""

from darklantern.methods.linearise import linearise
from darklantern.methods.patching import patch, sweep
from darklantern.methods.sweeps import Sweep
from darklantern.methods.trigger import Pair, TriggerCircuit, pair_spans, trigger_circuit

__all__ = ["Pair", "Sweep", "TriggerCircuit", "linearise", "pair_spans", "patch", "sweep", "trigger_circuit"]
