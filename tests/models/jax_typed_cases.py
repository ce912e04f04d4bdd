"""Own models cut by what jit is told, and by their types, for jax_shards_worker: sites are whole, and stay cut."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax_mesh import Case, close, devices

from darklantern import models, part, tag
from darklantern.models import edits

LAYERS = 3
Weights = dict[str, Array]


def jitted_inside(mesh: Mesh) -> None:
    """A function that the model jits with shardings keeps them when it is opened up."""
    rows, columns = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("data",), ("data", "model")))

    def mlp(weights: Weights, x: Array) -> Array:
        return tag("hidden", jnp.tanh(x @ weights["up"]))

    # What goes in is told to be cut by rows, what comes out by both: nothing else in the model says so.
    inner = jax.jit(mlp, in_shardings=(None, rows), out_shardings=columns)

    def model(weights: Weights, x: Array) -> Array:
        return inner(weights, x) @ weights["down"]

    weights, x = _weights(1)
    weights, x = jax.tree.map(lambda leaf: leaf[0], weights), x[:, 0]
    opened = models.open(model, weights=weights, example=x)
    recording = opened.record(x, ":hidden")
    close(recording[":hidden"], jnp.tanh(x @ weights["up"]))
    assert recording[":hidden"].array.sharding.is_equivalent_to(columns, 2), recording[":hidden"].array.sharding
    close(opened.run(x, {":hidden": edits.scale(2.0)}), 2 * jnp.tanh(x @ weights["up"]) @ weights["down"])


# Explicit axes


def _weights(layers: int) -> tuple[Weights, Array]:
    numbers = np.random.default_rng(0)
    weights = {
        "up": jnp.asarray(numbers.normal(size=(layers, 4, 8))),
        "down": jnp.asarray(numbers.normal(size=(layers, 8, 4))),
    }
    return weights, jnp.asarray(numbers.normal(size=(4, 6, 4)))


def _layer(weights: Weights, x: Array) -> Array:
    """Its types say how values are cut: hidden over both axes of the mesh, what comes out over examples alone."""
    x = tag("in", x)
    hidden = tag("hidden", jnp.tanh(jnp.einsum("bpd,dh->bph", x, weights["up"])))
    return x + jnp.einsum("bph,hd->bpd", hidden, weights["down"], out_sharding=PartitionSpec("data"))


def _scanned(weights: Weights, x: Array) -> Array:
    return lax.scan(lambda x, layer: (_layer(layer, x), None), x, weights)[0]


def _unrolled(weights: Weights, x: Array) -> Array:
    for number in range(LAYERS):
        with part(f"layers.{number}"):
            x = _layer(jax.tree.map(lambda leaf, number=number: leaf[number], weights), x)
    return x


def _true(weights: Weights, x: Array, changes: Any) -> Array:
    for number in range(LAYERS):
        hidden = jnp.tanh(x @ weights["up"][number])
        x = x + changes.get(number, lambda value: value)(hidden) @ weights["down"][number]
    return x


def explicit(model: Callable[..., Array]) -> Case:
    """All of it where types say how values are cut."""

    def case(_: Mesh) -> None:
        over = devices(AxisType.Explicit)
        weights, x = _weights(LAYERS)
        with jax.set_mesh(over):
            held = {
                "up": jax.device_put(weights["up"], PartitionSpec(None, None, "model")),
                "down": jax.device_put(weights["down"], PartitionSpec(None, "model")),
            }
            _explicitly(model, weights, x, held, jax.device_put(x, PartitionSpec("data")))

    return case


def _explicitly(model: Callable[..., Array], weights: Weights, x: Array, held: Weights, inputs: Array) -> None:
    seen: dict[int, Array] = {}
    keeping = {number: lambda value, number=number: seen.setdefault(number, value) for number in range(LAYERS)}
    output = _true(weights, x, keeping)
    opened = models.open(model, weights=held, example=inputs)
    sites = [f"layers.{number}:hidden" for number in range(LAYERS)]
    for asked in (sites, sites[1:]):
        recording = opened.record(inputs, *asked)
        close(recording.output, output)
        for site in asked:
            close(recording[site], seen[int(site[7])])
            assert jax.typeof(recording[site].array).sharding.spec == PartitionSpec("data", None, "model"), site
    for pins, at in (("pos=2", np.s_[:, 2]), ("dim=3", np.s_[..., 3]), ("batch=1,pos={0,5}", np.s_[1, [0, 5]])):
        site = f"{sites[1]}[{pins}]"
        close(opened.record(inputs, site)[site], seen[1][at])
        zeroed = {1: lambda value, at=at: value.at[at].set(0)}
        close(opened.run(inputs, {site: edits.zero()}), _true(weights, x, zeroed))
    shift = jnp.arange(8.0)
    close(opened.run(inputs, {sites[1]: edits.add(shift)}), _true(weights, x, {1: lambda value: value + shift}))
    found = opened.gradient(inputs, lambda output: (output**2).sum(), *sites[1:]).gradients
    first = f"{sites[0]}[pos=1]"
    alone = opened.gradient(inputs, lambda output: (output**2).sum(), first).gradients[first]
    for number, given in ((1, found[sites[1]]), (2, found[sites[2]])):
        close(given, _gradient(weights, x, number))
    close(alone, _gradient(weights, x, 0)[:, 1])
    close(opened.record(inputs, sites[1], stop=True)[sites[1]], seen[1])
    start = opened.start(inputs, "layers.1")
    close(opened.run(start), output)
    gone = _true(weights, x, {2: lambda value: value * 0})
    close(opened.run(start, {sites[2]: edits.zero()}), gone)


def _gradient(weights: Weights, x: Array, layer: int) -> Array:
    def total(shift: Array) -> Array:
        return (_true(weights, x, {layer: lambda value: value + shift}) ** 2).sum()

    return jax.grad(total)(jnp.zeros((4, 6, 8)))


CASES: dict[str, Case] = {
    "jitted inside with shardings": jitted_inside,
    "explicit axes, unrolled": explicit(_unrolled),
    "explicit axes, scanned": explicit(_scanned),
}
