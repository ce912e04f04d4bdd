"""Gradients with respect to sites."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.gradients import Gradients
from darklantern.models.on_torch.program import Action, Plan
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.structure import whole
from darklantern.models.passes import note
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.on_torch.executing import Executor

Metric = Callable[[Any], Tensor]
"""a model's output → one number, differentiable"""


def differentiated(
    executor: "Executor", plan: Plan, inputs: Any, metric: Callable[[Any, Recording], Tensor]
) -> Gradients:
    """The gradients of `metric(output, values)` that `plan` asks for."""
    with torch.enable_grad():
        run = executor.begun_or_told(plan, inputs)
        with executor.in_step(run):
            output = executor.go(run, inputs)
            values = run.recording(output)
            number = whole(metric(output, values))
            note(backward=1)
            found = backward(executor.module, run, number)
    # Detached, or the values would keep the graph alive.
    detached = [(site, values[site].array.detach(), values[site].axes) for site in values.sites]
    values = Recording(detached, None, values.tokens)
    rows = [(site, gradient, values[site].axes) for site, gradient in found.items()]
    return Gradients(float(number.detach()), Recording(rows, None, values.tokens), values)


def backward(module: nn.Module, run: Run, metric: Tensor) -> dict[Site, Tensor]:
    """The gradients of `metric` at the leaves of `run`; zeros where it does not depend on one.

    Raises SiteError for a metric that is no single number or has no gradient.
    """
    if not isinstance(metric, Tensor) or metric.numel() != 1:
        came = f"shape {tuple(metric.shape)}" if isinstance(metric, Tensor) else type(metric).__name__
        hint = "sum or average it" if isinstance(metric, Tensor) else "a tensor, differentiable: no float() or .item()"
        raise SiteError(f"the metric must give one number, got {came}", hint=hint)
    if not metric.requires_grad:
        raise SiteError(
            "the metric has no gradient: it does not depend on any of the sites, or was detached on the way",
            hint="compute it from the output with torch operations, without .item(), .detach() or no_grad",
        )
    if run.shards is not None:
        run.shards.before_backward(run)
    actions = [action for action in run.plan.actions if action.grad]
    reentrant = _is_reentrant(metric)
    found = _recomputed(module, metric, run, actions) if reentrant else _straight(metric, run, actions)
    return {
        action.site: torch.stack(found[action]) if action.site.call == "*" else found[action][0] for action in actions
    }


def _straight(metric: Tensor, run: Run, actions: list[Action]) -> dict[Action, list[Tensor]]:
    """By the graph from the metric to the leaves."""
    for action in actions:
        if len(run.leaves.get(action, ())) < len(run.kept[action]):
            raise _without_gradients(action)
    leaves = [leaf for action in actions for leaf in run.leaves[action]]
    gradients = iter(torch.autograd.grad(metric, leaves, allow_unused=True))
    return {
        action: [
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(run.leaves[action], gradients, strict=False)
        ]
        for action in actions
    }


def _recomputed(module: nn.Module, metric: Tensor, run: Run, actions: list[Action]) -> dict[Action, list[Tensor]]:
    """Reentrant checkpointing has no graph of what is inside it, until its backward pass makes one."""
    hidden = [action for action in actions if len(run.leaves.get(action, ())) < len(run.kept[action])]
    several = [action.site for action in hidden if len(run.kept[action]) > 1]
    if several:
        raise SiteError(
            f"{several[0]} fires several times in a part of the model under reentrant checkpointing, where the calls "
            "run again in an order of their own",
            hint="checkpoint with use_reentrant=False, or turn it off",
        )
    found = {action: [torch.zeros_like(value) for value in run.kept[action]] for action in actions}
    for action, leaves in run.leaves.items():
        for call, leaf in enumerate(leaves):
            leaf.register_hook(partial(_caught, found[action], call))
    with _parameters_aside(module):
        metric.backward()
    caught = {} if run.graph is None else run.graph.gradients
    for action in hidden:
        if action not in caught:
            raise _without_gradients(action)
    return found | {action: caught[action] for action in hidden if caught[action]}


def _without_gradients(action: Action) -> SiteError:
    return SiteError(
        f"the model computes {action.site} with gradients turned off (torch.no_grad), so there is none",
        hint="ask for a site behind it, or turn them on there",
    )


def _caught(found: list[Tensor], call: int, gradient: Tensor) -> None:
    found[call] = gradient.clone()


def _is_reentrant(metric: Tensor) -> bool:
    """Whether reentrant checkpointing lies on the way back: its nodes refuse to be asked for single gradients."""
    seen, waiting = set(), [metric.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            return True
        waiting += [before for before, _ in node.next_functions]
    return False


@contextmanager
def _parameters_aside(module: nn.Module) -> Iterator[None]:
    """The parameters' gradients as they were, afterwards."""
    for name, parameter in module.named_parameters():
        if parameter._post_accumulate_grad_hooks:  # there is no public way to ask
            raise SiteError(
                f"{name} has hooks that act on its gradient, as an optimiser's step in the backward pass does, and "
                "under reentrant checkpointing a gradient at a site has to pass there",
                hint="checkpoint with use_reentrant=False, or turn it off while you look",
            )
    held = [(parameter, parameter.grad) for parameter in module.parameters()]
    for parameter, _ in held:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in held:
            parameter.grad = gradient
