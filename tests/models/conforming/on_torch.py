"""Torch subjects: each oracle's own model. Looking changes no bit."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from oracles import SUBJECTS as ORACLES
from oracles import call
from torch import Tensor

from darklantern import models
from darklantern.models import edits

from .subject import Case, Edits, Subject
from .truth import Array, Truth

# Some libraries' norms compute in float32 whatever they are given.
LOOSE, TIGHT = 1e-6, 1e-11


class Torch:
    """As the tests need it."""

    name = "torch"
    uncovered = ("slope",)  # a test of its own

    def array(self, numbers: Array) -> Tensor:
        return torch.from_numpy(numbers.copy())

    def numbers(self, array: Tensor) -> Array:
        return array.detach().numpy()

    def looking(self) -> AbstractContextManager[Any]:
        return torch.no_grad()

    def differentiating(self) -> AbstractContextManager[Any]:
        return torch.enable_grad()

    def moving(self, run: Callable[[Edits], Any], steps: Mapping[str, Any]) -> Callable[[tuple[str, ...]], Any]:
        return lambda sites: run({site: edits.add(steps[site]) for site in sites})


def opened(truth: Truth) -> Case:
    return Case(models.open(truth.module), truth.inputs, lambda: call(truth.module, truth.inputs))


SUBJECTS = tuple(
    Subject(
        oracle.name,
        oracle.name,
        Torch(),
        Truth(oracle),
        opened,
        tolerance=LOOSE if oracle.name in ("llama", "mistral", "qwen3", "moe", "t5") else TIGHT,
        rounding=0.0,
    )
    for oracle in ORACLES
)
