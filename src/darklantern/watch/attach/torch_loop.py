"""A PyTorch loop: a watch's own uncompiled forward on its own rows, through hooks that last one call."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from darklantern.errors import DarkLanternError, WatchError
from darklantern.models.on_torch.left_alone import left_alone
from darklantern.models.on_torch.opened import Model
from darklantern.models.paths import nearest
from darklantern.models.recording import Recording
from darklantern.models.snapshot import Snapshot, Stateful, capture, restore, save, weights_hash
from darklantern.watch.attach import logits, ranks, rewinding
from darklantern.watch.attach.aside import Aside
from darklantern.watch.attach.filtering import Filter
from darklantern.watch.attach.memory import free_bytes
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.examples import Array, Examples, Reader, examples, later
from darklantern.watch.seen import Floats, Values

_AT_ONCE = 64
"""rows of a pass on a processor, whose caches hold no more: 1.7 times as fast as all of some 500 rows at once"""


@dataclass
class TorchTap:
    """A model under training, its optimizer, its loader and what else the loop carries on."""

    model: Model
    optimizer: torch.optim.Optimizer | None
    loader: Any
    others: tuple[Stateful, ...] = ()
    readout: Callable[[Tensor], Tensor] | None = None
    """residual stream to logits: the model's last norm and unembedding"""
    call: Callable[[Tensor], Any] | None = None
    """inputs to what the model is called with"""
    batch: Reader | None = None
    ranks: Ranks = field(default_factory=lambda: ranks.Late(ranks.of_torch))
    barred: str = ""
    """why the loop that this serves cannot be rolled back, whatever `state` is"""
    _aside: Aside = field(init=False)
    framework = "torch"

    def __post_init__(self) -> None:
        self._aside = Aside(lambda: left_alone(self.model.module))

    @property
    def rewinds(self) -> str:
        if self.barred:
            return self.barred
        if self.optimizer is None:
            return "the watch was given no optimizer in `state`"
        return rewinding.rewinds(self.loader)

    @property
    def keeps(self) -> bool:
        return self.optimizer is not None and not self.barred

    @property
    def opened(self) -> Model:
        return self.model

    def sites(self, pattern: str, inputs: Array) -> tuple[str, ...]:
        return tuple(str(site) for site in self.model.sites(pattern))

    def aside(self) -> AbstractContextManager[None]:
        return self._aside()

    @torch.no_grad()
    def see(self, inputs: Array, sites: Sequence[str], lenses: Sequence[str], output: bool) -> Values:
        module = self.model.module
        device = _device(module)
        # Ranks must make as many passes as each other.
        rows = _AT_ONCE if device.type == "cpu" and self.ranks.count == 1 else max(1, len(inputs))
        with self.aside(), _evaluating(module, device):
            parts = [self._see(inputs[at : at + rows], sites, lenses, output) for at in range(0, len(inputs), rows)]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _see(self, inputs: Array, sites: Sequence[str], lenses: Sequence[str], output: bool) -> Values:
        recording = self._run(_given(inputs, self.model.module, _device(self.model.module)), sites, output)
        said = {site: self._read_out(site, recording[site].array) for site in lenses}
        for site, value in recording.items():
            logits.check_batched(site, value.array, len(inputs))
        return Values(
            sites={site: value.array for site, value in recording.items()},
            output=logits.found(recording.output, len(inputs), Tensor) if output else None,
            lenses=said,
            natives={site: value.site.native for site, value in recording.items() if value.site.native},
        )

    def handed_out(self) -> None:
        """A torch loop changes its model in place: there is nothing that it could fail to hand over."""

    def looked(self) -> None:
        """For the same reason nothing."""

    def _run(self, inputs: Tensor, sites: Sequence[str], output: bool) -> Recording:
        given = inputs if self.call is None else self.call(inputs)
        try:
            return self.model.execute(self.model.plan(*sites, stop=not output), given)
        except DarkLanternError:
            raise
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise WatchError(
                f"{type(self.model.module).__name__} cannot run the watch's rows, {_said(inputs)} on "
                f"{inputs.device}: {error}",
                hint="the watch calls model(inputs) with its probes' rows, of token rows all but the last token; "
                "call=lambda inputs: ... says how the model takes them, for example darklantern.Inputs(...)",
            ) from error

    def _read_out(self, site: str, residual: Tensor) -> Tensor:
        if self.readout is None:
            raise WatchError(
                f"{type(self.model.module).__name__} has no method `readout` from residual stream to logits",
                hint="dl.watch(model, ..., readout=lambda residual: model.unembed(model.norm(residual))), by the names "
                "that yours has",
            )
        read = self.readout(residual)
        if not isinstance(read, Tensor) or read.shape[:-1] != residual.shape[:-1]:
            raise WatchError(
                f"expected readout of {site} to give logits {(*residual.shape[:-1], 'tokens')}, got {_said(read)}",
                hint="the last norm and the unembedding, position by position",
            )
        return read

    def weights(self, patterns: Sequence[str]) -> Mapping[str, Floats]:
        named = dict(self.model.module.named_parameters())
        found: dict[str, Floats] = {}
        for pattern in patterns:
            names = [name for name in named if fnmatchcase(name, pattern)]
            if not names:
                raise WatchError(
                    f"no parameter is called {pattern!r}", hint=f"nearest: {', '.join(nearest(pattern, named))}"
                )
            # Copied: a note that kept them would change with the training.
            found |= {
                name: _whole(named[name]).detach().float().cpu().numpy().copy() for name in names if name not in found
            }
        return found

    def digest(self) -> str:
        return weights_hash(self.model.module)

    def examples(self, batch: Any) -> Examples:
        return examples(batch, "a batch", self.batch)

    def later(self, batch: Any) -> Callable[[], Examples]:
        return later(batch, "a batch", self.batch, _copied_there)

    def order(self, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
        return np.flatnonzero(kept)

    def keep(self, batch: Any, kept: NDArray[np.bool_]) -> Any:
        return Filter(self.order(kept), len(kept), _taken).of(batch)

    def cursor(self) -> str:
        return rewinding.cursor(self.loader)

    def go_to(self, cursor: str) -> None:
        rewinding.go_to(self.loader, cursor)

    @property
    def state(self) -> Any:
        raise WatchError(
            "a torch loop changes its model in place, so there is no state to take from the watch",
            hint="`state` is what a JAX loop takes from the watch and hands back",
        )

    @state.setter
    def state(self, new: Any) -> None:
        raise WatchError(
            "a torch loop changes its model in place, so there is no state to hand over",
            hint="`state` is what a JAX loop takes from the watch and hands back",
        )

    def wait(self) -> None:
        device = _device(self.model.module)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def snapshot(self, step: int) -> Snapshot:
        if self.optimizer is None:
            raise WatchError("there is no optimizer to take a snapshot of", hint="state=(optimizer, loader)")
        loader = None if rewinding.rewinds(self.loader) else rewinding.position(self.loader)
        return capture(step, self.model.module, self.optimizer, loader, self.others)

    def restore(self, snapshot: Snapshot) -> None:
        if self.rewinds or self.optimizer is None:
            raise WatchError(f"the run cannot be rolled back: {self.rewinds}", hint="see watch.resume for the way out")
        restore(snapshot, self.model.module, self.optimizer, rewinding.position(self.loader), self.others)

    def state_bytes(self) -> int:
        if not self.keeps or self.optimizer is None:
            return 0
        weights = sum(_local(value).nbytes for value in self.model.module.state_dict().values())
        weights += sum(_local(p.grad).nbytes for p in self.model.module.parameters() if p.grad is not None)
        held = [each for moments in self.optimizer.state.values() for each in moments.values()]
        if held:
            return weights + sum(_local(each).nbytes for each in held if isinstance(each, Tensor))
        # Made in the first update: two moments by Adam and its kin, one by what has momentum.
        each = 2 if "betas" in self.optimizer.defaults else 1 if self.optimizer.defaults.get("momentum") else 0
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        return weights + each * sum(_local(parameter).nbytes for parameter in trained if parameter.requires_grad)

    def gradient_bytes(self) -> int:
        if not self.keeps:
            return 0
        parameters = self.model.module.parameters()
        return sum(_local(p).nbytes for p in parameters if p.requires_grad and p.grad is None)

    def room(self) -> int | None:
        return free_bytes()

    @property
    def saves(self) -> str:
        return ""

    def save(self, snapshot: Snapshot, path: Path) -> str:
        return save(snapshot, path)

    def ablate(self, edits: Mapping[str, Any]) -> Any:
        return self.model.declare(edits={str(site): edit for site, edit in edits.items()})


def tap(
    module: Any,
    state: Any,
    readout: Callable[[Tensor], Tensor] | None = None,
    call: Callable[[Tensor], Any] | None = None,
    batch: Reader | None = None,
) -> TorchTap:
    """A tap into `module`; `state` are an optimizer, a loader, and whatever else has a state dict, in any order.

    Raises WatchError for what does not fit. What was compiled is seen through: the watch's forward runs uncompiled.
    """
    if not isinstance(module, nn.Module):
        raise WatchError(
            f"expected a torch.nn.Module, got {type(module).__name__}",
            hint="pass the module that you train, not what darklantern.open made of it",
        )
    module = unwrapped(module)
    for path, part in module.named_modules():
        if type(part).__module__.startswith("torch.jit"):
            raise WatchError(
                f"{path or 'this model'} is TorchScript, which runs past every hook",
                hint="train the module that it was made from, and script it afterwards",
            )
    found = readout or getattr(module, "readout", None) or _head(module)
    optimizer, loader, others = _parts(state)
    if optimizer is not None:
        _check_optimizer(optimizer, module)
    rewinding.check(loader)
    return TorchTap(
        Model(module, compiled="eager"), optimizer, loader, others, found if callable(found) else None, call, batch
    )


def unwrapped(module: nn.Module) -> nn.Module:
    """The user's own module, within what torch.compile and DistributedDataParallel put around it."""
    while True:
        inner = getattr(module, "_orig_mod", None) or (
            module.module if isinstance(module, nn.parallel.DistributedDataParallel) else None
        )
        if inner is None:
            return module
        module = inner


def _parts(state: Any) -> tuple[torch.optim.Optimizer | None, Any, tuple[Stateful, ...]]:
    """The optimizer, the loader and the rest of `state`. Raises WatchError for what is none of them."""
    parts = [part for part in (state if isinstance(state, tuple | list) else (state,)) if part is not None]
    optimizers = [part for part in parts if isinstance(part, torch.optim.Optimizer)]
    rest = [part for part in parts if not isinstance(part, torch.optim.Optimizer)]
    others = [part for part in rest if _is_stateful(part) and not _is_loader(part)]
    loaders = [part for part in rest if not any(part is other for other in others)]
    wrong = any(isinstance(part, nn.Module) for part in parts) or not all(map(_gives_batches, loaders))
    if len(loaders) > 1 or wrong:
        raise WatchError(
            f"expected state=(optimizer, loader, ...), got {', '.join(type(part).__name__ for part in parts)}",
            hint="one loader; besides it optimizers, schedulers, scalers: what has a state_dict. The model is the "
            "first argument and no part of `state`",
        )
    return (
        optimizers[0] if optimizers else None,
        loaders[0] if loaders else None,
        (*optimizers[1:], *others),
    )


def _is_stateful(part: Any) -> bool:
    return callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))


