"""A plain PyTorch loop: a watch's own forward on its own rows, through hooks that last one call."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
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
            if len(value.array) != len(rows):
                raise WatchError(
                    f"site {site} carries {len(value.array)} examples, the watch ran {len(rows)}",
                    hint="watch a site whose first axis is the batch",
                )
        return Seen(
            sites={site: value.array.float().cpu().numpy().copy() for site, value in recording.items()},
            log_probs=_log_probs("the model", _logits(recording.output, rows), rows),
            lenses={site: _log_probs(f"readout of {site}", logits, rows) for site, logits in said.items()},
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
        try:
            return json.dumps(self.loader.state(), sort_keys=True)
        except (TypeError, ValueError) as error:
            raise WatchError(
                f"{type(self.loader).__name__}.state() is not made of JSON values: {error}",
                hint="return numbers, texts, lists and maps of them; for NumPy's Generator, bit_generator.state",
            ) from error

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
    if not callable(getattr(loader, "state", None)) or not callable(getattr(loader, "restore", None)):
        raise WatchError(
            f"{type(loader).__name__} has no state() and restore(state), so a rollback could not rewind the data",
            hint="wrap it in a class with __iter__, state() and restore(state); organisms.training.Loader is one",
        )
    made = TorchTap(Model(module), optimizer, loader, found)
    made.cursor()
    return made


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


def _logits(output: Any, rows: Bytes) -> Any:
    """The logits in what a model returned: the tensor itself, its `logits`, or the one of their shape in a tuple."""
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if named is not None:
        return named
    if not isinstance(output, tuple | list):
        return output
    found = [part for part in output if _is_logits(part, rows)]
    if len(found) != 1:
        raise WatchError(
            f"the model returns {len(output)} values, of which {len(found)} could be logits",
            hint="return the logits, or an object that names them `logits`",
        )
    return found[0]


def _is_logits(value: Any, rows: Bytes) -> bool:
    shape = (len(rows), rows.shape[1] - 1)
    return isinstance(value, Tensor) and value.ndim == 3 and value.shape[:2] == shape and value.is_floating_point()


def _log_probs(whose: str, logits: Any, rows: Bytes) -> Floats:
    if not _is_logits(logits, rows) or rows.max() >= logits.shape[2]:
        shape = f"{tuple(logits.shape)} of {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        raise WatchError(
            f"expected {whose} to give logits ({len(rows)}, {rows.shape[1] - 1}, more than {rows.max()}), got {shape}",
            hint="the watch needs logits at every position, for every byte that its rows hold",
        )
    return logits.float().log_softmax(-1).cpu().numpy()
