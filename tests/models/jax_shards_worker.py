"""What test_jax_shards runs on eight virtual devices: models cut over a mesh, each compared with one device.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python jax_shards_worker.py FILE

In a process of its own: JAX reads the flag once, when it is first imported. FILE gets each case's name → "ok", or what
went wrong.
"""

import json
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from conforming.truth import Truth
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from oracles import SUBJECTS as ORACLES
from twins import TWINS, Built, Twin, run, wide
from twins.tagging import tag

DEVICES = 8
Case = Callable[[Mesh], None]


def devices(kind: AxisType) -> Mesh:
    """Two rows of four. Over `Auto` axes the compiler spreads values, over `Explicit` ones their types say how."""
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=(kind, kind))


def cut_tree(mesh: Mesh, tree: Any) -> Any:
    """Matrices cut by columns where they divide, all else on every device."""

    def place(leaf: Array) -> Array:
        columns = leaf.ndim >= 2 and leaf.shape[-1] % mesh.shape["model"] == 0
        spec = PartitionSpec(*(None,) * (leaf.ndim - 1), "model") if columns else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(place, tree)


def cut_rows(mesh: Mesh, array: Array) -> Array:
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec("data")))


def twin(name: str) -> tuple[Twin, Truth]:
    found = next(each for each in TWINS if each.name == name)
    return found, Truth(next(oracle for oracle in ORACLES if oracle.name == found.oracle), found.forward)


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(np.nan_to_num(expected, neginf=0)).max())


def cut(name: str, mesh: Mesh) -> tuple[Twin, Truth, Built, Array]:
    """The twin with its weights and its inputs over the mesh."""
    whole, truth = twin(name)
    built = whole.build(truth.module, np.float64)
    built = built._replace(weights=cut_tree(mesh, built.weights))
    return whole, truth, built, cut_rows(mesh, whole.inputs(truth.inputs))


def weights_and_batch(name: str) -> Case:
    """Weights and inputs lie cut; the compiler adds what communication it needs."""

    def case(mesh: Mesh) -> None:
        whole, truth, built, inputs = cut(name, mesh)
        assert not all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(built.weights))
        output = jax.jit(lambda weights, inputs: run(whole, built._replace(weights=weights), inputs))(
            built.weights, inputs
        )
        close(output, truth.output)

    return case


def mlp(weights: dict[str, Array], x: Array) -> Array:
    """An MLP whose hidden layer is cut over `model`, written with its communication, as shard_map wants it."""
    hidden = tag("hidden:out", jnp.tanh(x @ weights["up"]))
    return jax.lax.psum(hidden @ weights["down"], "model")


def manual_mlp(mesh: Mesh) -> tuple[Callable[..., Array], dict[str, Array], Array]:
    numbers = np.random.default_rng(0)
    weights = {"up": jnp.asarray(numbers.normal(size=(3, 8))), "down": jnp.asarray(numbers.normal(size=(8, 5)))}
    specs = ({"up": PartitionSpec(None, "model"), "down": PartitionSpec("model")}, PartitionSpec("data"))
    model = jax.shard_map(mlp, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("data"))
    return model, weights, jnp.asarray(numbers.normal(size=(4, 3)))


def by_hand(mesh: Mesh) -> None:
    """shard_map: each device runs the function on its piece, `hidden` is a piece on each."""
    model, weights, x = manual_mlp(mesh)
    close(jax.jit(model)(weights, x), jnp.tanh(x @ weights["up"]) @ weights["down"])


def by_type(_: Mesh) -> None:
    """Explicit axes: how a value is spread is part of its type; a product over a cut axis says what comes out."""
    over = devices(AxisType.Explicit)
    _, weights, x = manual_mlp(over)

    def model(weights: dict[str, Array], x: Array) -> Array:
        hidden = tag("hidden:out", jnp.tanh(x @ weights["up"]))
        return jnp.einsum("bh,ho->bo", hidden, weights["down"], out_sharding=PartitionSpec("data"))

    with jax.set_mesh(over):
        cut = {
            "up": jax.device_put(weights["up"], PartitionSpec(None, "model")),
            "down": jax.device_put(weights["down"], PartitionSpec("model")),
        }
        found = jax.jit(model)(cut, jax.device_put(x, PartitionSpec("data")))
    close(found, jnp.tanh(x @ weights["up"]) @ weights["down"])


def every_site(mesh: Mesh) -> None:
    """The engine sees whole values in a model that is cut."""
    from darklantern import models

    _, truth, built, inputs = cut("gpt2-function-tagged", mesh)
    recording = models.open(built.module, weights=built.weights, example=inputs).record(inputs, *truth.seen)
    for site, value in truth.seen.items():
        close(recording[site].array, value)
    close(recording.output, truth.output)


def edits_and_gradients(mesh: Mesh) -> None:
    """And changes and differentiates them as in one that is whole."""
    from darklantern import models
    from darklantern.models import edits

    _, truth, built, inputs = cut("gpt2-function-tagged", mesh)
    model = models.open(built.module, weights=built.weights, example=inputs)
    for site in ("layers.1.attn:pattern", "layers.1.mlp:neurons", "layers.0:resid_mid"):
        close(model.run(inputs, {site: edits.zero()}), truth.gone(site))
        weights = np.ones_like(truth.output)
        found = model.gradient(inputs, lambda output: output.sum(), site).gradients[site].array
        close(found, truth.gradients(weights, [site])[site])


BARE: dict[str, Case] = {
    "linen, cut weights": weights_and_batch("gpt2-linen"),
    "linen under a scan, cut weights": weights_and_batch("gpt2-linen-scan"),
    "haiku, cut weights": weights_and_batch("gpt2-haiku"),
    "a function, cut weights": weights_and_batch("gpt2-function"),
    "shard_map": by_hand,
    "explicit axes": by_type,
}
ENGINE: dict[str, Case] = {"engine: every site": every_site, "engine: edits and gradients": edits_and_gradients}
CASES = BARE | (ENGINE if find_spec("darklantern.models.on_jax") else {})


def told(case: Case, mesh: Mesh) -> str:
    try:
        case(mesh)
    except Exception:  # noqa: BLE001 - told to the test, which fails with it
        return traceback.format_exc()
    return "ok"


def main(file: Path) -> None:
    assert jax.device_count() == DEVICES, f"{jax.device_count()} devices: set XLA_FLAGS as the docstring says"
    torch.set_num_threads(1)
    with wide():
        file.write_text(json.dumps({name: told(case, devices(AxisType.Auto)) for name, case in CASES.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
