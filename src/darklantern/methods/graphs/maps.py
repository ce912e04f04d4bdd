"""A frozen layer's linear maps, found out by carrying basis vectors back through its own code.

With its norms' denominators held, what a layer does at one position is one matrix for all positions, but for a factor:
norms divide each position by a number of its own. So basis vectors can share a pass: one at each position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.graphs.nodes import Numbers
from darklantern.methods.graphs.replacing import Replacement
from darklantern.methods.graphs.vjps import Probe, Targets, carried, cotangents

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
    kinds = [kind for kind in _probed(one) if kind]
    last = kinds[0][f"layers.{one.layers - 1}:out"]
    probes = [_probe(one, kind) for kind in kinds]
    *found, top = carried(one.cut, one.prompt, [*probes, Probe({logits.site: cotangents(one, logits)}, last)], at_once)
    maps = {
        (site, name): _map(gradients[name], f"{name} → {site}", probe.rows[site])
        for kind, probe, gradients in zip(kinds, probes, found, strict=True)
        for site, names in kind.items()
        for name in names
    }
    return maps, {site: np.ascontiguousarray(np.moveaxis(each, 0, 1)) for site, each in top.items()}


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


def _probe(one: Replacement, kind: Mapping[str, Sequence[str]]) -> Probe:
    """The same rows at each site of a kind; sites of one shape share them."""
    shapes = {site: _shape(one, site) for site in kind}
    rounds = 1 + max(-(-int(np.prod(shape)) // one.positions) for shape in shapes.values())
    rows = {shape: _basis(shape, one.positions, rounds, one.embedding.dtype) for shape in set(shapes.values())}
    before = dict.fromkeys(name for names in kind.values() for name in names)
    return Probe({site: rows[shape] for site, shape in shapes.items()}, tuple(before))


def _shape(one: Replacement, site: str) -> tuple[int, ...]:
    """Of what stands there at one position; a layer's end is as wide as its entrance."""
    if site.endswith(".attn:v"):
        return one.value(site, "pos", "head", "dim").shape[1:]
    return (one.value(site, "pos", "dim") if site in one.here else one.embedding).shape[1:]


def _basis(shape: tuple[int, ...], positions: int, rounds: int, dtype: "np.dtype[np.generic]") -> Numbers:
    """(round, pos, …): the same vector everywhere first, for the factors; then one basis vector at each position."""
    dims = int(np.prod(shape))
    made = np.zeros((rounds, positions, dims), dtype)
    made[0] = np.random.default_rng(0).standard_normal(dims)
    which = np.arange(dims)
    made[1 + which // positions, which % positions, which] = 1
    return made.reshape(rounds, positions, *shape)


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
