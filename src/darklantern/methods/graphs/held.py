"""The frozen model run forwards: patterns and denominators as they were, and in each MLP's place what it is told."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darklantern.methods.graphs.nodes import Numbers
from darklantern.methods.graphs.replacing import Replacement, ordered
from darklantern.methods.graphs.vjps import axes_of
from darklantern.models.edits import put, take
from darklantern.models.recording import Recording
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site


def held(replacement: Replacement, embedding: Numbers, writes: Mapping[int, Numbers], *more: str) -> dict[str, Numbers]:
    """What each transcoder reads, the logits and `more`, with these values in place of embedding and MLPs' outputs.

    A skip connection is added by itself, which costs a run for each layer that has one.
    """
    one, written = replacement, dict(writes)
    held: dict[str | Site, Any] = {site: take(one.here) for site in one.here.sites if site.port in ("pattern", "scale")}
    held["layers.0:in"] = put(embedding[None])
    for layer, each in sorted(one.transcoders.items()):
        if each.W_skip is not None:
            read = _ran(one, held, written, one.read(layer))
            written[layer] = written[layer] + ordered(read[one.read(layer)], "batch", "pos", "dim")[0] @ each.W_skip.T
    sites = [*map(one.read, one.transcoders), one.logits, *more]
    found = _ran(one, held, written, *dict.fromkeys(sites))
    return {site: ordered(found[site], *axes_of(len(found[site].axes)))[0] for site in sites}


def biases(replacement: Replacement, *more: str) -> dict[str, Numbers]:
    """What is read where no feature, error or token is: what biases alone put there."""
    one, count = replacement, replacement.positions
    writes = {layer: np.tile(one.constant(layer), (count, 1)) for layer in range(one.layers)}
    return held(one, np.zeros_like(one.embedding), writes, *more)


def _ran(
    replacement: Replacement, edits: Mapping[str | Site, Any], writes: Mapping[int, Numbers], *sites: str
) -> Recording:
    put_in: dict[str | Site, Any] = {replacement.write(layer): put(each[None]) for layer, each in writes.items()}
    with without_gradients():
        return replacement.model.record(replacement.prompt.inputs, *sites, edits={**edits, **put_in})
