"""The twins are twins: called bare, without any engine, they give what the oracles' hand-written passes give."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
import torch
from oracles import SUBJECTS, Inputs, Subject, cast
from torch import nn
from twins import TWINS, Built, Twin, run, wide

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


def found(twin: Twin, dtype: torch.dtype) -> tuple[Built, jax.Array]:
    _, module, inputs = oracle(twin.oracle, dtype)
    built = twin.build(module, np.dtype(str(dtype).removeprefix("torch.")))
    return built, run(twin, built, twin.inputs(inputs))


@every_twin
def test_a_twin_is_its_oracle_in_float64(twin: Twin) -> None:
    with wide():
        output = found(twin, torch.float64)[1]
        assert output.dtype == np.float64
    close(output, truth(twin, torch.float64), twin.tolerance)


@every_twin
def test_a_twin_is_its_oracle_in_float32_without_the_wide_mode(twin: Twin) -> None:
    output = found(twin, torch.float32)[1]
    assert output.dtype == np.float32
    close(output, truth(twin, torch.float32), 1e-4)


def close(found: jax.Array, true: ARRAY, tolerance: float) -> None:
    """Within `tolerance` of the largest value."""
    np.testing.assert_allclose(np.asarray(found), true, rtol=0, atol=tolerance * np.abs(true).max())
