"""Lightning's `SpikeDetection`, as a callback of Fabric with its own settings: window 10, rtol 2, a rise of the loss.

Its documentation has the run end at a spike and start again without two batches; here the spike is noted and the run
goes on, so that one run shows all of them.
"""

from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.spike import SpikeDetection, TrainingSpikeException

from watching.peers.attached import Attached, Loop, by_look
from watching.peers.ran import Given

PACKAGE = "lightning"


class Spikes(Attached):
    """Fabric with the callback."""

    def __init__(self, loop: Loop) -> None:
        self._every = loop.every
        detection = SpikeDetection(exclude_batches_path=str(loop.folder / "skip_batches.json"))
        self._fabric = Fabric(accelerator="cpu", devices=1, callbacks=[detection])
        self._losses: list[float] = []
        self._alarms: list[int] = []

    def after(self, step: int, loss: float, batch: Any) -> None:
        self._losses.append(loss)
        said = torch.tensor(loss)
        try:
            self._fabric.call("on_train_batch_end", fabric=self._fabric, loss=said, batch=batch, batch_idx=step - 1)
        except TrainingSpikeException:
            self._alarms.append(step)

    def close(self) -> None:
        pass

    def given(self) -> Given:
        steps, means = by_look(self._every, self._losses)
        return Given(steps, {"loss": means}, self._alarms)


def attach(loop: Loop) -> Spikes:
    """The callback."""
    return Spikes(loop)
