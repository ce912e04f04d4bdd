"""Effects on targets in closed form: gradients walk down the residual stream by products of matrices.

Through a layer that is frozen, a gradient g at (pos, dim) becomes g + Σ_h P_hᵀ g W_Oᵀ W_Vᵀ / σ: the residual stream and
each head with its pattern. Which matrices those are is found out by `maps`, in any family of models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from darklantern.methods.graphs.maps import Map, Maps, cut, found_maps
from darklantern.methods.graphs.nodes import Ints, Numbers
from darklantern.methods.graphs.replacing import Replacement
from darklantern.methods.graphs.vjps import Gradient, Targets, cotangents, pulled
from darklantern.models.opened import Model


@dataclass(frozen=True, eq=False)
class Adjoint:
    """Products of matrices, over no position behind the last target's where attention is causal."""

    replacement: Replacement
    maps: Maps
    at_once: int = 16
    """prompts in a batch, where the model itself is asked"""
    says: str = "in closed form"

    def gradients(self, targets: Targets) -> Iterator[Gradient]:
        """See `vjps.Way`."""
        one = self.replacement
        width = int(targets.positions.max()) + 1 if one.causal else one.positions
        if targets.layer in one.transcoders and targets.site == one.read(targets.layer):
            found = self._entered(targets, width)
        else:
            found = self._asked(targets)[:width]
        for layer in range(targets.layer - 1, -1, -1):
            written = _through(self.maps[f"layers.{layer}:out", one.write(layer)], found)
            yield layer, written
            found = self._below(layer, found, written)
        yield -1, found

    def _entered(self, targets: Targets, width: int) -> Numbers:
        """What is read in a layer, as a gradient where the layer begins: (pos, target, dim)."""
        layer, count = targets.layer, len(targets.positions)
        entrance, heads = self._read(layer)
        which = np.arange(count)
        found = np.zeros((width, count, entrance.matrix.shape[1]), self.replacement.embedding.dtype)
        found[targets.positions, which] = _at(entrance, targets.vectors, targets.positions)
        if heads is not None and not heads.absent:
            seen = self._heads[layer][:, targets.positions, :width]  # (head, target, key)
            given = _at(heads, targets.vectors, targets.positions).reshape(count, len(seen), -1)
            self._add_values(
                layer, found, ((seen[head].T[:, :, None] * given[None, :, head]) for head in range(len(seen)))
            )
        return found

    def _asked(self, targets: Targets) -> Numbers:
        """The same of any other site, by a backward pass of that layer alone; of logits, where the last layer ends."""
        one = self.replacement
        last = targets.layer == one.layers
        site = f"layers.{targets.layer - 1}:out" if last else f"layers.{targets.layer}:in"
        found = pulled(self._cut, one.prompt, {targets.site: cotangents(one, targets)}, (site,), self.at_once)
        return np.ascontiguousarray(np.moveaxis(found[site], 0, 1))

    def _below(self, layer: int, found: Numbers, written: Numbers) -> Numbers:
        """A gradient where the layer ends, as one where it begins."""
        out, given = f"layers.{layer}:out", None
        made = _through(self.maps[out, f"layers.{layer}:in"], found)
        made = made.copy() if made is found else made
        heads = self.maps.get((out, f"layers.{layer}.attn:z"))
        if heads is not None:
            given = _through(heads, found)
        skip = self.replacement.transcoders[layer].W_skip if layer in self.replacement.transcoders else None
        if skip is not None:
            entrance, by_heads = self._read(layer)
            read = written @ skip
            made += _through(entrance, read)
            given = given if by_heads is None or given is None else given + _through(by_heads, read)
        if given is not None:
            self._add_heads(layer, made, given)
        return made

    def _add_heads(self, layer: int, found: Numbers, given: Numbers) -> None:
        """Adds to a gradient where the layer begins what comes by its heads: `given` is (pos, target, head and dim)."""
        width, count, _ = given.shape
        patterns = self._heads[layer][:, :width, :width]
        each = given.reshape(width, count, len(patterns), -1)
        flat = (np.ascontiguousarray(each[:, :, head]).reshape(width, -1) for head in range(len(patterns)))
        moved = ((pattern.T @ one).reshape(width, count, -1) for pattern, one in zip(patterns, flat, strict=True))
        self._add_values(layer, found, moved)

    def _add_values(self, layer: int, found: Numbers, by_head: Iterator[Numbers]) -> None:
        """The same of gradients at each head's values, (pos, target, dim); heads in a group share theirs."""
        made = self.maps[f"layers.{layer}.attn:v", f"layers.{layer}:in"]
        several = self.replacement.value(f"layers.{layer}.attn:v", "pos", "head", "dim").shape[1:]
        share = len(self._heads[layer]) // several[0]
        values = np.zeros((*found.shape[:2], *several), found.dtype)
        for head, given in enumerate(by_head):
            values[:, :, head // share] += given
        flat = values.reshape(-1, several[0] * several[1])
        found += (flat @ made.matrix).reshape(found.shape)

    def _read(self, layer: int) -> tuple[Map, Map | None]:
        site = self.replacement.read(layer)
        return self.maps[site, f"layers.{layer}:in"], self.maps.get((site, f"layers.{layer}.attn:z"))

    @cached_property
    def _heads(self) -> dict[int, Numbers]:
        """Each layer's patterns, the values' factors of each key within."""
        maps, patterns = self.maps, self.replacement.patterns
        return {
            layer: pattern * maps[f"layers.{layer}.attn:v", f"layers.{layer}:in"].factor
            for layer, pattern in patterns.items()
        }

    @cached_property
    def _cut(self) -> Model:
        return cut(self.replacement)


def adjoint(replacement: Replacement, at_once: int) -> Adjoint:
    """Finds out the model's maps first. Raises MethodError and SiteError for a model that has none of this form."""
    return Adjoint(replacement, found_maps(replacement, at_once), at_once)


def _through(given: Map, gradient: Numbers) -> Numbers:
    """(pos, target, dim) carried back by a map; the gradient itself where that changes nothing."""
    if given.plain:
        return gradient
    flat = gradient.reshape(-1, gradient.shape[-1]) @ given.matrix
    made = flat.reshape(*gradient.shape[:2], -1)
    made *= given.factor[: len(made), None, None]
    return made


def _at(given: Map, vectors: Numbers, positions: Ints) -> Numbers:
    """(target, dim), each at its own position, carried back."""
    return vectors @ given.matrix * given.factor[positions, None]