def _gives_batches(part: Any) -> bool:
    if isinstance(part, str | bytes | Mapping):  # which give letters and keys
        return False
    return _is_loader(part) or hasattr(part, "__getitem__")


def _is_loader(part: Any) -> bool:
    return callable(getattr(part, "__iter__", None)) or callable(getattr(part, "restore", None))


def _head(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """The last norm and unembedding of a causal model of transformers, by its own words for them."""
    within = getattr(module, "get_base_model", None)  # of peft's, which answers for it but is no such model
    module = within() if callable(within) else module
    unembed = getattr(module, "get_output_embeddings", lambda: None)()
    trunk = getattr(module, str(getattr(module, "base_model_prefix", "")), None)
    norm = next((part for name in ("norm", "ln_f", "final_layer_norm") if (part := getattr(trunk, name, None))), None)
    if unembed is None or norm is None:
        return None
    return lambda residual: unembed(norm(residual))


def _check_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    own = {id(parameter) for parameter in module.parameters()}
    foreign = sum(id(parameter) not in own for group in optimizer.param_groups for parameter in group["params"])
    if foreign:
        raise WatchError(
            f"the optimizer trains {foreign} tensors that are not of this {type(module).__name__}, "
            "so a rollback would leave them as they are",
            hint="watch the whole module that the optimizer trains; make the optimizer from that module's parameters",
        )


def _joined(parts: Sequence[Values]) -> Values:
    first = parts[0]
    return Values(
        sites={site: torch.cat([part.sites[site] for part in parts]) for site in first.sites},
        output=None if first.output is None else torch.cat([part.output for part in parts]),
        lenses={site: torch.cat([part.lenses[site] for part in parts]) for site in first.lenses},
        natives=first.natives,
    )


def _local(value: Tensor) -> Tensor:
    """What this rank holds of it."""
    local = getattr(value, "to_local", None)
    return local() if callable(local) else value


def _taken(part: Any, order: NDArray[np.intp]) -> Any:
    return part[torch.from_numpy(order).to(part.device)] if isinstance(part, Tensor) else part[order]


def _copied_there(part: Any) -> Tensor | None:
    """A copy on the device of `part`, if that is another than the processor's."""
    return part.detach().clone() if isinstance(part, Tensor) and part.device.type != "cpu" else None


def _given(inputs: Array, module: nn.Module, device: torch.device) -> Tensor:
    """Whole numbers as int64, others in the dtype of the model's parameters."""
    made = torch.from_numpy(np.ascontiguousarray(inputs))
    if inputs.dtype.kind in "ui":
        return made.to(device, torch.int64)
    held = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    return made.to(device, held) if inputs.dtype.kind == "f" else made.to(device)


def _whole(parameter: Tensor) -> Tensor:
    """All of it, where it is cut over several ranks."""
    gather = getattr(parameter, "full_tensor", None)
    return gather() if callable(gather) else parameter


def _said(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}".removeprefix("torch.") if isinstance(value, Tensor) else repr(value)


def _device(module: nn.Module) -> torch.device:
    """Where the module takes its inputs now: it may have moved since the watch attached."""
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _evaluating(module: nn.Module, device: torch.device) -> Iterator[None]:
    """The module in eval mode, and a pass that draws what the next would draw; within `left_alone`."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []), warnings.catch_warnings():
        # What reentrant checkpointing says of every pass without gradients.
        warnings.filterwarnings("ignore", message="None of the inputs have requires_grad=True", category=UserWarning)
        modes = [(part, part.training) for part in module.modules()]
        try:
            module.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training  # not train(): that would also set the parts of a part
