"""The twins are twins: called bare, without any engine, they give what the oracles' hand-written passes give."""

import re
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
import torch
from flax import nnx
from oracles import SUBJECTS, Inputs, Subject, cast
from torch import nn
from twins import TWINS, Built, Twin, run, wide

pytestmark = pytest.mark.slow  # JAX compiles each model: half a minute together
every_twin = pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
ARRAY = np.ndarray[Any, Any]


@cache
def oracle(name: str, dtype: torch.dtype) -> tuple[Subject, nn.Module, Inputs]:
    subject = next(each for each in SUBJECTS if each.name == name)
    return subject, subject.build(dtype), cast(subject.inputs(), dtype)


@torch.no_grad()
def truth(twin: Twin, dtype: torch.dtype) -> ARRAY:
    subject, module, inputs = oracle(twin.oracle, dtype)
    return (twin.forward or subject.forward)(module, inputs, lambda site, value: value).numpy()


def built(twin: Twin, dtype: torch.dtype) -> tuple[Built, Any]:
    _, module, inputs = oracle(twin.oracle, dtype)
    return twin.build(module, np.dtype(str(dtype).removeprefix("torch."))), twin.inputs(inputs)


@every_twin
def test_a_twin_is_its_oracle_in_float64(twin: Twin) -> None:
    with wide():
        output = run(twin, *built(twin, torch.float64))
        assert output.dtype == np.float64
    close(output, truth(twin, torch.float64), twin.tolerance)


@every_twin
def test_a_twin_is_its_oracle_in_float32_jitted_and_without_the_wide_mode(twin: Twin) -> None:
    model, inputs = built(twin, torch.float32)
    if twin.framework == "nnx":  # jax.jit may not close over a module whose variables nnx.scan writes back
        output = nnx.jit(lambda module, inputs: run(twin, Built(module), inputs))(model.module, inputs)
    else:
        output = jax.jit(lambda inputs: run(twin, model, inputs))(inputs)
    assert output.dtype == np.float32
    close(output, truth(twin, torch.float32), 1e-4)


def close(found: jax.Array, true: ARRAY, tolerance: float) -> None:
    """Within `tolerance` of the largest value."""
    np.testing.assert_allclose(np.asarray(found), true, rtol=0, atol=tolerance * np.abs(true).max())


@pytest.mark.parametrize("twin", [t for t in TWINS if t.framework in ("linen", "haiku")], ids=lambda twin: twin.name)
def test_converters_fill_what_the_model_itself_would_make_and_nothing_else(twin: Twin) -> None:
    model, inputs = built(twin, torch.float32)
    keywords = inputs if isinstance(inputs, dict) else {}
    arguments = () if isinstance(inputs, dict) else (inputs,)
    own = jax.eval_shape(model.module.init, jax.random.key(0), *arguments, **keywords)
    if twin.framework == "linen":  # what the scans collect is no weight
        own = {name: tree for name, tree in own.items() if name in ("params", "batch_stats")}
    assert shapes(model.weights) == shapes(own)


def shapes(weights: Any) -> dict[str, tuple[Any, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(weights)
    return {jax.tree_util.keystr(path): (leaf.shape, leaf.dtype) for path, leaf in leaves}


@pytest.mark.parametrize("twin", [t for t in TWINS if t.framework in ("nnx", "equinox")], ids=lambda twin: twin.name)
def test_parts_are_where_the_twin_says(twin: Twin) -> None:
    subject, module, inputs = oracle(twin.oracle, torch.float32)
    sites: list[str] = []
    subject.forward(module, inputs, lambda site, value: (sites.append(site), value)[1])
    paths = {site.partition(":")[0].partition("#")[0] for site in sites if not twin.lacking(site)}
    model = built(twin, torch.float32)[0].module
    for path in paths:
        part = model
        for name in re.sub(r"\[\d+\]|:.*", "", twin.native(path)).split("."):
            part = part[int(name)] if name.isdigit() else getattr(part, name)
        assert callable(part), path
