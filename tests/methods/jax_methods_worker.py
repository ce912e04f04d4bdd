"""What test_methods_cut_jax runs on two virtual devices: each method on a model whose weights lie cut over both.

    XLA_FLAGS=--xla_force_host_platform_device_count=2 python jax_methods_worker.py FILE [CASE…]

In a process of its own: JAX reads the flag once. FILE gets each case's name → "ok", or what went wrong.
"""

import json
import sys
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from each_method import CASES, CONTRAST, LAYERS, Methods, agree, tokens
from jax.sharding import AxisType
from jax_cut import cut_tree
from small_transformers import gpt2
from torch import nn
from twins import TWINS

from darklantern import models
from darklantern.models.opened import Model

TWIN = "gpt2-linen"


def opened(module: nn.Module, cut: bool) -> Model:
    twin = next(each for each in TWINS if each.name == TWIN)
    built = twin.build(module, np.float64)
    weights = built.weights
    if cut:
        mesh = jax.make_mesh((1, 2), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
        weights = cut_tree(mesh, weights)
        assert not all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(weights))
    return models.open(built.module, weights=weights, call=built.call, example=jnp.asarray(tokens(CONTRAST, 0)))


def main(file: Path, *only: str) -> None:
    torch.set_num_threads(1)
    assert len(jax.devices()) == 2
    jax.config.update("jax_enable_x64", True)
    # XLA's CPU devices share one pool of threads, and a sum over devices ends the process where one of them gets none.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    module, earlier, told = gpt2(LAYERS), gpt2(LAYERS), {}
    for weights in earlier.transformer.h[1].parameters():
        weights.data *= 0.9
    pairs = [(opened(module, cut), Methods(opened(earlier, cut), jnp.asarray)) for cut in (True, False)]
    for case in only or CASES:
        began = time.perf_counter()
        try:
            agree(*(getattr(calls, case)(model) for model, calls in pairs))
            told[case] = "ok"
        except Exception:  # noqa: BLE001 - what went wrong is the result
            told[case] = traceback.format_exc()
        print(f"{case}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        file.write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
