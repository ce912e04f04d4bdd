"""Places that a pass over jaxprs cannot enter, or enters at a price."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import pallas

from ..tagging import tag
from ..twin import Built
from .trap import Trap, matrix, numbers, vectors

STRAIGHT = 100.0


@jax.custom_vjp
def rounded(x: Array) -> Array:
    return tag("rounded:pre", x * 2.0).round()


def _forward(x: Array) -> tuple[Array, None]:
    return rounded(x), None


def _backward(_: None, cotangent: Array) -> tuple[Array]:
    return (STRAIGHT * cotangent,)


rounded.defvjp(_forward, _backward)


def own_gradient() -> Trap:
    """A named value within a function that has a gradient of its own (jax.custom_vjp): 100, where the true one is 0.

    Whoever writes the function's equations out to reach the value drops that rule, and every gradient that goes
    through it changes in silence. To look without gradients is safe; with them it must keep the rule or be refused.
    """
    weight, x = matrix(1), vectors()

    def model(params: Array, x: Array) -> Array:
        return rounded(x @ params)

    pre = 2.0 * (numbers(x) @ numbers(weight))
    return Trap("function", Built(model, weight), x, np.round(pre), {"rounded:pre": pre})


def callback() -> Trap:
    """NumPy in the middle of a model (jax.pure_callback): what goes in and comes out has sites, what is there none."""
    x = vectors()

    def model(_: dict[str, Array], x: Array) -> Array:
        before = tag("before:out", x + 1.0)
        shape = jax.ShapeDtypeStruct(before.shape, before.dtype)
        ordered = jax.pure_callback(partial(np.sort, axis=-1), shape, before, vmap_method="expand_dims")
        return tag("after:out", 2.0 * ordered)

    before = numbers(x) + 1.0
    after = 2.0 * np.sort(before, axis=-1)
    return Trap("function", Built(model, {}), x, after, {"before:out": before, "after:out": after})


def kernel() -> Trap:
    """A Pallas kernel: its body is a jaxpr of its own, over references and not values, which nobody may write into.

    The body here squares; a pass that treats it as any other jaxpr would tag or edit memory.
    """
    weight, x = matrix(2), vectors()

    def square(source: object, target: object) -> None:
        target[...] = source[...] * source[...]  # type: ignore[index]

    def model(params: Array, x: Array) -> Array:
        before = tag("before:out", x @ params)
        # Interpreted: there are no kernels for the CPU.
        shape = jax.ShapeDtypeStruct(before.shape, before.dtype)
        return tag("after:out", jnp.tanh(pallas.pallas_call(square, out_shape=shape, interpret=True)(before)))

    before = numbers(x) @ numbers(weight)
    after = np.tanh(before * before)
    return Trap("function", Built(model, weight), x, after, {"before:out": before, "after:out": after})
