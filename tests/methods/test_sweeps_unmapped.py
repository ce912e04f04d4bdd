"""Sweeps of several cells at once over what `jax.vmap` cannot map: one by one then, and no other error is hidden."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from frameworks import normal
from jax.experimental import io_callback
from jax.extend.core import Primitive
from jax.interpreters import mlir

import darklantern as dl
from darklantern.errors import SiteError
from darklantern.methods import sweep
from darklantern.models.on_jax.patches import Patches

DIM = 4
doubled = Primitive("doubled_by_hand")
doubled.def_abstract_eval(lambda aval: aval)
mlir.register_lowering(doubled, mlir.lower_fun(lambda x: 2 * x, multiple_results=False))


def called_back(ordered: bool) -> Callable[[Any], Any]:
    return lambda x: io_callback(lambda each: 2 * np.asarray(each), x, x, ordered=ordered)


def looping(x: Any) -> Any:
    def body(carried: Any) -> Any:
        count, x = carried
        return count + 1, called_back(ordered=True)(x)

    return jax.lax.while_loop(lambda carried: carried[0] < 1, body, (0, x))[1]


DOUBLINGS: dict[str, Callable[[Any], Any]] = {
    "a primitive": doubled.bind,
    "a callback": lambda x: jax.pure_callback(lambda each: 2 * np.asarray(each), x, x),
    "an ordered callback": called_back(ordered=True),
    "one in a while loop": looping,
}


def net(weights: Any, x: Any, double: Callable[[Any], Any]) -> Any:
    for number, w in enumerate(weights):
        with dl.part(f"layers.{number}"):
            x = dl.tag("out", double(x) + jnp.tanh(jnp.roll(x, 1, 1) @ w))
    return x


def swept(double: Callable[[Any], Any]) -> Any:
    weights, clean, corrupt = (
        jnp.asarray(normal(*shape, seed=seed), jnp.float32)
        for seed, shape in enumerate([(2, DIM, DIM), (2, 3, DIM), (2, 3, DIM)])
    )
    model = dl.open(lambda weights, x: net(weights, x, double), weights=weights, example=clean)
    return sweep(model, clean, corrupt, ["layers.*:out"], lambda output: output[:, -1].sum(), at_once=3).array


@pytest.mark.parametrize("double", DOUBLINGS.values(), ids=list(DOUBLINGS))
def test_what_cannot_be_mapped_is_run_cell_by_cell(double: Callable[[Any], Any]) -> None:
    np.testing.assert_allclose(swept(double), swept(lambda x: 2 * x), rtol=1e-4, atol=1e-5)


@jax.custom_batching.custom_vmap
def misruled(x: Any) -> Any:
    return 2 * x


@misruled.def_vmap
def _(*_: Any) -> Any:
    raise TypeError("a fault in a rule of the model's own")


def test_a_fault_in_a_rule_of_the_models_own_comes_up() -> None:
    with pytest.raises(TypeError, match="of the model's own"):
        swept(misruled)


@pytest.mark.parametrize("error", [AttributeError("a fault of the engine"), SiteError("no vmap there", hint="none")])
def test_no_other_error_is_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Patches, "_mapped", fails)
    with pytest.raises(type(error)) as caught:
        swept(lambda x: 2 * x)
    assert caught.value is error
