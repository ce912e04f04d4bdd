"""A checkpoint's weights, put into a module that stands ready for them. Nothing is unpickled but plain tensors.

In: a checkpoint of `models.checkpoints`: a snapshot of ours, a folder of transformers, a file of plain tensors or of
`torch.save`. Out: the module with its weights.
"""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from darklantern.errors import SnapshotError
from darklantern.models.checkpoints import Checkpoint

KEYS = ("model", "state_dict", "model_state_dict", "module", "weights")
"""under which training scripts keep the weights in a file of theirs"""
_WRAPPED = ("module.", "_orig_mod.", "model.")
"""what DistributedDataParallel, torch.compile, and our snapshots put before names"""


def weights(checkpoint: Checkpoint, key: str = "") -> dict[str, Tensor]:
    """Name → tensor, on the CPU. `key` says where they lie in a file of `torch.save`, found unless given.

    Raises SnapshotError for a file that is not whole, holds no tensors, or would have to be unpickled.
    """
    found: dict[str, Tensor] = {}
    for path in checkpoint.files:
        found |= _safetensors(path) if path.suffix == ".safetensors" else _saved(path, key)
    return found


def put(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load `tensors` into `module`. Raises SnapshotError, changing nothing, when they are another module's."""
    own = module.state_dict()
    named = _named_as(dict(tensors), own)
    tied = {value.data_ptr() for name, value in own.items() if name in named}
    missing = [name for name, value in own.items() if name not in named and value.data_ptr() not in tied]
    wrong = [f"{name} is missing" for name in missing]
    wrong += [f"{name} is not of this model" for name in named if name not in own]
    wrong += [
        f"{name} is {tuple(value.shape)} there and {tuple(own[name].shape)} here"
        for name, value in named.items()
        if name in own and value.shape != own[name].shape
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise SnapshotError(
            f"{what} is of another model than this {type(module).__name__}: {'; '.join(wrong[:3])}{more}",
            hint="build the model that was trained; state= names where the weights lie in a file of several things",
        )
    module.load_state_dict(named, strict=False)


@contextmanager
def borrowed(module: nn.Module) -> Iterator[None]:
    """Whatever is loaded into `module` meanwhile, it has its own weights again afterwards."""
    kept = {name: value.detach().clone() for name, value in module.state_dict().items()}
    try:
        yield
    finally:
        module.load_state_dict(kept)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise SnapshotError(f"{path} is not a whole file of tensors: {error}", hint="copy it again") from error


def _saved(path: Path, key: str) -> dict[str, Tensor]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SnapshotError(
            f"{path} holds more than tensors and plain values, and loading it could run its code",
            hint="save model.state_dict() alone, or give load=, a function of yours from a path to a state dict",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise SnapshotError(f"{path} is not a whole file of torch.save: {error}", hint="copy it again") from error
    found = _inside(held, key)
    if found is None:
        where = f"under {key!r}" if key else f"nor under any of {', '.join(KEYS)}"
        keys = f"; it holds {', '.join(map(str, list(held)[:8]))}" if isinstance(held, Mapping) else ""
        raise SnapshotError(f"{path} holds no state dict {where}{keys}", hint="state= names where it lies")
    return found


def _inside(held: Any, key: str) -> dict[str, Tensor] | None:
    candidates = [held.get(key)] if key and isinstance(held, Mapping) else [held]
    if not key and isinstance(held, Mapping):
        candidates += [held.get(name) for name in KEYS]
    for each in candidates:
        if isinstance(each, Mapping) and each and all(isinstance(value, Tensor) for value in each.values()):
            return {str(name): value for name, value in each.items()}
    return None


def _named_as(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that a wrapper put before all names, and without an optimizer's part of a snapshot."""
    for prefix in ("", *_WRAPPED):
        named = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if named.keys() & own.keys():
            return named
    return tensors
