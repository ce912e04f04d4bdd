"""One part at several places, several parts that look like one, and parts that no argument leads to."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax import Array

from ..twin import Built
from .caches import filled, mapped
from .trap import DIM, Numbers, Trap, matrix, numbers, vectors


class Twice(linen.Module):
    def setup(self) -> None:
        self.mix = linen.Dense(DIM, use_bias=False)

    def __call__(self, x: Array) -> Array:
        return self.mix(jnp.tanh(self.mix(x)))


def called_twice() -> Trap:
    """A part that runs twice: `mix:out` alone is ambiguous, `mix#0` and `mix#1` are not. Its name stack is one."""
    weight, x = matrix(1), vectors()
    built = Built(Twice(), {"params": {"mix": {"kernel": weight}}})
    inside = twice("mix#0", "mix#1", numbers(x), weight, weight)
    return Trap("linen", built, x, inside["mix#1:out"], inside)


class Shared(nnx.Module):
    def __init__(self) -> None:
        self.first = nnx.Linear(DIM, DIM, use_bias=False, rngs=nnx.Rngs(0))
        self.second = self.first

    def __call__(self, x: Array) -> Array:
        return self.second(jnp.tanh(self.first(x)))


def two_names() -> Trap:
    """nnx: one module under two attributes. It has one path, the first, and two calls; `second` is another name for it.

    Whoever walks the graph meets it once, and whoever walks attributes twice.
    """
    weight, x = matrix(2), vectors()
    module = Shared()
    module.first.kernel.set_value(weight)
    inside = twice("first#0", "first#1", numbers(x), weight, weight)
    return Trap("nnx", Built(module), x, inside["first#1:out"], inside)


class Copies(eqx.Module):
    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return self.second(jnp.tanh(self.first(x)))


def two_copies() -> Trap:
    """Equinox: the same object under two fields is two parts by design. An edit at `first` leaves `second` alone."""
    weight, x = matrix(2), vectors()
    linear = filled(eqx.nn.Linear, weight)
    inside = twice("first", "second", numbers(x), weight, weight)
    return Trap("equinox", Built(Copies(linear, linear), call=mapped), x, inside["second:out"], inside)


class Inner(linen.Module):
    @linen.compact
    def __call__(self, x: Array) -> Array:
        return jnp.tanh(linen.Dense(DIM, use_bias=False, name="hidden")(x))


def linen_in_a_function() -> Trap:
    """A function that calls a linen module's `apply`, as training code does: the parts are there while it is traced."""
    weight, x = matrix(4), vectors()
    module = Inner()
    built = Built(lambda params, x: 2.0 * module.apply({"params": params}, x), {"hidden": {"kernel": weight}})
    hidden = numbers(x) @ numbers(weight)
    return Trap("function", built, x, 2.0 * np.tanh(hidden), {"hidden:out": hidden})


def twice(first: str, second: str, x: Numbers, one: Array, other: Array) -> dict[str, Numbers]:
    hidden = x @ numbers(one)
    return {f"{first}:out": hidden, f"{second}:in": np.tanh(hidden), f"{second}:out": np.tanh(hidden) @ numbers(other)}
