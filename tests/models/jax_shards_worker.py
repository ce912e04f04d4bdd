"""What test_jax_shards runs on eight virtual devices: models cut over a mesh, each compared with one device.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python jax_shards_worker.py FILE [CASE…]

In a process of its own: JAX reads the flag once, when it is first imported. FILE gets each case's name → "ok", or what
went wrong. Without a CASE all are run.
"""

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import jax_by_hand_cases
import jax_cut_cases
import jax_typed_cases
import numpy as np
import torch
from jax import Array
from jax.sharding import AxisType, Mesh, PartitionSpec
from jax_cut import cut
from jax_mesh import Case, close, devices
from twins import run, wide
from twins.tagging import tag

DEVICES = 8


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


BARE: dict[str, Case] = {
    "linen, cut weights": weights_and_batch("gpt2-linen"),
    "linen under a scan, cut weights": weights_and_batch("gpt2-linen-scan"),
    "haiku, cut weights": weights_and_batch("gpt2-haiku"),
    "a function, cut weights": weights_and_batch("gpt2-function"),
    "shard_map": by_hand,
    "explicit axes": by_type,
}
CASES: dict[str, Case] = BARE | jax_by_hand_cases.CASES | jax_cut_cases.CASES | jax_typed_cases.CASES


def told(case: Case, mesh: Mesh) -> str:
    try:
        case(mesh)
    except Exception:  # noqa: BLE001 - told to the test, which fails with it
        return traceback.format_exc()
    return "ok"


def main(file: Path, *names: str) -> None:
    assert jax.device_count() == DEVICES, f"{jax.device_count()} devices: set XLA_FLAGS as the docstring says"
    torch.set_num_threads(1)
    with wide():
        cases = {name: CASES[name] for name in names or CASES}
        file.write_text(json.dumps({name: told(case, devices(AxisType.Auto)) for name, case in cases.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
