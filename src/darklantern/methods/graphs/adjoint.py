"""Effects on targets in closed form: gradients walk down the residual stream by products of matrices.

Through a layer that is frozen, a gradient g at (pos, dim) becomes g + Σ_h P_hᵀ g W_Oᵀ W_Vᵀ / σ: the residual stream and
each head with its pattern. Which matrices those are is found out by `maps`, in any family of models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from darklantern.methods.graphs.maps import Map, Maps, found_maps
from darklantern.methods.graphs.nodes import Ints, Numbers
from darklantern.methods.graphs.replacing import Replacement
from darklantern.methods.graphs.vjps import Gradient, Targets


@dataclass(frozen=True, eq=False)
class Parted:
    """A gradient where a layer ends, as it comes to the parts of the layer: each (pos, target, …)."""

    entrance: Numbers
    """without attention and MLP"""
    written: Numbers
    """where the MLP writes"""
    heads: Numbers | None
    """(pos, target, head and dim) at what the heads made; None without attention"""


@dataclass(frozen=True, eq=False)
class Adjoint:
    """Products of matrices, over no position behind the last target's where attention is causal."""

    replacement: Replacement
    maps: Maps
    logits: Parted
    """of all the logits that are targets, where the last layer ends"""
    says: str = "in closed form"

    def gradients(self, targets: Targets) -> Iterator[Gradient]:
        """See `vjps.Way`. Of features of one layer, or of all the logits that are targets."""
        one, top = self.replacement, targets.layer
        if targets.site == one.logits:
            top, found = top - 1, self._below(top - 1, self.logits)
            yield top, self.logits.written
        else:
            found = self._entered(targets, int(targets.positions.max()) + 1 if one.causal else one.positions)
        yield from self.walked(top, found)

    def walked(self, top: int, found: Numbers) -> Iterator[Gradient]:
        """A gradient where layer `top` begins, (pos, target, dim), carried on to the embedding."""
        for layer in range(top - 1, -1, -1):
            parted = self.parted(layer, found)
            yield layer, parted.written
            found = self._below(layer, parted)
        yield -1, found

    def _entered(self, targets: Targets, width: int) -> Numbers:
        """What is read in a layer, as a gradient where the layer begins: (pos, target, dim)."""
        layer, count = targets.layer, len(targets.positions)
        entrance, heads = self._read(layer)
        found = np.zeros((width, count, entrance.matrix.shape[1]), self.replacement.embedding.dtype)
        found[targets.positions, np.arange(count)] = _at(entrance, targets.vectors, targets.positions)
        if heads is not None and not heads.absent:
            seen = self.heads[layer][:, targets.positions, :width]
            given = _at(heads, targets.vectors, targets.positions).reshape(count, len(seen), -1)
            found += self.from_values(layer, np.einsum("htk,thd->hktd", seen, given))
        return found

    def parted(self, layer: int, found: Numbers) -> Parted:
        """A gradient where a layer ends, by its parts."""
        out, written = f"layers.{layer}:out", self.replacement.write(layer)
        to_entrance, to_written = self.maps[out, f"layers.{layer}:in"], self.maps[out, written]
        to_heads = self.maps.get((out, f"layers.{layer}.attn:z"))
        heads = None if to_heads is None else _through(to_heads, found)
        return Parted(_through(to_entrance, found), _through(to_written, found), heads)

    def skipped(self, layer: int, parted: Parted) -> Parted:
        """The same, with what goes on through a transcoder's skip connection."""
        skip = self.replacement.transcoders[layer].W_skip if layer in self.replacement.transcoders else None
        if skip is None:
            return parted
        entrance, by_heads = self._read(layer)
        read = parted.written @ skip
        heads = parted.heads
        if heads is not None and by_heads is not None:
            heads = heads + _through(by_heads, read)
        return Parted(parted.entrance + _through(entrance, read), parted.written, heads)

    def _below(self, layer: int, parted: Parted) -> Numbers:
        """A gradient where the layer ends, as one where it begins."""
        all_of_it = self.skipped(layer, parted)
        if all_of_it.heads is None:
            return all_of_it.entrance
        return all_of_it.entrance + self._from_heads(layer, all_of_it.heads)

    def _from_heads(self, layer: int, given: Numbers) -> Numbers:
        """A gradient at what the heads made, (pos, target, head and dim), as one where the layer begins."""
        width, count, _ = given.shape
        patterns = self.heads[layer][:, :width, :width]
        by_head = given.reshape(width, count, len(patterns), -1).transpose(2, 0, 1, 3)
        moved = patterns.transpose(0, 2, 1) @ by_head.reshape(len(patterns), width, -1)
        return self.from_values(layer, moved.reshape(by_head.shape))

    def from_values(self, layer: int, given: Numbers) -> Numbers:
        """The same of gradients at each head's values, (head, pos, target, dim); heads in a group share theirs."""
        made = self.maps[f"layers.{layer}.attn:v", f"layers.{layer}:in"]
        heads, width, count, dims = given.shape
        shared = made.matrix.shape[0] // dims
        if shared < heads:
            given = given.reshape(shared, heads // shared, width, count, dims).sum(1)
        flat = given.transpose(1, 2, 0, 3).reshape(width * count, -1)
        return (flat @ made.matrix).reshape(width, count, -1)

    def entered(self, targets: Targets) -> Parted:
        """The gradient of a feature's pre-activation by the parts of its own layer, in which nothing is written yet."""
        entrance, heads = (None if each is None else self._placed(each, targets) for each in self._read(targets.layer))
        assert entrance is not None
        return Parted(entrance, np.zeros_like(entrance), heads)

    def _placed(self, given: Map, targets: Targets) -> Numbers:
        count, dims = len(targets.positions), given.matrix.shape[1]
        made = np.zeros((self.replacement.positions, count, dims), self.replacement.embedding.dtype)
        made[targets.positions, np.arange(count)] = _at(given, targets.vectors, targets.positions)
        return made

    def _read(self, layer: int) -> tuple[Map, Map | None]:
        site = self.replacement.read(layer)
        return self.maps[site, f"layers.{layer}:in"], self.maps.get((site, f"layers.{layer}.attn:z"))

    @cached_property
    def heads(self) -> dict[int, Numbers]:
        """Each layer's patterns, the values' factors of each key within."""
        maps, patterns = self.maps, self.replacement.patterns
        return {
            layer: pattern * maps[f"layers.{layer}.attn:v", f"layers.{layer}:in"].factor
            for layer, pattern in patterns.items()
        }


def adjoint(replacement: Replacement, logits: Targets, at_once: int) -> Adjoint:
    """Finds out the model's maps first. Raises MethodError and SiteError for a model that has none of this form."""
    one, last = replacement, replacement.layers - 1
    maps, found = found_maps(one, logits, at_once)
    heads = found[f"layers.{last}.attn:z"] if last in one.attention else None
    return Adjoint(one, maps, Parted(found[f"layers.{last}:in"], found[one.write(last)], heads))


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
