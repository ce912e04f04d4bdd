"""What a hand-written forward pass says, in NumPy: values at sites, the output after a change at one, gradients."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from oracles import Inputs, Visit, cast
from oracles import Subject as Oracle
from torch import Tensor, nn

from darklantern.models.sites import parse

Array = NDArray[Any]


class Truth:
    """One oracle's model in float64, its inputs, and `forward(module, inputs, visit)` over them."""

    def __init__(self, oracle: Oracle, forward: Callable[[nn.Module, Inputs, Visit], Tensor] | None = None) -> None:
        self._oracle, self._forward = oracle, forward or oracle.forward

    @cached_property
    def module(self) -> nn.Module:
        return self._oracle.build(torch.float64)

    @cached_property
    def inputs(self) -> Inputs:
        return cast(self._oracle.inputs(), torch.float64)

    @property
    def output(self) -> Array:
        return self._run[0]

    @property
    def seen(self) -> dict[str, Array]:
        """The value at each site."""
        return self._run[1]

    @cached_property
    def _run(self) -> tuple[Array, dict[str, Array]]:
        seen: dict[str, Array] = {}

        def visit(site: str, value: Tensor) -> Tensor:
            seen[site] = value.detach().numpy().copy()
            return value

        with torch.no_grad():
            return self._forward(self.module, self.inputs, visit).numpy(), seen

    def moved(self, site: str, step: Array) -> Array:
        """The output when `step` is added at `site`."""
        return self._changed(site, lambda value: value + torch.from_numpy(step))

    def gone(self, site: str) -> Array:
        """The output when the value at `site` is all zeros."""
        return self._changed(site, torch.zeros_like)

    def _changed(self, at: str, change: Callable[[Tensor], Tensor]) -> Array:
        with torch.no_grad():
            output = self._forward(self.module, self.inputs, lambda site, value: change(value) if site == at else value)
        return output.numpy()

    def gradients(self, weights: Array, sites: list[str]) -> dict[str, Array]:
        """Of the sum of the outputs times `weights`, at each of `sites`; zeros where nothing depends on the value."""
        leaves: dict[str, Tensor] = {}

        def visit(site: str, value: Tensor) -> Tensor:
            if site in sites:
                leaves[site] = value = value.clone() if value.requires_grad else value.detach().requires_grad_()
                value.retain_grad()
            return value

        with torch.enable_grad():
            output = self._forward(self.module, self.inputs, visit)
            (output * torch.from_numpy(weights)).sum().backward()
        return {
            site: (torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).detach().numpy()
            for site, leaf in leaves.items()
        }

    def own(self, site: str, value: Array) -> Array:
        """`value` with what belongs to padding set to 0: there the kernels agree on nothing. `site` may be `output`."""
        if not isinstance(self.inputs, dict) or "attention_mask" not in self.inputs:
            return value
        mask = self.inputs["attention_mask"].numpy() != 0
        value = np.where(np.isinf(value), 0, value) if value.dtype.kind == "f" else value
        if site != "output" and parse(site).port in ("scores", "pattern"):
            if value.shape[3] == mask.shape[1]:
                value = np.where(mask[:, None, None, :], value, 0)
            return np.where(mask[:, None, :, None], value, 0) if value.shape[2] == mask.shape[1] else value
        fits = value.shape[:2] == mask.shape
        return np.where(mask.reshape(*mask.shape, *(1,) * (value.ndim - 2)), value, 0) if fits else value


def noise(like: Array) -> Array:
    """The same numbers for the same shape, in every test and framework."""
    generator, dtype = torch.Generator().manual_seed(9), torch.from_numpy(like).dtype
    return (0.3 * torch.randn(like.shape, generator=generator, dtype=dtype)).numpy()
