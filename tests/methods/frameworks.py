"""One small model in several frameworks, with the same weights, for methods that are written once.

In: a torch module of a family that has twins. Out: it, or a twin of it, opened, and what puts NumPy's numbers into its
framework and takes them out. Never: a word about a framework in the tests.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
import torch
from conforming.on_jax import Jax
from conforming.on_torch import Torch
from conforming.subject import Framework
from numpy.typing import NDArray
from torch import nn
from twins import TWINS

from darklantern import models
from darklantern.models.opened import Model

Numbers = NDArray[Any]
GPT2 = ("torch", "gpt2-linen", "gpt2-linen-scan", "gpt2-nnx-scan", "gpt2-equinox-scan", "gpt2-haiku")
"""all of them exact in float64: nnx's own attention takes its softmax in float32"""


@dataclass(frozen=True)
class Engine:
    """torch, or JAX by one twin."""

    name: str
    framework: Framework

    def open(self, module: nn.Module, example: Numbers | dict[str, Numbers], tokenizer: Any = None) -> Model:
        """`module` in this framework, opened, its sites known."""
        if self.name == "torch":
            return models.open(module, tokenizer)
        twin = next(each for each in TWINS if each.name == self.name)
        built = twin.build(module, np.float64)
        inputs = jax.tree.map(self.framework.array, example)
        return models.open(built.module, tokenizer, weights=built.weights, call=built.call, example=inputs)

    def array(self, numbers: Numbers) -> Any:
        return self.framework.array(numbers)

    def numbers(self, array: Any) -> Numbers:
        return self.framework.numbers(array)

    def looking(self) -> AbstractContextManager[Any]:
        return self.framework.looking()

    def differentiating(self) -> AbstractContextManager[Any]:
        return self.framework.differentiating()


def logits(output: Any) -> Any:
    """What a model says: torch's of transformers in a field, its twins' by itself."""
    return getattr(output, "logits", output)


def engines(*names: str) -> pytest.MarkDecorator:
    """The test for each of these, as its argument `engine`, with which models are opened and run."""
    chosen = [Engine(name, Torch() if name == "torch" else Jax()) for name in names]
    # JAX compiles what each test asks: seconds.
    params = [pytest.param(e, id=e.name, marks=[] if e.name == "torch" else pytest.mark.slow) for e in chosen]
    return pytest.mark.parametrize("engine", params, indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with request.param.looking():
        yield request.param


def tokens(batch: int = 2, pos: int = 7, vocabulary: int = 50, seed: int = 5) -> Numbers:
    return torch.randint(0, vocabulary, (batch, pos), generator=torch.Generator().manual_seed(seed)).numpy()


def normal(*shape: int, seed: int) -> Numbers:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
