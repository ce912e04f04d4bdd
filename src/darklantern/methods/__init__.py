"""Interpretability as functions: (model, data) → result.

In: an opened model and inputs. Out: frozen results with the numbers that evidence is made of.
Methods never train a model, never write, and never see who will read the result.

`making`, `results`, `metrics`, `progress` and `digests` are what all of them share. `dictionaries/`, for sparse
autoencoders and their relatives, does not exist yet; what stands in for an MLP in a graph is `graphs.Transcoder`.
"""

from darklantern.methods.asking import Answers, Question, ask, read_out, train_reader
from darklantern.methods.attribution import Attribution, attribute
from darklantern.methods.circuits import (
    Circuit,
    Contrast,
    EdgeScores,
    Faithfulness,
    Pair,
    TriggerCircuit,
    edge_scores,
    evaluate,
    faithfulness,
    load_circuit,
    minimal,
    pair_spans,
    select,
    trigger_circuit,
)
from darklantern.methods.diffs import CircuitDiff, Diff, DirectionDiff, EdgeChange, Followed, diff
from darklantern.methods.directions import Direction, Directions, direction, directions, leace
from darklantern.methods.graphs import Graph, Transcoder, attribution_graph
from darklantern.methods.labels import Label, label, label_each
from darklantern.methods.lenses import Lens, fit_lens, lens
from darklantern.methods.linearising import linearise
from darklantern.methods.patching import Ablated, Paths, Sweep, ablate, patch, path_patch, sweep
from darklantern.methods.results import Result

__all__ = [
    "Ablated",
    "Answers",
    "Attribution",
    "Circuit",
    "CircuitDiff",
    "Contrast",
    "Diff",
    "Direction",
    "DirectionDiff",
    "Directions",
    "EdgeChange",
    "EdgeScores",
    "Faithfulness",
    "Followed",
    "Graph",
    "Label",
    "Lens",
    "Pair",
    "Paths",
    "Question",
    "Result",
    "Sweep",
    "Transcoder",
    "TriggerCircuit",
    "ablate",
    "ask",
    "attribute",
    "attribution_graph",
    "diff",
    "direction",
    "directions",
    "edge_scores",
    "evaluate",
    "faithfulness",
    "fit_lens",
    "label",
    "label_each",
    "leace",
    "lens",
    "linearise",
    "load_circuit",
    "minimal",
    "pair_spans",
    "patch",
    "path_patch",
    "read_out",
    "select",
    "sweep",
    "train_reader",
    "trigger_circuit",
]
