"""TensorBoard: `add_histogram` of each parameter and gradient at each look. It has no alarm of its own.

What it gave is read from its event files by its own reader.
"""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import HISTOGRAMS, SCALARS, EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from watching.peers.attached import Attached, Loop, by_look
from watching.peers.histograms import Moments, streams
from watching.peers.ran import Given

PACKAGE = "tensorboard"


class Written(Attached):
    """A writer, and what is due at each look."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._writer = SummaryWriter(str(loop.folder))

    def after(self, step: int, loss: float, batch: Any) -> None:
        self._writer.add_scalar("loss", loss, step)
        if step % self._loop.every == 0:
            for name, parameter in self._loop.model.named_parameters():
                self._writer.add_histogram(f"parameters/{name}", parameter, step)
                if parameter.grad is not None:
                    self._writer.add_histogram(f"gradients/{name}", parameter.grad, step)

    def close(self) -> None:
        self._writer.close()

    def given(self) -> Given:
        held = EventAccumulator(str(Path(self._loop.folder)), size_guidance={SCALARS: 0, HISTOGRAMS: 0})
        held.Reload()
        steps, means = by_look(self._loop.every, [event.value for event in held.Scalars("loss")])
        looks: dict[int, dict[str, Moments]] = {step: {} for step in steps}
        for tag in held.Tags()[HISTOGRAMS]:
            for event in held.Histograms(tag):
                value = event.histogram_value
                looks[event.step][tag] = Moments(value.num, value.sum_squares, max(abs(value.min), abs(value.max)))
        return Given(steps, {"loss": means, **streams(looks[step] for step in steps)})


def attach(loop: Loop) -> Written:
    """A writer."""
    return Written(loop)
