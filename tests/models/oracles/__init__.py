"""Forward passes written by hand: the ground truth for what a site holds and for what an edit there does.

In: a small model with random weights, what it takes, and `visit(site, value) -> value`, called once at each site of
docs/sites.md that the model's parts have, in the documented axis order; the computation goes on from what it returns.
Out: the model's output. Never: a call of the model's own modules, or of the engine under test.

Left out: `in` and `out` of the projections, dropouts and activations inside attention and MLP, second names for values
that have one here; whatever an oracle's own module lists.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import cnn, gpt2, llama, mistral, moe, own, qwen3, t5, transformer, vit
from .parts import Inputs, Visit, renamed

__all__ = ["SUBJECTS", "Inputs", "Subject", "Visit", "call", "cast"]


class Subject(NamedTuple):
    """A model and its oracle; `native` puts a canonical path in the model's own words."""

    name: str
    build: Callable[..., nn.Module]
    inputs: Callable[..., Inputs]
    forward: Callable[[nn.Module, Inputs, Visit], Tensor]
    pairs: tuple[tuple[str, str], ...]

    def native(self, path: str) -> str:
        """The path of the module, call number and all: `layers.0.attn` to `transformer.h.0.attn`."""
        return renamed(path, self.pairs)


SUBJECTS = tuple(
    Subject(module.__name__.rpartition(".")[2], module.build, module.inputs, module.forward, module.NATIVE)
    for module in (gpt2, llama, mistral, qwen3, vit, cnn, moe, transformer, t5, own)
)


def cast(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """The inputs with every floating tensor in `dtype`."""
    if isinstance(inputs, Tensor):
        return inputs.to(dtype) if inputs.is_floating_point() else inputs
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def call(model: nn.Module, inputs: Inputs) -> Tensor:
    """The real model's output, as the oracle returns it."""
    output = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    return output if isinstance(output, Tensor) else output.logits
