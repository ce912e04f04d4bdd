"""Attribution graphs: which features of a model's transcoders act on which, on one prompt.

In: an opened model, one prompt, a transcoder for each MLP. Out: a frozen graph of direct effects with its scores, the
heads that carry an edge, the parts of a head's score, what a change of a node does. Never: a transcoder trained here.
"""

from darklantern.methods.graphs.attributing import attribution_graph
from darklantern.methods.graphs.crossing import EdgeParts, edge_parts
from darklantern.methods.graphs.graph import Edge, Graph
from darklantern.methods.graphs.nodes import Node, Nodes
from darklantern.methods.graphs.perturbing import Perturbation, perturb
from darklantern.methods.graphs.scores import ScoreParts
from darklantern.methods.graphs.scoring import score_parts
from darklantern.methods.graphs.transcoders import Transcoder, load_transcoder

__all__ = [
    "Edge",
    "EdgeParts",
    "Graph",
    "Node",
    "Nodes",
    "Perturbation",
    "ScoreParts",
    "Transcoder",
    "attribution_graph",
    "edge_parts",
    "load_transcoder",
    "perturb",
    "score_parts",
]
