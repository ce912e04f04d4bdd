"""Which parts of a model carry a behaviour, and what is left of it without them.

In: an opened model and contrasts: clean inputs, corrupt ones, a metric. Out: scores of the edges between its parts,
circuits of the strongest, and how much of the behaviour those make by themselves, each circuit run for real. Edges are
told from the model's own sites and two of its runs; nothing here knows a family. Never: a circuit of blocks that do not
add to one stream, which is refused.
"""

from darklantern.methods.circuits.circuit import Circuit, of_edges
from darklantern.methods.circuits.contrasts import Contrast
from darklantern.methods.circuits.curve import Faithfulness
from darklantern.methods.circuits.evaluating import evaluate, faithfulness, minimal
from darklantern.methods.circuits.files import load_circuit
from darklantern.methods.circuits.scores import EdgeScores
from darklantern.methods.circuits.scoring import edge_scores
from darklantern.methods.circuits.selecting import select
from darklantern.methods.circuits.trigger import Pair, TriggerCircuit, pair_spans, trigger_circuit

__all__ = [
    "Circuit",
    "Contrast",
    "EdgeScores",
    "Faithfulness",
    "Pair",
    "TriggerCircuit",
    "edge_scores",
    "evaluate",
    "faithfulness",
    "load_circuit",
    "minimal",
    "of_edges",
    "pair_spans",
    "select",
    "trigger_circuit",
]
