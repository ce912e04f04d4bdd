"""Models written with `jax.shard_map`, and what is true of them: the same sums without a mesh, cut by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from darklantern import tag

Weights = dict[str, Array]
ROWS, COLUMNS = 2, 4
"""of the mesh"""
LAYERS = 3


@dataclass(frozen=True)
class ByHand:
    """A model over a mesh, and beside it, on whole arrays, what it should give."""

    model: Callable[..., Array]
    weights: Weights
    x: Array
    whole: Callable[..., Array]
    """(weights, x, shift=None, kept=None) → the same output; `kept` gets `hidden` of each layer, in pieces"""
    layers: int = 1


def pieces(hidden: Array) -> Array:
    """(batch, hidden) as the devices hold it: rows over `data`, columns over `model`, on a first axis."""
    rows, columns = hidden.shape
    cut = hidden.reshape(ROWS, rows // ROWS, COLUMNS, columns // COLUMNS)
    return cut.transpose(0, 2, 1, 3).reshape(ROWS * COLUMNS, rows // ROWS, columns // COLUMNS)


def together(cut: Array) -> Array:
    """What `pieces` was made of."""
    _, rows, columns = cut.shape
    found = cut.reshape(ROWS, COLUMNS, rows, columns).transpose(0, 2, 1, 3)
    return found.reshape(ROWS * rows, COLUMNS * columns)


def _weights(layers: int | None = None) -> tuple[Weights, Array]:
    numbers = np.random.default_rng(0)
    shape = () if layers is None else (layers,)
    weights = {
        "up": jnp.asarray(numbers.normal(size=(*shape, 4, 8))),
        "down": jnp.asarray(numbers.normal(size=(*shape, 8, 4))),
    }
    return weights, jnp.asarray(numbers.normal(size=(4, 4)))


def _layer(weights: Weights, x: Array) -> Array:
    hidden = tag("hidden", jnp.tanh(x @ weights["up"]))
    return x + tag("sum", lax.psum(hidden @ weights["down"], "model"))


def _whole_layer(weights: Weights, x: Array, change: Callable[[Array], Array]) -> Array:
    return x + together(change(pieces(jnp.tanh(x @ weights["up"])))) @ weights["down"]


def _same(cut: Array) -> Array:
    return cut


def _specs(layers: bool) -> tuple[Any, Any]:
    stack = (None,) if layers else ()
    return (
        {"up": PartitionSpec(*stack, None, "model"), "down": PartitionSpec(*stack, "model")},
        PartitionSpec("data"),
    )


def mlp(mesh: Mesh, check: bool) -> ByHand:
    """One MLP, its hidden layer cut over `model`."""
    weights, x = _weights()
    model = jax.shard_map(_layer, mesh=mesh, in_specs=_specs(False), out_specs=PartitionSpec("data"), check_vma=check)
    return ByHand(model, weights, x, lambda w, x, changes=(_same,): _whole_layer(w, x, changes[0]))


def scan_inside(mesh: Mesh, check: bool) -> ByHand:
    """Three of them in a scan that runs within the shard_map."""
    weights, x = _weights(LAYERS)

    def layers(weights: Weights, x: Array) -> Array:
        def body(x: Array, layer: Weights) -> tuple[Array, None]:
            return _layer(layer, tag("in", x)), None

        return lax.scan(body, x, weights)[0]

    model = jax.shard_map(layers, mesh=mesh, in_specs=_specs(True), out_specs=PartitionSpec("data"), check_vma=check)
    return ByHand(model, weights, x, _whole_layers, LAYERS)


def scan_outside(mesh: Mesh, check: bool) -> ByHand:
    """A shard_map in the body of a scan."""
    weights, x = _weights(LAYERS)
    one = jax.shard_map(_layer, mesh=mesh, in_specs=_specs(False), out_specs=PartitionSpec("data"), check_vma=check)

    def model(weights: Weights, x: Array) -> Array:
        return lax.scan(lambda x, layer: (one(layer, tag("in", x)), None), x, weights)[0]

    return ByHand(model, weights, x, _whole_layers, LAYERS)


def remat_inside(mesh: Mesh, check: bool) -> ByHand:
    """The scan within the shard_map, each layer computed again in the backward pass."""
    weights, x = _weights(LAYERS)

    def layers(weights: Weights, x: Array) -> Array:
        step = jax.checkpoint(_layer)
        return lax.scan(lambda x, layer: (step(layer, tag("in", x)), None), x, weights)[0]

    model = jax.shard_map(layers, mesh=mesh, in_specs=_specs(True), out_specs=PartitionSpec("data"), check_vma=check)
    return ByHand(model, weights, x, _whole_layers, LAYERS)


def _whole_layers(
    weights: Weights, x: Array, changes: tuple[Callable[[Array], Array], ...] = (_same,) * LAYERS
) -> Array:
    for number, change in enumerate(changes):
        x = _whole_layer(jax.tree.map(lambda leaf, number=number: leaf[number], weights), x, change)
    return x


EVERY = (mlp, scan_inside, scan_outside, remat_inside)


def branches(mesh: Mesh) -> tuple[Callable[..., Array], Array]:
    """A branch that devices with a positive sum take."""

    def model(x: Array) -> Array:
        return lax.cond(x.sum() > 0, lambda x: tag("taken", x * 2), lambda x: x, x)

    spec = PartitionSpec("data", "model")
    return jax.shard_map(model, mesh=mesh, in_specs=spec, out_specs=spec), jnp.ones((2, 4))


def turns(mesh: Mesh) -> tuple[Callable[..., Array], Array]:
    """A loop that runs as often as the device's number says, and once more."""

    def model(x: Array) -> Array:
        def body(carried: tuple[Array, Array]) -> tuple[Array, Array]:
            count, x = carried
            return count + 1, tag("turn", x + 1)

        count = lax.axis_index("data") * COLUMNS + lax.axis_index("model") + 1
        return lax.while_loop(lambda carried: carried[0] < count, body, (count * 0, x))[1]

    spec = PartitionSpec("data", "model")
    return jax.shard_map(model, mesh=mesh, in_specs=spec, out_specs=spec), jnp.ones((2, 4))
