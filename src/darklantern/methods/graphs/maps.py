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
from darklantern.methods.graphs.vjps import pulled
from darklantern.models.edits import stop_gradient
from darklantern.models.opened import Model

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


def local_maps(
    replacement: Replacement, given: Sequence[tuple[str, Sequence[str]]], at_once: int
) -> dict[tuple[str, str], Map]:
    """Of pairs of a site and those before it, the map between each two, with nothing but the layer's own code between.

    All of `given` are probed at once, each in a layer of its own, so no two may lie in one layer. Costs one forward and
    backward pass over as many positions as the widest site has dims, in batches of `at_once` prompts. Raises
    MethodError where positions differ by more than a factor.
    """
    one, positions = replacement, replacement.positions
    shapes = {site: one.value(site, *_own(one, site)).shape[1:] for site, _ in given}
    rounds = 1 + max(-(-int(np.prod(shape)) // positions) for shape in shapes.values())
    probes = {site: _probe(shape, positions, rounds, one.embedding.dtype) for site, shape in shapes.items()}
    before = tuple(dict.fromkeys(name for _, names in given for name in names))
    found = pulled(cut(one), one.prompt, probes, before, at_once)
    return {
        (site, name): _map(found[name], int(np.prod(shapes[site])), f"{name} → {site}", probes[site])
        for site, names in given
        for name in names
    }


def cut(replacement: Replacement) -> Model:
    """The frozen model, in which no gradient leaves a layer, or comes out of what an attention's heads made."""
    heads = [f"layers.{layer}.attn:z" for layer in replacement.attention]
    entrances = [f"layers.{layer}:in" for layer in range(replacement.layers)]
    return replacement.frozen.edited({site: stop_gradient() for site in [*heads, *entrances]})


def _own(replacement: Replacement, site: str) -> tuple[str, ...]:
    return ("pos", "dim") if len(replacement.here[site].axes) == 3 else ("pos", "head", "dim")


def _probe(shape: Sequence[int], positions: int, rounds: int, dtype: "np.dtype[np.generic]") -> Numbers:
    """(round, pos, …): the same vector everywhere first, for the factors; then one basis vector at each position."""
    dims = int(np.prod(shape))
    made = np.zeros((rounds, positions, dims), dtype)
    made[0] = np.random.default_rng(0).standard_normal(dims)
    which = np.arange(dims)
    made[1 + which // positions, which % positions, which] = 1
    return made.reshape(rounds, positions, *shape)


def _map(found: Numbers, dims: int, name: str, probe: Numbers) -> Map:
    same, positions = found[0], found.shape[1]
    length = float((same[0] ** 2).sum())
    factor = same @ same[0] / length if length else np.ones(positions, found.dtype)
    room = _SLACK * np.abs(same).max()
    if np.abs(same - factor[:, None] * same[0]).max() > room or not factor.all():
        raise MethodError(f"{name} is not one map for all positions", hint="how='vjp' takes every layer as it is")
    which = np.arange(dims)
    at = which % positions
    matrix = found[1 + which // positions, at] / factor[at, None]
    plain = matrix.shape[0] == matrix.shape[1] and np.array_equal(found, probe.reshape(found.shape))
    return Map(matrix, factor, plain)


def found_maps(replacement: Replacement, at_once: int) -> dict[tuple[str, str], Map]:
    """All maps that the closed form needs, from three probes of every layer at once."""
    one = replacement
    out, read, value = [], [], []
    for layer in range(one.layers):
        entrance, heads = f"layers.{layer}:in", [f"layers.{layer}.attn:z"] * (layer in one.attention)
        out.append((f"layers.{layer}:out", [entrance, one.write(layer), *heads]))
        if layer in one.transcoders:
            read.append((one.read(layer), [entrance, *heads]))
        if heads:
            value.append((f"layers.{layer}.attn:v", [entrance]))
    made: dict[tuple[str, str], Map] = {}
    for given in (out, read, value):
        made |= local_maps(one, given, at_once) if given else {}
    return made


Maps = Mapping[tuple[str, str], Map]
