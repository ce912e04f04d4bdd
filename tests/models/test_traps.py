"""The traps are what their docstrings say: bare, each gives what was worked out by hand."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from twins import Twin, run, wide
from twins.traps import TRAPS, Trap, opaque, state

from darklantern.models.sites import parse

pytestmark = pytest.mark.slow
every_trap = pytest.mark.parametrize("make", TRAPS, ids=lambda make: make.__name__)


def bare(trap: Trap) -> jax.Array:
    twin = Twin("", "", trap.framework, build=lambda *_: trap.built)
    return run(twin, trap.built, trap.inputs)


@every_trap
def test_a_trap_gives_what_was_worked_out_by_hand(make: Callable[[], Trap]) -> None:
    with wide():
        trap = make()
        output = bare(trap)
    assert trap.output.dtype == np.float64
    np.testing.assert_allclose(output, trap.output, rtol=0, atol=1e-12)
    assert make.__doc__


@every_trap
def test_its_sites_are_spelled_as_documented(make: Callable[[], Trap]) -> None:
    trap = make()
    for site in (*trap.inside, *trap.absent):
        assert str(parse(site)) == site
    assert trap.output.dtype == np.float32


def test_the_function_with_a_gradient_of_its_own_has_it() -> None:
    trap = opaque.own_gradient()
    gradient = jax.grad(lambda x: trap.built.module(trap.built.weights, x).sum())(trap.inputs)
    expected = opaque.STRAIGHT * np.asarray(trap.built.weights).sum(1)
    np.testing.assert_allclose(gradient, np.tile(expected, (2, 1)), rtol=1e-5)


def test_runs_move_the_stream_and_the_statistics() -> None:
    streaming, norm = state.dropout_with_a_stream(), state.training_norm()
    assert not np.array_equal(bare(streaming), bare(streaming))
    before = np.asarray(norm.built.module.bn.mean[...])
    bare(norm)
    assert not np.array_equal(before, norm.built.module.bn.mean[...])
