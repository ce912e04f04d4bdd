"""A frozen layer's linear maps, found out by carrying basis vectors back through its own code.

With its norms' denominators held, what a layer does at one position is one matrix for all positions, but for a factor:
norms divide each position by a number of its own. So basis vectors can share a pass: one at each position.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.graphs.nodes import Numbers
from darklantern.methods.graphs.replacing import Replacement
from darklantern.methods.graphs.vjps import Targets, cotangents, pulled

_SLACK = 1e-5
"""share by which positions may differ: some models take their norms in float32, whatever they are in"""


@dataclass(frozen=True, eq=False)
class Map:
    """A gradient at one site carried to another, the same at each position up to `factor`."""

    matrix: Numbers
    """(dim there, dim here)"""
    factor: Numbers
    """(pos,)"""
    plain: bool
    """whether it changes nothing at all, as a residual stream"""

    @property
    def absent(self) -> bool:
        """Whether nothing passes."""
        return not self.matrix.any()


Maps = Mapping[tuple[str, str], Map]
"""by a later and an earlier site of one layer"""


def found_maps(replacement: Replacement, logits: Targets, at_once: int) -> tuple[Maps, dict[str, Numbers]]:
    """All maps that the closed form needs, and the logits' gradients at the last layer's sites, (pos, target, dim).

    Of all layers at once, as no gradient goes from one to another: three sites of each are probed, in rows of their
    own. Costs a forward and a backward pass over about three times as many positions as the model has dims, in batches
    of `at_once` prompts. Raises MethodError where positions differ by more than a factor.
    """
    one = replacement
    kinds = _probed(one)
    shapes = {site: _shape(one, site) for kind in kinds for site in kind}
    given: dict[str, Numbers] = {}
    places: dict[str, slice] = {}
    first = 0
    for kind in kinds:
        rounds = 1 + max((-(-int(np.prod(shapes[site])) // one.positions) for site in kind), default=0)
        for site in kind:
            given[site] = _probe(shapes[site], one.positions, rounds, one.embedding.dtype)
            places[site] = slice(first, first + rounds)
        first += rounds
    rows = {site: _placed(each, places[site], first + len(logits.positions)) for site, each in given.items()}
    rows[logits.site] = _placed(cotangents(one, logits), slice(first, None), first + len(logits.positions))
    before = dict.fromkeys(name for kind in kinds for names in kind.values() for name in names)
    found = pulled(one.cut, one.prompt, rows, tuple(before), at_once)
    maps = {
        (site, name): _map(found[name][places[site]], f"{name} → {site}", given[site])
        for kind in kinds
        for site, names in kind.items()
        for name in names
    }
    return maps, {site: np.ascontiguousarray(np.moveaxis(each[first:], 0, 1)) for site, each in found.items()}


def _probed(one: Replacement) -> list[dict[str, list[str]]]:
    """Three kinds of sites, of each kind at most one a layer, with the sites before it to which gradients go."""
    out, read, value = {}, {}, {}
    for layer in range(one.layers):
        entrance, heads = f"layers.{layer}:in", [f"layers.{layer}.attn:z"] * (layer in one.attention)
        out[f"layers.{layer}:out"] = [entrance, one.write(layer), *heads]
        if layer in one.transcoders:
            read[one.read(layer)] = [entrance, *heads]
        if heads:
            value[f"layers.{layer}.attn:v"] = [entrance]
    return [out, read, value]


def _shape(one: Replacement, site: str) -> tuple[int, ...]:
    """Of what stands there at one position; a layer's end is as wide as its entrance."""
    if site.endswith(".attn:v"):
        return one.value(site, "pos", "head", "dim").shape[1:]
    return (one.value(site, "pos", "dim") if site in one.here else one.embedding).shape[1:]


def _probe(shape: tuple[int, ...], positions: int, rounds: int, dtype: "np.dtype[np.generic]") -> Numbers:
    """(round, pos, …): the same vector everywhere first, for the factors; then one basis vector at each position."""
    dims = int(np.prod(shape))
    made = np.zeros((rounds, positions, dims), dtype)
    made[0] = np.random.default_rng(0).standard_normal(dims)
    which = np.arange(dims)
    made[1 + which // positions, which % positions, which] = 1
    return made.reshape(rounds, positions, *shape)


def _placed(rows: Numbers, where: slice, count: int) -> Numbers:
    made = np.zeros((count, *rows.shape[1:]), rows.dtype)
    made[where] = rows
    return made


def _map(found: Numbers, name: str, probe: Numbers) -> Map:
    same, positions, dims = found[0], found.shape[1], int(np.prod(probe.shape[2:]))
    length = float((same[0] ** 2).sum())
    factor = same @ same[0] / length if length else np.ones(positions, found.dtype)
    room = _SLACK * np.abs(same).max()
    if np.abs(same - factor[:, None] * same[0]).max() > room or not factor.all():
        raise MethodError(f"{name} is not one map for all positions", hint='how="vjp" takes every layer as it is')
    which = np.arange(dims)
    at = which % positions
    matrix = found[1 + which // positions, at] / factor[at, None]
    plain = matrix.shape[0] == matrix.shape[1] and np.array_equal(found, probe.reshape(found.shape))
    return Map(matrix, factor, plain)
