"""A plain PyTorch loop: a watch's own forward on its own rows, through hooks that last one call."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from darklantern.errors import WatchError
from darklantern.models.cursors import Cursor
from darklantern.models.on_torch.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.snapshot import Snapshot, capture, restore
from darklantern.watch.attach import logits
from darklantern.watch.attach.rewinding import check_loader, cursor
from darklantern.watch.probes import Floats, Seen
from darklantern.watch.rows import Bytes, byte_rows


@dataclass
class TorchTap:
    """A token model (rows of bytes to logits), its optimizer and a loader that can rewind."""

    model: Model
    optimizer: torch.optim.Optimizer
    loader: Cursor
    readout: Callable[[Tensor], Tensor]
    """residual stream to logits: the model's last norm and unembedding"""

    @torch.no_grad()
    def see(self, rows: Bytes, sites: tuple[str, ...], lenses: tuple[str, ...]) -> Seen:
        device = _device(self.model.module)
        with _aside(self.model.module, device):
            recording = self._run(torch.from_numpy(rows.astype(np.int64)).to(device)[:, :-1], sites)
            said = {site: self.readout(recording[site].array) for site in lenses}
        for site, value in recording.items():
            logits.check_batched(site, value.array, rows)
        return Seen(
            sites={site: value.array.float().cpu().numpy().copy() for site, value in recording.items()},
            log_probs=_log_probs("the model", logits.found(recording.output, rows, Tensor), rows),
            lenses={site: _log_probs(f"readout of {site}", each, rows) for site, each in said.items()},
        )

    def _run(self, tokens: Tensor, sites: tuple[str, ...]) -> Recording:
        try:
            return self.model.execute(self.model.plan(*sites), tokens)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise WatchError(
                f"{type(self.model.module).__name__} cannot run the watch's rows, int64 {tuple(tokens.shape)} on "
                f"{tokens.device}: {error}",
                hint="the watch calls model(tokens) with the probes' rows but their last byte; pass a model of bytes "
                "that takes rows of this width, or a small module that calls yours",
            ) from error

    def rows(self, batch: Tensor) -> Bytes:
        if not isinstance(batch, Tensor):
            raise WatchError(
                f"expected a batch of token rows (n, width), got {type(batch).__name__}",
                hint="yield integer tensors (batch, width) from the loader",
            )
        return byte_rows(batch, "a batch of token rows")

    def keep(self, batch: Tensor, kept: Any) -> Tensor:
        return batch[torch.from_numpy(kept).to(batch.device)]

    def cursor(self) -> str:
        return cursor(self.loader)

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
        return capture(step, self.model.module, self.optimizer, self.loader)

    def restore(self, snapshot: Snapshot) -> None:
        restore(snapshot, self.model.module, self.optimizer, self.loader)
        self.model.module.zero_grad()  # what was accumulated since belongs to the state that is left


def tap(module: Any, state: Iterable[Any], readout: Callable[[Tensor], Tensor] | None) -> TorchTap:
    """A tap into `module`; `state` is (optimizer, loader). Raises WatchError for what could not be rolled back."""
    if not isinstance(module, nn.Module):
        raise WatchError(
            f"expected a torch.nn.Module, got {type(module).__name__}",
            hint="pass the module that you train, not what darklantern.open made of it",
        )
    found = readout or getattr(module, "readout", None)
    if not callable(found):
        raise WatchError(
            f"{type(module).__name__} has no method `readout` from residual stream to logits",
            hint="pass readout=lambda residual: model.unembed(model.norm(residual)), with your names",
        )
    try:
        optimizer, loader = state
    except (TypeError, ValueError) as error:
        raise WatchError(
            f"expected state=(optimizer, loader), got {type(state).__name__}: {error}",
            hint="the model is the first argument and no part of `state`",
        ) from error
    _check_optimizer(optimizer, module)
    check_loader(loader)
    return TorchTap(Model(module), optimizer, loader, found)


def _check_optimizer(optimizer: Any, module: nn.Module) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise WatchError(
            f"expected a torch.optim.Optimizer first in `state`, got {type(optimizer).__name__}",
            hint="state=(optimizer, loader), in this order",
        )
    own = {id(parameter) for parameter in module.parameters()}
    foreign = sum(id(parameter) not in own for group in optimizer.param_groups for parameter in group["params"])
    if foreign:
        raise WatchError(
            f"the optimizer trains {foreign} tensors that are not of this {type(module).__name__}, "
            "so a rollback would leave them as they are",
            hint="watch the whole module that the optimizer trains; make the optimizer from that module's parameters",
        )


def _device(module: nn.Module) -> torch.device:
    """Where the module takes its tokens now: it may have moved since the watch attached."""
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _aside(module: nn.Module, device: torch.device) -> Iterator[None]:
    """The module in eval mode; afterwards each part in its own mode again and random streams as they were."""
    modes = [(part, part.training) for part in module.modules()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        module.eval()
        try:
            yield
        finally:
            for part, training in modes:
                part.training = training  # not train(): that would also set the parts of a part


def _log_probs(whose: str, said: Any, rows: Bytes) -> Floats:
    return logits.checked(whose, said, rows, Tensor).float().log_softmax(-1).cpu().numpy()
