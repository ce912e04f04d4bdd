"""Gradients with respect to sites."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.program import Action
from darklantern.models.on_torch.running import Run
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

Metric = Callable[[Any], Tensor]
"""a model's output → one number, differentiable"""


@dataclass(frozen=True)
class Gradients:
    """The gradient of one number with respect to values at sites, and those values."""

    metric: float
    gradients: Recording
    values: Recording


def backward(module: nn.Module, run: Run, metric: Tensor) -> dict[Site, Tensor]:
    """The gradients of `metric` at the leaves of `run`; zeros where it does not depend on one.

    Raises SiteError for a metric that is no single number or has no gradient.
    """
    if not isinstance(metric, Tensor) or metric.numel() != 1:
        came = f"shape {tuple(metric.shape)}" if isinstance(metric, Tensor) else type(metric).__name__
        raise SiteError(f"the metric must give one number, got {came}", hint="sum or average it")
    if not metric.requires_grad:
        raise SiteError(
            "the metric has no gradient: it does not depend on any of the sites, or was detached on the way",
            hint="compute it from the output with torch operations, without .item(), .detach() or no_grad",
        )
    if run.shards is not None:
        run.shards.before_backward(run)
    actions = [action for action in run.plan.actions if action.grad]
    if len(run.leaves) == len(actions):
        leaves = [run.leaves[action] for action in actions]
        found: Mapping[Action, Tensor | None] = dict(
            zip(actions, torch.autograd.grad(metric, leaves, allow_unused=True), strict=True)
        )
    else:
        # Reentrant checkpointing has no graph of what is inside it, until its backward pass makes one.
        assert run.graph is not None
        found = run.graph.gradients
        for action, leaf in run.leaves.items():
            leaf.register_hook(partial(found.__setitem__, action))
        with _parameters_aside(module):
            metric.backward()
    return {
        action.site: torch.zeros_like(run.kept[action][0]) if (gradient := found.get(action)) is None else gradient
        for action in actions
    }


@contextmanager
def _parameters_aside(module: nn.Module) -> Iterator[None]:
    """The parameters' gradients as they were, afterwards."""
    held = [(parameter, parameter.grad) for parameter in module.parameters()]
    for parameter, _ in held:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in held:
            parameter.grad = gradient
