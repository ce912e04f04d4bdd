"""A graph as JSON.

`{"format": "darklantern.attribution-graph", "version": 1, "prompt": {"tokens": [text at each position]}, "how": text,
"left_out": number, "scores": {"replacement": number, "completeness": number, "gap": number}, "nodes": [...],
"edges": [...]}`

- `how` is in which way edges were found, `left_out` how many active features are no nodes, as `most` was given.
  `gap` is the largest difference to backward passes, as a share of the largest edge that was checked.
- A node is `{"id", "kind", "layer", "position", "index", "text", "activation", "influence", "value", "bias"}`. `id`
  counts from 0 in causal order. `kind` is token, feature, error or logit; a token's layer is -1, a logit's the number
  of layers. `index` is that of a feature in its transcoder or of a logit in the vocabulary. `activation` is a
  feature's, of a logit its probability, of others 1. `influence` is the node's part in the logits' weights. `value` is
  a target's own, pre-activation or centred logit, and `bias` what biases alone make of it; 0 of tokens and errors.
- An edge is `{"source": id, "target": id, "effect": number}`. Into each target of a graph that was not pruned,
  effects and bias add up to its value.
"""

import json
from typing import Any

from darklantern.methods.graphs.graph import Graph

FORMAT, VERSION = "darklantern.attribution-graph", 1


def written(graph: Graph) -> str:
    """The JSON of a graph, its numbers in full."""
    return json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "prompt": {"tokens": list(graph.tokens)},
            "how": graph.how,
            "left_out": graph.left_out,
            "scores": {"replacement": graph.replacement, "completeness": graph.completeness, "gap": graph.gap},
            "nodes": [_node(graph, number) for number in range(len(graph.nodes))],
            "edges": [edge._asdict() for edge in graph.edges()],
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def _node(graph: Graph, number: int) -> dict[str, Any]:
    node = graph.nodes[number]
    return {
        "id": number,
        "kind": node.kind,
        "layer": node.layer,
        "position": node.position,
        "index": node.index,
        "text": graph.says_of(number),
        "activation": node.activation,
        "influence": float(graph.influence[number]),
        "value": float(graph.reached[number]),
        "bias": float(graph.bias[number]),
    }
