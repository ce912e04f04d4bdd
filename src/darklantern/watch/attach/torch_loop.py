"""A plain PyTorch loop: a watch's own forward on its own rows, through hooks that last one call."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from darklantern.errors import WatchError
from darklantern.models.engine import Model
from darklantern.models.snapshot import Cursor, Snapshot, capture, restore
from darklantern.watch.probes import Bytes, Floats, Seen


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
        was_training = self.model.module.training
        self.model.module.eval()
        try:
            recording = self.model.record(_tokens(rows)[:, :-1], *sites)
        finally:
            self.model.module.train(was_training)
        for site, value in recording.items():
            if len(value) != len(rows):
                raise WatchError(
                    f"site {site} carries {len(value)} examples, the watch ran {len(rows)}",
                    hint="watch a site whose first axis is the batch",
                )
        return Seen(
            sites={site: value.float().numpy() for site, value in recording.items()},
            log_probs=_log_probs(recording.output),
            lenses={site: _log_probs(self.readout(recording[site])) for site in lenses},
        )

    def rows(self, batch: Tensor) -> Bytes:
        if not isinstance(batch, Tensor) or batch.ndim != 2 or batch.is_floating_point():
            raise WatchError(
                f"expected a batch of token rows (n, width), got {type(batch).__name__}",
                hint="yield integer tensors (batch, width) from the loader",
            )
        return batch.numpy().astype(np.uint8)

    def keep(self, batch: Tensor, kept: Any) -> Tensor:
        return batch[torch.from_numpy(kept)]

    def snapshot(self, step: int) -> Snapshot:
        return capture(step, self.model.module, self.optimizer, self.loader)

    def restore(self, snapshot: Snapshot) -> None:
        restore(snapshot, self.model.module, self.optimizer, self.loader)


def tap(module: nn.Module, state: Iterable[Any], readout: Callable[[Tensor], Tensor]) -> TorchTap:
    """A tap into `module`; `state` is (optimizer, loader)."""
    optimizer, loader = state
    return TorchTap(Model(module), optimizer, loader, readout)


def _tokens(rows: Bytes) -> Tensor:
    return torch.from_numpy(rows.astype(np.int64))


def _log_probs(logits: Tensor) -> Floats:
    return logits.float().log_softmax(-1).numpy()
