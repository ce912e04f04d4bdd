"""devinterp: the local learning coefficient of checkpoints, on the rows that were trained on last. No alarm of its own.

As documented, `llc(model, dataset, observables, lr=.001, n_beta=30)`, with fewer chains and draws than its example has
(4 × 200), and at every `CHECKPOINTS`-th look only: each estimate is hundreds of passes.
"""

import copy
import time
import warnings
from collections import deque
from typing import Any

import torch
from datasets import Dataset
from devinterp.slt.llc import llc

from watching.peers.attached import Attached, Loop
from watching.peers.ran import Given

PACKAGE = "devinterp"
CHECKPOINTS = 5
"""looks from one estimate to the next"""
CHAINS, DRAWS = 2, 25
ROWS = 256
CONTEXT = 32
"""tokens of a row, at most what each model takes"""


class Estimates(Attached):
    """The newest rows, and an estimate now and then."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._rows: deque[Any] = deque(maxlen=ROWS)
        self._given = Given([], {"llc": [], "initial loss": []})

    def after(self, step: int, loss: float, batch: Any) -> None:
        self._rows.extend(batch[:, :CONTEXT].tolist())
        if step % (self._loop.every * CHECKPOINTS) == 0:
            self._estimate(step)

    def _estimate(self, step: int) -> None:
        started = time.process_time()
        data = Dataset.from_dict({"input_ids": list(self._rows)}).with_format("torch")
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            found = llc(
                copy.deepcopy(self._loop.model),
                data,
                {"train": (data, 1)},
                lr=0.001,
                n_beta=30,
                num_chains=CHAINS,
                num_draws=DRAWS,
                num_init_loss_batches=8,
                batch_size=32,
                device="cpu",
                output_path=self._loop.folder / f"{step}.zarr",
            )
        self._given.steps.append(step)
        self._given.streams["llc"].append(float(found["llc_mean"]))
        self._given.streams["initial loss"].append(float(found["init_loss"]))
        self._given.estimates.append(time.process_time() - started)

    def close(self) -> None:
        pass

    def given(self) -> Given:
        return self._given


def attach(loop: Loop) -> Estimates:
    """Estimates along the run."""
    return Estimates(loop)
