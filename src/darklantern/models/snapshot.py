"""Training-state snapshots of torch: weights, optimizer, random streams and data cursor, restored bit for bit.

A snapshot lives in memory; `save` writes it as one safetensors file whose metadata holds the rest
as JSON. Nothing is pickled, so loading a stranger's snapshot runs no code.

In it are the model's state, the optimizer's, gradients that stand (an update may be gathered from several batches), the
random streams that `streams` names, the loader's cursor, and the state of all else that a loop carries on and hands
over (a learning-rate scheduler, a gradient scaler, a second optimizer): what has `state_dict` and `load_state_dict`.
`on_jax.snapshot` has the same for a JAX loop's state.

Of a model that is cut over several ranks each rank's snapshot holds the rank's own pieces, and fits that rank of a
model that is cut in the same way. Nothing is gathered, so a rank may take one alone.
"""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from darklantern.counted import counted
from darklantern.errors import SnapshotError
from darklantern.files import write_whole
from darklantern.models import streams
from darklantern.models.cursors import Cursor, json_values, move
from darklantern.models.state_trees import put_together, taken_apart

_VERSION = "darklantern-snapshot-3"


class Stateful(Protocol):
    """What a loop carries on besides model and optimizer: a scheduler, a scaler, averaged weights."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@dataclass(frozen=True, repr=False)
class Snapshot:
    """A training state at one step. Tensors are copies: training on does not change them.

    They lie in this process's memory, also where the model lies on a device, which seldom has room for several.
    """

    step: int
    tensors: dict[str, Tensor]
    """`model.NAME`, `gradient.NAME`, `optimizer.INDEX.KEY` and `other.INDEX.KEY`"""
    rest: dict[str, Any]
    """optimizer: class, groups (their parameters by name), scalars, which tensors lay apart from their parameters, in
    this process's memory; others; devices of others' tensors; random streams; data cursor: JSON values"""

    def __repr__(self) -> str:
        return f"<snapshot of step {self.step}: {counted(len(self.tensors), 'tensor')}, {self.nbytes:,} bytes>"

    @property
    def nbytes(self) -> int:
        """What it takes of memory."""
        return sum(value.nbytes for value in self.tensors.values())


def capture(
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: Cursor | None,
    others: Sequence[Stateful] = (),
) -> Snapshot:
    """The training state now. Costs one copy of weights, optimizer moments and gradients that are not None: a loop that
    zeroes them right after its update has none. Without a loader there is no cursor.

    Raises SnapshotError for a setting of the optimizer, a state of `others` or a cursor that JSON cannot hold, and for
    what an optimizer holds of no parameter.
    """
    tensors = {f"model.{name}": _piece(value) for name, value in model.state_dict().items()}
    tensors |= {f"gradient.{name}": _piece(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    devices: dict[str, str] = {}
    state = optimizer.state_dict()
    scalars: dict[str, Any] = {}
    parameters = _trained(optimizer)
    apart: list[str] = []
    for index, moments in state["state"].items():
        if index not in parameters or not isinstance(moments, dict):
            raise SnapshotError(
                f"{type(optimizer).__name__} holds {index!r} in its state, which belongs to no parameter",
                hint="keep what belongs to all of them in the optimizer's groups, as numbers",
            )
        for key, value in moments.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = _piece(value)
                if value.device.type == "cpu" and parameters[index].device.type != "cpu":
                    apart.append(f"{index}.{key}")
            else:
                scalars[f"{index}.{key}"] = value

    def keep(name: str, value: Tensor) -> None:
        tensors[name] = _copied(value.detach())  # whatever it is: nothing says later what it was a piece of
        if value.device.type != "cpu":
            devices[name] = str(value.device)

    rest = {
        "optimizer": type(optimizer).__name__,
        "groups": _groups(model, optimizer),
        "scalars": scalars,
        "apart": apart,
        "others": [
            [type(other).__name__, taken_apart(other.state_dict(), f"other.{index}", keep, _is_tensor)]
            for index, other in enumerate(others)
        ],
        "devices": devices,
        "random": streams.capture(),
        "cursor": None if loader is None else loader.state(),
    }
    if any(value.is_pinned() for value in tensors.values()):
        torch.cuda.synchronize()  # copies into pinned memory are under way until then
    return Snapshot(step, tensors, json_values(rest, step))


def restore(
    snapshot: Snapshot,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: Cursor | None,
    others: Sequence[Stateful] = (),
) -> None:
    """Put the training state back, bit for bit. Raises SnapshotError, changing nothing, if it does not fit."""
    # 1. Everything that can be checked without a change.
    weights, own = _part(snapshot.tensors, "model."), model.state_dict()
    _check_weights(snapshot.step, weights, {name: _local(value) for name, value in own.items()})
    weights = {name: _like(own[name], value) for name, value in weights.items()}
    gradients = _gradients(snapshot, model)
    try:
        state = _optimizer_state(snapshot, model, optimizer)
        random, cursor = snapshot.rest["random"], snapshot.rest["cursor"]
        if random["torch"] is None:
            raise ValueError("the stream of torch is missing")
        states = _other_states(snapshot, others)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError(
            f"the snapshot of step {snapshot.step} is not whole: {error!r}", hint="take it again, or copy it again"
        ) from error
    streams.check(random)

    # 2. The cursor first: only the loader knows what fits it, and it alone has to be put back then.
    if loader is not None:
        if cursor is None:
            raise SnapshotError(
                f"the snapshot of step {snapshot.step} has no cursor: it was taken without a loader",
                hint="restore it without one, and take the data to where it stood yourself",
            )
        move(loader, cursor, snapshot.step)

    # 3. What was checked.
    _load(optimizer, state, set(snapshot.rest.get("apart", ())))
    model.load_state_dict(weights)
    for name, parameter in model.named_parameters():
        parameter.grad = gradients.get(name)
    for other, held in zip(others, states, strict=True):
        if isinstance(other, torch.optim.Optimizer):
            _load(other, held, None)
        else:
            other.load_state_dict(held)
    streams.restore(random)


def save(snapshot: Snapshot, path: Path | str) -> str:
    """Write `snapshot` to `path`, whole or not at all; return the file's SHA-256. Raises StoreError."""
    meta = {"format": _VERSION, "step": str(snapshot.step), "rest": json.dumps(snapshot.rest)}
    tensors = {name: _local(value).contiguous() for name, value in snapshot.tensors.items()}
    data = save_tensors(tensors, metadata=meta)
    write_whole(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def load(path: Path | str) -> Snapshot:
    """Read a snapshot. Raises SnapshotError for a missing, half-written or foreign file."""
    path = Path(path)
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
    try:
        return Snapshot(int(meta["step"]), tensors, json.loads(meta["rest"]))
    except (KeyError, ValueError, RecursionError) as error:
        raise SnapshotError(
            f"{path} lacks its step or what goes with the tensors: {error!r}", hint="copy it again from where it came"
        ) from error


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all parameters and saved buffers, in name order.

    Where the model is cut over several ranks, of the whole: then every rank must call it.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = _whole(value.detach()).cpu().contiguous()
        digest.update(f"{name}\0{array.dtype}\0{tuple(array.shape)}\0".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _piece(value: Tensor) -> Tensor:
    """A copy of what this rank holds of `value`."""
    return _copied(_local(value.detach()))


def _copied(value: Tensor) -> Tensor:
    """A copy in this process's memory; of a CUDA device's, into pinned memory and perhaps still under way."""
    if value.device.type == "cpu" or callable(getattr(value, "to_local", None)):
        return value.clone()
    if value.device.type != "cuda":
        return value.to("cpu")
    try:
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(value, non_blocking=True)
    except RuntimeError:  # there is a limit to what can be pinned
        return value.to("cpu")


def _local(value: Tensor) -> Tensor:
    local: Any = getattr(value, "to_local", None)
    return local() if callable(local) else value


def _whole(value: Tensor) -> Tensor:
    gather: Any = getattr(value, "full_tensor", None)
    return gather() if callable(gather) else value


def _like(own: Any, piece: Tensor) -> Tensor:
    """`piece` as a part of what `own` is a part of."""
    if not callable(getattr(own, "to_local", None)) or own.to_local().shape != piece.shape:
        return piece
    here = piece.to(own.to_local().device)
    made: Tensor = type(own.data).from_local(
        here, own.device_mesh, own.placements, run_check=False, shape=own.shape, stride=own.stride()
    )
    return made


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _other_states(snapshot: Snapshot, others: Sequence[Stateful]) -> list[dict[str, Any]]:
    """What each of `others` is to load. Raises SnapshotError when they are not those of the snapshot."""
    held = snapshot.rest["others"]
    kinds, own = [kind for kind, _ in held], [type(other).__name__ for other in others]
    if kinds != own:
        raise SnapshotError(
            f"the snapshot of step {snapshot.step} holds {', '.join(kinds) or 'nothing'} besides model and optimizer, "
            f"here are {', '.join(own) or 'none'}",
            hint="hand over the same, in the same order, as when it was taken",
        )
    devices = snapshot.rest.get("devices", {})
    tensors = {name: value.to(devices.get(name, "cpu")) for name, value in _named("other.", snapshot.tensors)}
    # Copies, since a restored object may train on in the tensors that it is given.
    return [deepcopy(put_together(tree, tensors)) for _, tree in held]


def _gradients(snapshot: Snapshot, model: nn.Module) -> dict[str, Tensor]:
    """Those that stood then, each where its parameter lies. Raises SnapshotError for a gradient of another model."""
    parameters = dict(model.named_parameters())
    found = _part(snapshot.tensors, "gradient.")
    local = {name: _local(parameter) for name, parameter in parameters.items()}
    wrong = [name for name, value in found.items() if name not in local or local[name].shape != value.shape]
    if wrong:
        raise SnapshotError(
            f"the snapshot of step {snapshot.step} has gradients that do not fit: {', '.join(wrong[:3])}",
            hint="build the model with the configuration that the snapshot was taken from",
        )
    return {name: _like(parameters[name], value.to(local[name].device, copy=True)) for name, value in found.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in _named(prefix, tensors)}


def _named(prefix: str, tensors: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in tensors.items() if name.startswith(prefix)]


def _check_weights(step: int, weights: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    def shape(tensors: dict[str, Tensor], name: str) -> str:
        return f"{tensors[name].dtype} {tuple(tensors[name].shape)}" if name in tensors else "nothing"

    wrong = [name for name in sorted({*own, *weights}) if shape(own, name) != shape(weights, name)]
    if wrong:
        said = "; ".join(f"{name} is {shape(own, name)} here, {shape(weights, name)} there" for name in wrong[:3])
        raise SnapshotError(
            f"the snapshot of step {step} is of another model: {said}",
            hint="build the model with the configuration that the snapshot was taken from",
        )


def _groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The optimizer's groups with their parameters by name: the same indices may stand for others elsewhere."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{**group, "params": [names.get(id(p), "") for p in group["params"]]} for group in optimizer.param_groups]


def _optimizer_state(snapshot: Snapshot, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What `optimizer.load_state_dict` takes. Raises SnapshotError when it is another optimizer's."""
    tensors = {name: value.clone() for name, value in _part(snapshot.tensors, "optimizer.").items()}
    moments: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **snapshot.rest["scalars"]}.items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = value

    held, own = snapshot.rest["groups"], _groups(model, optimizer)
    if snapshot.rest["optimizer"] != type(optimizer).__name__:
        why = f"{snapshot.rest['optimizer']}, here is {type(optimizer).__name__}"
    elif [group["params"] for group in held] != [group["params"] for group in own]:
        why = f"{len(held)} groups over other parameters than the {len(own)} here"
    elif [sorted(group) for group in held] != [sorted(group) for group in own]:
        why = "its groups have other settings"
    else:
        parameters = _trained(optimizer)
        changed = [
            f"{key} of parameter {index} is {now.dtype} here, {value.dtype} there"
            for index, values in sorted(moments.items())
            for key, value in values.items()
            if isinstance(now := optimizer.state.get(parameters[index], {}).get(key), Tensor)
            if isinstance(value, Tensor) and now.dtype != value.dtype
        ]
        why = "; ".join(changed[:3])
    if why:
        raise SnapshotError(
            f"the snapshot of step {snapshot.step} is of another optimizer: {why}",
            hint="build the optimizer over the same parameters, in the same order, with the same settings",
        )
    for index, values in moments.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and key != "step":
                values[key] = _like(parameters[index], value)
    indices = [group["params"] for group in optimizer.state_dict()["param_groups"]]
    groups = [{**group, "params": params} for group, params in zip(held, indices, strict=True)]
    return {"state": moments, "param_groups": groups}


def _trained(optimizer: torch.optim.Optimizer) -> dict[Any, Tensor]:
    """The parameters as a state dict counts them."""
    return dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))


def _load(optimizer: torch.optim.Optimizer, state: dict[str, Any], apart: set[str] | None) -> None:
    """Load a state dict bit for bit: torch casts what belongs to a parameter to its dtype, whole numbers too, and moves
    it to its device.

    `apart` are those (INDEX.KEY) that stay where they are in `state`; the others go where torch puts them. None: all
    stay where they are.
    """
    optimizer.load_state_dict(state)
    parameters = _trained(optimizer)
    for index, moments in state.get("state", {}).items():
        loaded: Any = optimizer.state.get(parameters.get(index, index))
        for key in moments.keys() & loaded.keys() if isinstance(loaded, dict) else ():
            stays = apart is None or f"{index}.{key}" in apart
            loaded[key] = _as_held(moments[key], loaded[key], stays)


def _as_held(held: Any, loaded: Any, stays: bool) -> Any:
    """`held` where it stays or where `loaded` lies; `loaded` itself where that is the same."""
    if isinstance(held, Tensor) and isinstance(loaded, Tensor):
        device = held.device if stays else loaded.device
        return loaded if (loaded.dtype, loaded.device) == (held.dtype, device) else held.to(device)
    if isinstance(held, dict) and isinstance(loaded, dict):
        return {key: _as_held(value, loaded.get(key, value), stays) for key, value in held.items()}
    if isinstance(held, list | tuple) and isinstance(loaded, list | tuple) and len(held) == len(loaded):
        return type(held)(_as_held(mine, theirs, stays) for mine, theirs in zip(held, loaded, strict=True))
    return loaded if type(loaded) is type(held) else held
