"""The model itself: does it return the same bits watched and unwatched, and is it afterwards what it was?"""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from darklantern.errors import DarkLanternError
from darklantern.models.on_torch.checking.certificate import DIFFERS, NOT_COVERED, OK, Outcome
from darklantern.models.on_torch.checking.comparing import EXACT, difference
from darklantern.models.on_torch.checking.subject import BROKEN, Subject, outputs, same, told

_FUSED = (
    "without any hook torch fuses parts of this model, and rounds otherwise; these bits are those of a run with "
    "torch's own hooks. torch.backends.mha.set_fastpath_enabled(False) makes both the same"
)


class State:
    """What a check must leave alone: weights and buffers, hooks, forwards, modes, random numbers."""

    def __init__(self, module: nn.Module) -> None:
        self.weights = _digest(module)
        self.hooks = [_hooks(each) for each in module.modules()]
        self.modes = [each.training for each in module.modules()]
        self.random = torch.get_rng_state()

    def changed(self, now: "State") -> list[str]:
        """What is no longer as it was."""
        named = {
            "weights or buffers": self.weights == now.weights,
            "hooks": self.hooks == now.hooks,
            "training modes": self.modes == now.modes,
            "random numbers": torch.equal(self.random, now.random),
        }
        return [name for name, kept in named.items() if not kept]


def findings(subject: Subject, before: State) -> Iterator[Outcome]:
    """Compare a bare run with one where everything is recorded, and with one afterwards."""
    bare = subject.unwatched
    yield _bits("a bare run, twice", same(subject.bare(), bare), "this model does not repeat its own bits")
    yield _bits("run by the engine, nothing asked", same(_run(subject), bare), "the output's bits changed")
    yield from _recorded(subject)
    yield _bits("a bare run after it all", same(subject.bare(), bare), "the output's bits changed")
    changed = before.changed(State(subject.module))
    kept = "weights, buffers, hooks, modes, random numbers as before"
    yield _bits(kept, not changed, f"changed: {', '.join(changed)}")


def _recorded(subject: Subject) -> Iterator[Outcome]:
    sites = [subject.numbered(place) for place in subject.values]
    oracle = f"run with {len(sites)} sites recorded"
    if not sites:
        return
    try:
        output = subject.record(*sites).output
    except (DarkLanternError, *BROKEN) as error:
        yield _bits(oracle, False, f"it failed: {told(error)}")
        return
    if subject.fused and same(output, subject.output):
        yield Outcome("model", "out", oracle, NOT_COVERED, _apart(subject), EXACT, _FUSED)
    else:
        yield _bits(oracle, same(output, subject.unwatched), "the output's bits changed")


def _run(subject: Subject) -> Any:
    with subject.unchanged():
        return subject.model.run(subject.fresh())


def _apart(subject: Subject) -> float:
    return max(map(difference, outputs(subject.output), outputs(subject.unwatched)), default=0.0)


def _bits(oracle: str, fine: bool, why: str) -> Outcome:
    return Outcome("model", "out", oracle, OK if fine else DIFFERS, None, EXACT, "" if fine else why)


def _digest(module: nn.Module) -> str:
    digest = hashlib.blake2b()
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} {value.device}".encode())
        if value.device.type != "meta":
            digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: Tensor) -> Any:
    held = value.detach().cpu().contiguous()
    held = held.int_repr() if held.is_quantized else held
    return held.reshape(-1).view(torch.uint8).numpy()


def _hooks(module: nn.Module) -> tuple[Any, ...]:
    kinds = (module._forward_pre_hooks, module._forward_hooks, module._backward_hooks, module._backward_pre_hooks)
    return (*(tuple(each.items()) for each in kinds), module.__dict__.get("forward"))
