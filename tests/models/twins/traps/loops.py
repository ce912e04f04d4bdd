"""Control flow: parts in a branch that does not run, parts that run an unknown number of times, time and layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from jax import Array

from ..twin import Built
from .caches import filled
from .trap import DIM, Numbers, Trap, matrix, numbers, vectors


class Branching(eqx.Module):
    extra: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return jax.lax.cond(x[0, 0] > 0, jax.vmap(self.extra), lambda x: x, x)


def branch_taken() -> Trap:
    """A part in one branch of lax.cond, on inputs that take it."""
    weight, x = matrix(1), jnp.abs(vectors())
    out = numbers(x) @ numbers(weight)
    return Trap("equinox", Built(Branching(filled(eqx.nn.Linear, weight)), call=called), x, out, {"extra:out": out})


def branch_not_taken() -> Trap:
    """The same on inputs that do not take it. The jaxpr holds both branches: zeros for what never ran are a lie."""
    weight, x = matrix(1), -jnp.abs(vectors())
    built = Built(Branching(filled(eqx.nn.Linear, weight)), call=called)
    return Trap("equinox", built, x, numbers(x), {}, absent=("extra:out",))


class Repeated(eqx.Module):
    step: eqx.nn.Linear

    def __call__(self, x: Array, times: int | Array) -> Array:
        return jax.lax.fori_loop(0, times, lambda _, x: jnp.tanh(jax.vmap(self.step)(x)), x)


def branch_for_some() -> Trap:
    """The same under vmap, where each example decides: JAX runs both branches for all, and selects.

    `extra` runs for every example, and an edit there shows only in those that take its result.
    """
    weight, x = matrix(1), jnp.array([[1.0, 2.0, 3.0], [-1.0, 2.0, 3.0]])
    built = Built(Branching(filled(eqx.nn.Linear, weight)), call=lambda model, x: jax.vmap(model)(x[:, None])[:, 0])
    out = numbers(x) @ numbers(weight)
    return Trap("equinox", built, x, np.stack((out[0], numbers(x)[1])), {"extra:out": out[:, None]})


def repeated() -> Trap:
    """lax.fori_loop with a number of rounds that Python knows: a scan, whose rounds are calls of one part."""
    weight, x = matrix(2), vectors()
    built = Built(Repeated(filled(eqx.nn.Linear, weight)), call=lambda model, x: model(x, 3))
    return rounds("equinox", built, x, numbers(x), weight, 3)


def repeated_as_told() -> Trap:
    """The same with a number that is an input: a while loop of any number of rounds, through which JAX takes no
    gradient backwards; and the number of calls is known only after the run."""
    weight, x = matrix(2), vectors()
    built = Built(Repeated(filled(eqx.nn.Linear, weight)), call=lambda model, x, times: model(x, times))
    return rounds("equinox", built, {"x": x, "times": jnp.array(4)}, numbers(x), weight, 4)


class Until(eqx.Module):
    step: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return jax.lax.while_loop(lambda x: jnp.abs(x).max() < 5.0, lambda x: jax.vmap(self.step)(x), x)


def repeated_until() -> Trap:
    """lax.while_loop until the numbers are large: an edit in one round decides how many rounds follow."""
    weight, x = 2.0 * jnp.eye(DIM), jnp.ones((2, DIM))
    built = Built(Until(filled(eqx.nn.Linear, weight)), call=called)
    calls = {f"step#{number}:out": numbers(x) * 2.0 ** (number + 1) for number in range(3)}
    return Trap("equinox", built, x, numbers(x) * 8.0, calls)


def rounds(framework: str, built: Built, inputs: object, x: Numbers, weight: Array, times: int) -> Trap:
    calls: dict[str, Numbers] = {}
    for number in range(times):
        out = x @ numbers(weight)
        calls |= {f"step#{number}:in": x, f"step#{number}:out": out}
        x = np.tanh(out)
    return Trap(framework, built, inputs, x, calls)


def recurrent() -> Trap:
    """linen's RNN: one cell scanned over time, with broadcast weights. Its steps are calls, `cell#0` to `cell#4`.

    A scan over layers looks the same in a jaxpr. What tells them apart: here the parameters do not go through the
    scan's xs but are constants of it.
    """
    recur, kernel = matrix(3), matrix(4)
    x = matrix(101, 2, 5, DIM)
    module = linen.RNN(linen.SimpleCell(DIM, param_dtype=x.dtype))
    cell = {"i": {"kernel": kernel, "bias": jnp.zeros(DIM)}, "h": {"kernel": recur}}
    states = steps(numbers(x), numbers(kernel), numbers(recur))
    inside = {f"cell#{number}:out": state for number, state in enumerate(states)}
    return Trap("linen", Built(module, {"params": {"cell": cell}}), x, np.stack(states, 1), inside)


class Recurrent(eqx.Module):
    cell: "Cell"

    def __call__(self, x: Array) -> Array:
        def step(state: Array, x: Array) -> tuple[Array, Array]:
            state = self.cell(x, state)
            return state, state

        return jax.lax.scan(step, jnp.zeros(DIM, x.dtype), x)[1]


class Cell(eqx.Module):
    kernel: Array
    recur: Array

    def __call__(self, x: Array, state: Array) -> Array:
        return jnp.tanh(x @ self.kernel + state @ self.recur)


def recurrent_equinox() -> Trap:
    """The same in Equinox, for one example under vmap: the batch axis is inside the scan's steps, not outside."""
    kernel, recur, x = matrix(4), matrix(3), matrix(101, 2, 5, DIM)
    states = steps(numbers(x), numbers(kernel), numbers(recur))
    built = Built(Recurrent(Cell(kernel, recur)), call=lambda model, x: jax.vmap(model)(x))
    inside = {f"cell#{number}:out": state for number, state in enumerate(states)}
    return Trap("equinox", built, x, np.stack(states, 1), inside)


class Deep(eqx.Module):
    layers: Recurrent

    def __call__(self, x: Array) -> Array:
        arrays, rest = eqx.partition(self.layers, eqx.is_array)
        return jax.lax.scan(lambda x, layer: (eqx.combine(layer, rest)(x), None), x, arrays)[0]


def recurrent_layers() -> Trap:
    """A scan over layers around a scan over time: two loop numbers, of which one is a path and the other a call.

    `layers.1.cell#2` is layer 1 at step 2. Exchanged, the shapes still fit when there are as many steps as layers.
    """
    kernels, recurs = [matrix(5), matrix(6), matrix(9)], [matrix(7), matrix(8), matrix(10)]
    x = matrix(101, 2, 3, DIM)
    built = Built(
        Deep(Recurrent(Cell(jnp.stack(kernels), jnp.stack(recurs)))), call=lambda model, x: jax.vmap(model)(x)
    )
    inside: dict[str, Numbers] = {}
    value = numbers(x)
    for layer, (kernel, recur) in enumerate(zip(kernels, recurs, strict=True)):
        states = steps(value, numbers(kernel), numbers(recur))
        inside |= {f"layers.{layer}.cell#{number}:out": state for number, state in enumerate(states)}
        value = np.stack(states, 1)
        inside[f"layers.{layer}:out"] = value
    return Trap("equinox", built, x, value, inside)


def steps(x: Numbers, kernel: Numbers, recur: Numbers) -> list[Numbers]:
    """The states after each step, each `batch dim`, of inputs `batch time dim`."""
    state, states = np.zeros_like(x[:, 0]), []
    for number in range(x.shape[1]):
        state = np.tanh(x[:, number] @ kernel + state @ recur)
        states.append(state)
    return states


def called(model: eqx.Module, x: Array) -> Array:
    return model(x)
