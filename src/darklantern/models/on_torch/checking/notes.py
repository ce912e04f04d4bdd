"""What to know about a checkpoint before trusting a reading of it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

_QUANTISED = ("Linear4bit", "Linear8bitLt", "LinearNF4", "LinearFP4", "QuantLinear", "WQLinear", "HQQLinear")
"""modules of other libraries that keep their weights packed, by name"""


def notes(module: nn.Module) -> Iterator[str]:
    yield from _parameters(module)
    yield from _tied(module)
    yield from _quantised(module)
    yield from _placed(module)
    yield from _adapted(module)
    yield from _modes(module)
    yield "not looked at: gradients, generation with a cache, other inputs than these"


def _parameters(module: nn.Module) -> Iterator[str]:
    kinds = Counter(str(each.dtype).removeprefix("torch.") for each in module.parameters())
    if kinds:
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield f"parameters: {shown}"


def _tied(module: nn.Module) -> Iterator[str]:
    names: dict[int, list[str]] = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), []).append(name)
    for tied in names.values():
        if len(tied) > 1:
            yield f"tied: {' = '.join(tied)}"


def _quantised(module: nn.Module) -> Iterator[str]:
    held: dict[str, list[str]] = {}
    for path, each in module.named_modules():
        named = f"{type(each).__module__}.{type(each).__name__}"
        if (".quantized." in named and not named.endswith("PackedParams")) or type(each).__name__.startswith(
            _QUANTISED
        ):
            held.setdefault(named, []).append(path)
    for kind, paths in held.items():
        yield (
            f"quantised: {len(paths)} × {kind} ({paths[0]}{', …' * (len(paths) > 1)}); their inputs and outputs are "
            "plain numbers and are checked, what they compute inside is not covered"
        )
    tensors = [name for name, each in _tensors(module) if each.is_quantized or type(each).__module__[:7] == "torchao"]
    if tensors:
        yield f"quantised tensors: {len(tensors)} ({tensors[0]})"


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _placed(module: nn.Module) -> Iterator[str]:
    for path, each in module.named_modules():
        placed: Any = getattr(each, "__dict__", {}).get("hf_device_map")
        if placed:
            where = Counter(str(device) for device in placed.values())
            yield f"device_map of {path or 'the model'}: " + ", ".join(f"{n} parts on {d}" for d, n in where.items())
    hooked = Counter(
        type(each.__dict__["_hf_hook"]).__name__ for each in module.modules() if "_hf_hook" in each.__dict__
    )
    if hooked:
        yield "accelerate hooks: " + ", ".join(f"{count} × {kind}" for kind, count in hooked.items())
    away = [name for name, each in _tensors(module) if each.device.type == "meta"]
    if away:
        yield f"weights not in memory between calls: {len(away)} ({away[0]})"
    devices = Counter(str(each.device) for _, each in _tensors(module))
    if len(devices) > 1:
        yield "tensors on: " + ", ".join(f"{device} ({count})" for device, count in devices.items())


def _adapted(module: nn.Module) -> Iterator[str]:
    held: dict[tuple[Any, ...], list[str]] = {}
    for path, each in module.named_modules():
        if hasattr(each, "base_layer") and hasattr(each, "merged_adapters"):
            active = tuple(getattr(each, "active_adapters", ()))
            off = bool(getattr(each, "disable_adapters", False))
            held.setdefault((active, tuple(each.merged_adapters), off), []).append(path)
    for (active, merged, off), paths in held.items():
        state = f"merged: {', '.join(map(str, merged))}" if merged else "not merged"
        shown = ", ".join(map(str, active)) or "none"
        yield f"adapters on {len(paths)} modules: {shown} active{' but disabled' * off}, {state}"


def _modes(module: nn.Module) -> Iterator[str]:
    compiled = [path for path, each in module.named_modules() if each._compiled_call_impl is not None]
    compiled += [path for path, each in module.named_modules() if "_orig_mod" in each._modules]
    if compiled:
        yield f"compiled: {compiled[0] or 'the model'} ({len(compiled)} modules), checked uncompiled"
    random = [
        path
        for path, each in module.named_modules()
        if isinstance(each, nn.modules.dropout._DropoutNd | nn.MultiheadAttention) and each.training
        if (each.dropout if isinstance(each, nn.MultiheadAttention) else each.p) > 0
    ]
    if random:
        yield f"in training mode with dropout: {len(random)} modules ({random[0]}); model.eval() turns it off"
    elif any(each.training for each in module.modules()):
        yield "in training mode"
