"""Which parts of a model carry a behaviour, and what is left of it without them."""

from darklantern.methods.circuits.trigger import Pair, TriggerCircuit, pair_spans, trigger_circuit

__all__ = ["Pair", "TriggerCircuit", "pair_spans", "trigger_circuit"]
