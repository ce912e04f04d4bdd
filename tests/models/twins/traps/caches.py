"""Traced once, or computed again: jit's cache and remat."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from ..twin import Built
from .trap import DIM, Trap, matrix, numbers, vectors

JittedDense = linen.jit(linen.Dense)


class LinenModel(linen.Module):
    @linen.compact
    def __call__(self, x: Array) -> Array:
        return linen.Dense(DIM, use_bias=False, name="last")(
            jnp.tanh(JittedDense(DIM, use_bias=False, name="hidden")(x))
        )


def linen_jitted() -> Trap:
    """A jitted part that was traced before anybody looked: its jaxpr is in JAX's cache, without any names.

    Who tags what modules return while tracing sees nothing of `hidden`, and no error: the cached jaxpr is used.
    """
    first, last, x = matrix(1), matrix(2), vectors()
    weights = {"params": {"hidden": {"kernel": first}, "last": {"kernel": last}}}
    module = LinenModel()
    module.apply(weights, x)
    return two_layers("linen", Built(module, weights), x, first, last)


class NnxModel(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.hidden = nnx.Linear(DIM, DIM, use_bias=False, rngs=rngs)
        self.last = nnx.Linear(DIM, DIM, use_bias=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.last(jnp.tanh(run_jitted(self.hidden, x)))


@nnx.jit
def run_jitted(part: nnx.Linear, x: Array) -> Array:
    return part(x)


def nnx_jitted() -> Trap:
    """The same in nnx: a function under nnx.jit, traced before anybody looked."""
    first, last, x = matrix(1), matrix(2), vectors()
    module = NnxModel()
    module.hidden.kernel.set_value(first)
    module.last.kernel.set_value(last)
    module(x)
    return two_layers("nnx", Built(module), x, first, last)


class JittedLinear(eqx.nn.Linear):
    @eqx.filter_jit
    def __call__(self, x: Array) -> Array:
        return self.weight @ x


class EquinoxModel(eqx.Module):
    hidden: JittedLinear
    last: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return self.last(jnp.tanh(self.hidden(x)))


def equinox_jitted() -> Trap:
    """The same in Equinox: a module whose `__call__` is under eqx.filter_jit, traced before anybody looked.

    The cache goes by the arguments' tree: a subclass that says where the module is makes another tree, and a new trace.
    """
    first, last, x = matrix(1), matrix(2), vectors()
    module = EquinoxModel(filled(JittedLinear, first), filled(eqx.nn.Linear, last))
    mapped(module, x)
    return two_layers("equinox", Built(module, call=mapped), x, first, last)


def two_layers(framework: str, built: Built, x: Array, first: Array, last: Array) -> Trap:
    hidden = numbers(x) @ numbers(first)
    output = np.tanh(hidden) @ numbers(last)
    return Trap(framework, built, x, output, {"hidden:in": numbers(x), "hidden:out": hidden, "last:out": output})


class Rematerialised(eqx.Module):
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return eqx.filter_checkpoint(lambda x: self.last(jnp.tanh(self.hidden(x))))(x)


def remat() -> Trap:
    """Parts within jax.checkpoint: the backward pass runs them again.

    A value taken out by a side effect is a dead tracer. An edit must be in the second run too, or the gradient is that
    of another model. With `jax_remat3` the body hides in an attribute of the primitive, where no jaxpr pass looks.
    """
    first, last, x = matrix(3), matrix(4), vectors()
    module = Rematerialised(filled(eqx.nn.Linear, first), filled(eqx.nn.Linear, last))
    return two_layers("equinox", Built(module, call=mapped), x, first, last)


def named_for_remat() -> Trap:
    """A value that its author named for a remat policy (`checkpoint_name`): a port of the part around, here the model.

    The policy must still find the name afterwards. Under vmap that primitive leaves the batch axis wherever vmap put
    it, so that the value's axes may come in another order than in the code.
    """
    weight, x = matrix(5), vectors()

    def model(params: Array, x: Array) -> Array:
        policy = jax.checkpoint_policies.save_only_these_names("kept")
        return jax.checkpoint(lambda x: jnp.sin(checkpoint_name(x @ params, "kept")), policy=policy)(x)

    kept = numbers(x) @ numbers(weight)
    return Trap("function", Built(model, weight), x, np.sin(kept), {":kept": kept})


def filled(kind: type[eqx.nn.Linear], weight: Array) -> eqx.nn.Linear:
    """A Linear without bias; Equinox keeps its weight as output × input."""
    empty = eqx.filter_eval_shape(kind, DIM, DIM, use_bias=False, key=jax.random.key(0))
    return eqx.tree_at(lambda linear: linear.weight, empty, weight.T)


def mapped(model: eqx.Module, x: Array) -> Array:
    return jax.vmap(model)(x)
