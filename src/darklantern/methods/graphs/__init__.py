"""Attribution graphs: which features of a model's transcoders act on which, on one prompt.

In: an opened model, one prompt, a transcoder for each MLP. Out: a frozen graph of direct effects with its scores, the
parts of an attention score, and what happens when a node is changed. Never: a transcoder that is trained here.
"""

from darklantern.methods.graphs.attributing import attribution_graph
from darklantern.methods.graphs.graph import Edge, Graph
from darklantern.methods.graphs.nodes import Node, Nodes
from darklantern.methods.graphs.perturbing import Perturbation, perturb
from darklantern.methods.graphs.scores import ScoreParts
from darklantern.methods.graphs.scoring import score_parts
from darklantern.methods.graphs.transcoders import Transcoder, load_transcoder

__all__ = [
    "Edge",
    "Graph",
    "Node",
    "Nodes",
    "Perturbation",
    "ScoreParts",
    "Transcoder",
    "attribution_graph",
    "load_transcoder",
    "perturb",
    "score_parts",
]
