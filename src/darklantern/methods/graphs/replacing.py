"""A model on one prompt, its MLPs replaced by transcoders and what those leave over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from darklantern.errors import MethodError, SiteError
from darklantern.methods.graphs.nodes import ERROR, FEATURE, TOKEN, Ints, Node, Nodes, Numbers, sorted_nodes
from darklantern.methods.graphs.prompts import Prompt
from darklantern.methods.graphs.transcoders import WRITE, Transcoder, by_layer
from darklantern.methods.linearising import linearise
from darklantern.models.edits import stop_gradient
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import numbers, without_gradients
from darklantern.models.sites import Site


@dataclass(frozen=True, eq=False)
class Sources:
    """What stands in the residual stream because of nodes that write there, sorted by position."""

    nodes: Ints
    vectors: Numbers
    """(source, dim)"""
    starts: Ints
    """the first source of each position, and the number of all"""


@dataclass(frozen=True, eq=False)
class Replacement:
    """One run of the model, and what transcoders make of its MLPs."""

    model: Model
    prompt: Prompt
    transcoders: dict[int, Transcoder]
    layers: int
    attention: tuple[int, ...]
    """layers that have some"""
    logits: str
    """where they are: behind the unembedding, or, where that is no part of its own, what the model returns"""
    here: Recording

    def read(self, layer: int) -> str:
        """Where the layer's transcoder reads."""
        return self.transcoders[layer].read.replace("*", str(layer))

    def write(self, layer: int) -> str:
        """Where the layer's MLP, and so its transcoder, writes."""
        return (self.transcoders[layer].write if layer in self.transcoders else WRITE).replace("*", str(layer))

    def value(self, site: str, *axes: str) -> Numbers:
        """What stands at `site` on the prompt, its axes in this order."""
        return ordered(self.here[site], "batch", *axes)[0]

    @cached_property
    def frozen(self) -> Model:
        """The model with attention patterns, norms' denominators and the MLPs' outputs held constant."""
        ports = {site.port for site in self.here.sites}
        kinds = [kind for kind, port in (("attention", "pattern"), ("norm", "scale")) if port in ports]
        held: dict[str | Site, Any] = {self.write(layer): stop_gradient() for layer in range(self.layers)}
        return linearise(self.model, kinds).edited(held)

    @cached_property
    def cut(self) -> Model:
        """The frozen model, in which no gradient leaves a layer, or passes what an attention's heads made."""
        heads = [f"layers.{layer}.attn:z" for layer in self.attention]
        entrances = [f"layers.{layer}:in" for layer in range(self.layers)]
        return self.frozen.edited({site: stop_gradient() for site in [*heads, *entrances]})

    @cached_property
    def embedding(self) -> Numbers:
        """What enters the first layer: (pos, dim)."""
        return self.value("layers.0:in", "pos", "dim")

    @property
    def positions(self) -> int:
        """How many the prompt has."""
        return len(self.embedding)

    @cached_property
    def patterns(self) -> dict[int, Numbers]:
        """(head, pos, key) of each layer that has attention."""
        return {layer: self.value(f"layers.{layer}.attn:pattern", "head", "pos", "key") for layer in self.attention}

    @cached_property
    def causal(self) -> bool:
        """Whether no position looks at a later one."""
        return not any(np.triu(pattern, 1).any() for pattern in self.patterns.values())

    @cached_property
    def activations(self) -> dict[int, Numbers]:
        """(pos, feature) of each transcoder."""
        read = {layer: self.value(self.read(layer), "pos", "dim") for layer in self.transcoders}
        return {layer: each.encoded(_fitting(read[layer], each, layer)) for layer, each in self.transcoders.items()}

    @cached_property
    def errors(self) -> list[Numbers]:
        """What each layer's MLP returned and no transcoder accounts for: (pos, dim)."""
        left = [self.value(self.write(layer), "pos", "dim") - self.constant(layer) for layer in range(self.layers)]
        for layer, each in self.transcoders.items():
            if each.W_skip is not None:
                left[layer] = left[layer] - self.value(self.read(layer), "pos", "dim") @ each.W_skip.T
            for further, decoder in enumerate(each.decoders):
                left[layer + further] = left[layer + further] - self.activations[layer] @ decoder
        return left

    def constant(self, layer: int) -> Numbers:
        """What the layer's transcoder writes whatever it reads; zeros where there is none."""
        if layer in self.transcoders:
            return self.transcoders[layer].b_dec
        return np.zeros(self.value(self.write(layer), "pos", "dim").shape[-1], self.embedding.dtype)

    def nodes(self) -> Nodes:
        """Tokens, active features and errors; no logits."""
        every = np.arange(self.positions)
        plain = (every, np.zeros_like(every), np.ones(self.positions))
        rows: list[tuple[int, int, Ints, Ints, Numbers]] = [(TOKEN, -1, *plain)]
        for layer, found in self.activations.items():
            position, index = np.nonzero(found)
            rows.append((FEATURE, layer, position, index, found[position, index]))
        return sorted_nodes([*rows, *((ERROR, layer, *plain) for layer in range(self.layers))])

    def vector(self, node: Node, layer: int) -> Numbers | None:
        """What one node writes where the layer's MLP does, or, at -1, into the embedding; None where it does not."""
        if node.kind == "token":
            return self.embedding[node.position] if layer < 0 else None
        if node.kind == "error":
            return self.errors[layer][node.position] if layer == node.layer else None
        decoders = self.transcoders[node.layer].decoders
        further = layer - node.layer
        if not 0 <= further < len(decoders):
            return None
        made: Numbers = self.activations[node.layer][node.position, node.index] * decoders[further, node.index]
        return made

    def sources(self, nodes: Nodes, layer: int) -> Sources:
        """The nodes that write where the layer's MLP does, each with what it writes; those of the embedding at -1."""
        if layer < 0:
            tokens = nodes.those(TOKEN)
            return Sources(tokens, self.embedding, np.arange(self.positions + 1))
        found, vectors = [np.flatnonzero((nodes.kind == ERROR) & (nodes.layer == layer))], [self.errors[layer]]
        for own, each in self.transcoders.items():
            if own <= layer < own + len(each.decoders):
                features = np.flatnonzero((nodes.kind == FEATURE) & (nodes.layer == own))
                activation = nodes.activation[features, None].astype(self.embedding.dtype)
                found.append(features)
                vectors.append(each.decoders[layer - own][nodes.index[features]] * activation)
        together = np.concatenate(found)
        order = np.lexsort((together, nodes.position[together]))
        together = together[order]
        starts = np.searchsorted(nodes.position[together], np.arange(self.positions + 1))
        return Sources(together, np.concatenate(vectors)[order], starts)


