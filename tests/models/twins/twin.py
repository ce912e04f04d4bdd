"""What a twin is, and how a JAX model is called in each framework without any engine."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike
from oracles import Inputs
from oracles.parts import renamed
from torch import Tensor, nn

Array = np.ndarray[Any, Any]
Convert = Callable[[Array], Array]


class Built(NamedTuple):
    """What `darklantern.open(module, weights=weights, call=call)` is handed."""

    module: Any
    weights: Any = None
    call: Callable[..., Any] | None = None


class Twin(NamedTuple):
    """A JAX model with the weights of a torch oracle; `build(torch_module, dtype)` converts them.

    `pairs` put a canonical path in the model's own words, as an oracle's do: fields, numbers in lists and names of
    modules, joined by dots. `blocks[1]` is layer 1 of parts that are stacked; `embed:attend` is a method.
    `lacks` and `layout` go by site, as regular expressions for all of it: sites that the twin cannot have, each with
    the reason, and sites whose numbers stand in another order, each with what puts the oracle's in the twin's.
    `several` go by site too: other ports where the same value goes in, as an attention's key and value do.
    `forward` is another truth than the oracle's own pass. `tolerance`, of the largest value, holds in float64.
    """

    name: str
    oracle: str
    framework: str
    build: Callable[[nn.Module, DTypeLike], Built]
    pairs: tuple[tuple[str, str], ...] = ()
    lacks: tuple[tuple[str, str], ...] = ()
    layout: tuple[tuple[str, Convert], ...] = ()
    several: tuple[tuple[str, tuple[str, ...]], ...] = ()
    forward: Callable[..., Tensor] | None = None
    tolerance: float = 1e-10

    def native(self, path: str) -> str:
        """The path in the model's own words: `layers.1.attn` to `block_1.attn`."""
        return renamed(path, self.pairs)

    def lacking(self, site: str) -> str | None:
        """Why the twin has no such site, or None where it should have it."""
        return next((reason for pattern, reason in self.lacks if re.fullmatch(pattern, site)), None)

    def together(self, site: str) -> tuple[str, ...]:
        """The sites that are one in the oracle."""
        more = next((ports for pattern, ports in self.several if re.fullmatch(pattern, site)), ())
        return (site, *(f"{site.partition(':')[0]}:{port}" for port in more))

    def inputs(self, torch_inputs: Inputs) -> Any:
        """The same inputs for JAX: an array, or a dict of arrays that are keyword arguments."""
        if isinstance(torch_inputs, dict):
            return {name: self._placed(f"input {name}", value) for name, value in torch_inputs.items()}
        return self._placed("input", torch_inputs)

    def placed(self, site: str, value: Array) -> Array:
        """The oracle's `value` at `site` in this twin's order."""
        for pattern, convert in self.layout:
            if re.fullmatch(pattern, site):
                return convert(value)
        return value

    def _placed(self, name: str, value: Tensor) -> jax.Array:
        return jnp.array(self.placed(name, value.numpy()))  # a copy: torch writes in place


def run(twin: Twin, built: Built, inputs: Any) -> jax.Array:
    """The bare model's output, called as its framework's users call it."""
    module, weights, call = built
    arguments, keywords = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
    match twin.framework:
        case "linen":
            return module.apply(weights, *arguments, **keywords)
        case "haiku":
            return module.apply(weights, None, *arguments, **keywords)
        case "function":
            return module(weights, *arguments, **keywords)
        case "nnx":
            return module(*arguments, **keywords)
        case "equinox":
            assert call is not None
            return call(module, *arguments, **keywords)
    raise ValueError(f"{twin.name}: no framework {twin.framework!r}")


def wide() -> AbstractContextManager[None]:
    """JAX's 64-bit mode, in this thread until the context ends."""
    return jax.enable_x64(True)


def stacked(trees: list[Any]) -> Any:
    """Trees of arrays, one for each layer, as one tree with a first axis `layer`: what a scan goes over."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
