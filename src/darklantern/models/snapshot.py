"""Training-state snapshots: weights, optimizer, random streams and data cursor, restored bit for bit.

A snapshot lives in memory; `save` writes it as one safetensors file whose metadata holds the rest
as JSON. Nothing is pickled, so loading a stranger's snapshot runs no code.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from darklantern.errors import SnapshotError
from darklantern.files import write_whole

_VERSION = "darklantern-snapshot-1"


class Cursor(Protocol):
    """A data loader that can say where it is and go back there."""

    def state(self) -> dict[str, Any]:
        """Where the loader stands, as JSON values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """A training state at one step. Tensors are copies: training on does not change them."""

    step: int
    tensors: dict[str, Tensor]
    """`model.NAME`, `optimizer.INDEX.KEY` and `rng.torch`"""
    rest: dict[str, Any]
    """optimizer hyper-parameters and scalars, data cursor: JSON values"""


def capture(step: int, model: nn.Module, optimizer: torch.optim.Optimizer, loader: Cursor) -> Snapshot:
    """The training state now. Costs one copy of weights and optimizer moments."""
    tensors = {f"model.{name}": value.detach().clone() for name, value in model.state_dict().items()}
    tensors["rng.torch"] = torch.get_rng_state()
    state = optimizer.state_dict()
    scalars: dict[str, Any] = {}
    for index, moments in state["state"].items():
        for key, value in moments.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value.detach().clone()
            else:
                scalars[f"{index}.{key}"] = value
    rest = {"groups": state["param_groups"], "scalars": scalars, "cursor": loader.state()}
    return Snapshot(step, tensors, json.loads(json.dumps(rest)))


def restore(snapshot: Snapshot, model: nn.Module, optimizer: torch.optim.Optimizer, loader: Cursor) -> None:
    """Put the training state back, bit for bit. Raises SnapshotError, changing nothing, if it does not fit."""
    weights = _part(snapshot.tensors, "model.")
    own = model.state_dict()
    wrong = sorted(
        name
        for name in {*own, *weights}
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    )
    if wrong:
        raise SnapshotError(
            f"the snapshot of step {snapshot.step} is of another model: {', '.join(wrong[:3])} differ",
            hint="build the model with the configuration that the snapshot was taken from",
        )
    moments: dict[int, dict[str, Any]] = {}
    for name, value in _part(snapshot.tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value.clone()
    for name, value in snapshot.rest["scalars"].items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": snapshot.rest["groups"]})
    model.load_state_dict(weights)
    torch.set_rng_state(snapshot.tensors["rng.torch"].clone())
    loader.restore(snapshot.rest["cursor"])


def save(snapshot: Snapshot, path: Path) -> str:
    """Write `snapshot` to `path`, whole or not at all; return the file's SHA-256. Raises StoreError."""
    meta = {"format": _VERSION, "step": str(snapshot.step), "rest": json.dumps(snapshot.rest)}
    tensors = {name: value.contiguous() for name, value in snapshot.tensors.items()}
    data = save_tensors(tensors, metadata=meta)
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def load(path: Path) -> Snapshot:
    """Read a snapshot. Raises SnapshotError for a missing, half-written or foreign file."""
    if not path.is_file():
        raise SnapshotError(f"no snapshot at {path}", hint="check the path; snapshots end in .safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise SnapshotError(
            f"{path} is not a whole snapshot: {error}",
            hint="it was cut off while being copied, or is another kind of file; copy it again",
        ) from error
    if meta.get("format") != _VERSION:
        raise SnapshotError(
            f"expected {_VERSION}, {path} holds {meta.get('format', 'no format')!r}",
            hint="a plain weights file has no optimizer or data cursor; resume needs a snapshot",
        )
    return Snapshot(int(meta["step"]), tensors, json.loads(meta["rest"]))


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all parameters and buffers, in name order."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name}\0{array.dtype}\0{tuple(array.shape)}\0".encode())
        digest.update(array.view(torch.uint8).numpy().tobytes() if array.ndim else np.asarray(array).tobytes())
    return digest.hexdigest()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
