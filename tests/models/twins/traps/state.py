"""Models that change when they run: random streams, running statistics. To look is a run, and must leave no trace."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax import Array

from ..twin import Built
from .trap import DIM, Trap, matrix, numbers, vectors

RATE = 0.5


class Dropped(linen.Module):
    @linen.compact
    def __call__(self, x: Array) -> Array:
        return linen.Dropout(RATE, deterministic=False, name="drop")(x)


def dropout() -> Trap:
    """linen's dropout, its key an input: the same key must drop the same numbers whether anybody looks or not.

    linen derives keys from module paths: a module in between, to look, would change which numbers are dropped.
    """
    x, key = vectors(8), jax.random.key(5)
    module = Dropped()
    built = Built(lambda params, x, key: module.apply(params, x, rngs={"dropout": key}), {})
    output = numbers(module.apply({}, x, rngs={"dropout": key}))
    return Trap("function", built, {"x": x, "key": key}, output, {"drop:in": numbers(x), "drop:out": output})


class Streaming(nnx.Module):
    def __init__(self) -> None:
        self.drop = nnx.Dropout(RATE, deterministic=False, rngs=nnx.Rngs(dropout=5))

    def __call__(self, x: Array) -> Array:
        return self.drop(x)


def dropout_with_a_stream() -> Trap:
    """nnx's dropout draws from a stream in the model, and each run moves it on: two runs differ, and so would a run
    after one in which somebody looked. `output` is that of the first run."""
    x = vectors(8)
    output = numbers(Streaming()(x))
    return Trap("nnx", Built(Streaming()), x, output, {"drop:in": numbers(x), "drop:out": output})


class Normed(nnx.Module):
    def __init__(self) -> None:
        more = {"param_dtype": jnp.result_type(float), "rngs": nnx.Rngs(0)}
        self.bn = nnx.BatchNorm(DIM, use_running_average=False, momentum=0.5, epsilon=1e-5, **more)
        # nnx makes the running statistics in float32 whatever it is told, and then refuses to write wider ones there.
        self.bn.mean.set_value(jnp.zeros(DIM))
        self.bn.var.set_value(jnp.ones(DIM))

    def __call__(self, x: Array) -> Array:
        return self.bn(x)


def training_norm() -> Trap:
    """nnx's BatchNorm in training: it divides by this batch's statistics, and writes its running ones into the model.

    Afterwards `bn.mean` must be what it was, or looking trains the model.
    """
    x = matrix(102, 8, DIM)
    return Trap("nnx", Built(Normed()), x, normed(x), {"bn:in": numbers(x), "bn:out": normed(x)})


class Stateful(eqx.Module):
    bn: eqx.nn.BatchNorm

    def __call__(self, x: Array, state: eqx.nn.State) -> tuple[Array, eqx.nn.State]:
        return self.bn(x, state)


def training_norm_with_state() -> Trap:
    """Equinox's: the part returns its output and a State, both; `out` is the output, and the State goes on untouched.

    It takes the mean over vmap's axis by name: whoever runs it for one example alone has no such axis.
    """
    x = matrix(102, 8, DIM)
    make = eqx.nn.make_with_state(lambda: Stateful(eqx.nn.BatchNorm(DIM, axis_name="batch", mode="batch")))
    module, state = make()

    def call(model: Stateful, x: Array) -> Array:
        return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)[0]

    return Trap("equinox", Built(module, call=call), x, normed(x), {"bn:in": numbers(x), "bn:out": normed(x)})


def normed(x: Array) -> np.ndarray:
    return numbers((x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5))
