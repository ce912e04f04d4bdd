"""What each case should give, by hooks written out by hand on the native model."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models import subjects
from models.protocol import said

CHECKPOINTING = (("none", None), ("non_reentrant", False), ("reentrant", True))
STOP, START, EDITED = 1, 9, 3  # the blocks that the partial runs and the edits are about


def block_outputs(model: nn.Module, name: str, ids: Tensor) -> list[Tensor]:
    """The output of each block in an untouched run."""
    outputs: list[Tensor] = []
    blocks = [subjects.block(model, name, layer) for layer in range(subjects.LAYERS)]
    handles = [block.register_forward_hook(lambda _m, _a, out: outputs.append(first(out))) for block in blocks]
    model(ids)
    for handle in handles:
        handle.remove()
    return outputs


def first(value: Tensor | tuple[Any, ...]) -> Tensor:
    """A block returns a tensor or a tuple that begins with one."""
    return value if isinstance(value, Tensor) else value[0]


def same(ours: list[Tensor], true: list[Tensor]) -> dict[str, Any]:
    """Are two lists of tensors bitwise equal, and how far apart at most."""
    equal = len(ours) == len(true) and all(torch.equal(a, b) for a, b in zip(ours, true, strict=True))
    return {"count": len(ours), "bitwise": equal, "difference": furthest(ours, true)}


def furthest(ours: list[Tensor], true: list[Tensor]) -> float | None:
    """The largest absolute difference; None where shapes do not fit."""
    if len(ours) != len(true) or any(a.shape != b.shape for a, b in zip(ours, true, strict=True)):
        return None
    return max((a - b).abs().max().item() for a, b in zip(ours, true, strict=True))


def fidelity(name: str, patterns: list[Tensor], logits: Tensor) -> dict[str, Any]:
    """Patterns beside eager's, logits beside the untouched sdpa model's.

    `same_stream` feeds each eager block what the sdpa model's block was fed; `eager_run` lets the eager model run on
    its own, which drifts from sdpa by rounding, and is right for a peer that runs eager itself.
    """
    model, eager, ids = subjects.build(name), subjects.build(name, "eager"), subjects.tokens()
    inputs = [None, *block_outputs(model, name, ids)[:-1]]
    alone = list(eager(ids, output_attentions=True).attentions)
    handles = [
        subjects.block(eager, name, layer).register_forward_pre_hook(
            lambda _m, args, kwargs, value=value: ((value, *args[1:]), kwargs) if value is not None else None,
            with_kwargs=True,
        )
        for layer, value in enumerate(inputs)
    ]
    fed = list(eager(ids, output_attentions=True).attentions)
    for handle in handles:
        handle.remove()
    untouched = model(ids).logits
    return {
        "count": len(patterns),
        "logits_bitwise": torch.equal(logits, untouched),
        "logits_difference": furthest([logits], [untouched]),
        "same_stream": furthest(patterns, fed),
        "eager_run": furthest(patterns, alone),
    }


def halve(out: Tensor | tuple[Any, ...]) -> Tensor | tuple[Any, ...]:
    """The edit of the gradient case."""
    return out / 2 if isinstance(out, Tensor) else (out[0] / 2, *out[1:])


def edited_gradient(name: str, step: Callable[[nn.Module, Tensor], object], reentrant: bool | None) -> Tensor:
    """Layer 3's up-projection gradient after `step(model, ids)` ran forward with the edit, and backward."""
    model = subjects.build(name).train()
    if reentrant is not None:
        model.activation_checkpointing_enable({"use_reentrant": reentrant})
    with torch.enable_grad():
        step(model, subjects.tokens())
    weight = subjects.block(model, name, EDITED).get_submodule(subjects.UP[name]).weight
    if weight.grad is None:
        raise RuntimeError("backward left no gradient at layer 3")
    return weight.grad


def gradients(name: str, **steps: Callable[[nn.Module, Tensor], object]) -> dict[str, Any]:
    """Relative error of that gradient under each kind of checkpointing, against hooks by hand without any.

    A step may run backward `inside` the peer's context or `after` it: checkpointing runs the forward again in backward,
    and the edit has to be there again.
    """
    true = edited_gradient(name, hand_step(name), None)
    return {
        when: {kind: _error(name, step, reentrant, true) for kind, reentrant in CHECKPOINTING}
        for when, step in steps.items()
    }


def _error(name: str, step: Callable[[nn.Module, Tensor], object], reentrant: bool | None, true: Tensor) -> float | str:
    try:
        return ((edited_gradient(name, step, reentrant) - true).norm() / true.norm()).item()
    except Exception as raised:  # noqa: BLE001 - a loud failure is a result
        return f"raised {said(raised)}"


def hand_step(name: str) -> Callable[[nn.Module, Tensor], None]:
    """The edit by a hook that stays until backward has ended."""

    def step(model: nn.Module, ids: Tensor) -> None:
        attention = subjects.attention(model, name, EDITED)
        handle = attention.register_forward_hook(lambda _m, _a, out: halve(out))
        loss(model(ids).logits).backward()
        handle.remove()

    return step


def loss(logits: Tensor) -> Tensor:
    """A scalar that every weight moves."""
    return logits.float().log_softmax(-1)[..., 7].mean()