def replaced(
    model: Model, prompt: Prompt, transcoders: Sequence[Transcoder] | Mapping[int, Transcoder], *more: str
) -> Replacement:
    """Runs the model once, and records what is needed, and `more`. Raises SiteError and MethodError."""
    layers, logits = _ends(model, prompt)
    given = by_layer(transcoders, layers)
    attention = tuple(int(site.path.split(".")[1]) for site in found(model, "layers.*.attn:out"))
    made = Replacement(model, prompt, given, layers, attention, logits, Recording((), None))
    wanted = ["layers.0:in", made.logits, *map(made.read, given)]
    wanted += map(made.write, range(layers))
    wanted += [f"layers.{layer}.attn:{port}" for layer in attention for port in ("pattern", "v")]
    wanted += ["**:scale"] * bool(found(model, "**:scale"))
    with without_gradients():
        here = model.record(prompt.inputs, *dict.fromkeys([*wanted, *more]))
    dtype = ordered(here["layers.0:in"], "batch", "pos", "dim").dtype
    return replace(made, transcoders={layer: each.cast(dtype) for layer, each in given.items()}, here=here)


def ordered(value: Value, *axes: str) -> Numbers:
    """Its numbers as NumPy, its axes in this order. Raises MethodError for other axes, and for NaN and infinity."""
    if sorted(value.axes) != sorted(axes):
        raise MethodError(
            f"{value.site} has axes {' '.join(value.axes)}, expected {' '.join(axes)}",
            hint="attribution graphs are of models over one row of positions, as language models are",
        )
    array: Numbers = np.transpose(numbers(value.array), [value.axes.index(axis) for axis in axes])
    if not np.isfinite(array).all():
        raise MethodError(f"{value.site} holds numbers that are not finite", hint="does the model overflow?")
    return array


def found(model: Model, pattern: str) -> list[Site]:
    """The sites that the model has of a kind, be it none."""
    try:
        return model.sites(pattern)
    except SiteError:
        return []


def _ends(model: Model, prompt: Prompt) -> tuple[int, str]:
    """How many layers there are, and where the logits."""
    layers = found(model, "layers.*:in")
    if not layers:
        with without_gradients():
            model.run(prompt.inputs)  # in JAX a model's sites are known once it ran
        layers = found(model, "layers.*:in")
    if not layers:
        raise SiteError(
            "an attribution graph needs a row of blocks, layers.*, which this model has not",
            hint="a causal language model has one; print(model.tree()) shows what there is",
        )
    return len(layers), "unembed:out" if found(model, "unembed:out") else ":out"


def _fitting(read: Numbers, transcoder: Transcoder, layer: int) -> Numbers:
    if read.shape[-1] != transcoder.W_enc.shape[-1]:
        raise MethodError(
            f"the transcoder of layer {layer} reads {transcoder.W_enc.shape[-1]} dims, and "
            f"{transcoder.read} has {read.shape[-1]}",
            hint="W_enc is (feature, dim); read= names another site",
        )
    return read
