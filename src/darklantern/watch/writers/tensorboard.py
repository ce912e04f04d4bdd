"""TensorBoard: scalars, and alarms as text."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darklantern.records.findings import Event
from darklantern.watch.writers.writer import Writer, loaded, told


class TensorBoard(Writer):
    """Writes to a SummaryWriter. `tensorboard` makes it."""

    what = "the TensorBoard writer"

    def __init__(self, writer: Any, owned: bool) -> None:
        super().__init__()
        self._writer, self._owned = writer, owned

    def look(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def event(self, event: Event) -> None:
        # Four spaces make it a block of code: TensorBoard reads texts as Markdown, and this one may be a peer's.
        self._writer.add_text(f"watch/{event.label}", f"    {told(event)}", event.step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        if self._owned and not self.failed:
            self._writer.close()
        super().close()


def tensorboard(where: Any) -> TensorBoard:
    """A writer into a folder of TensorBoard's, or into a SummaryWriter that the loop has already.

        w = dl.watch(..., on_look=tensorboard("runs/x"))

    Takes torch's SummaryWriter where torch is loaded, else tensorboardX's. Steps that a rollback takes back come again
    with a later wall time. Raises MissingExtraError where neither is installed.
    """
    if not isinstance(where, str | Path):
        return TensorBoard(where, owned=False)
    if "torch" in sys.modules:
        made = loaded("torch.utils.tensorboard", "tensorboard", "TensorBoard").SummaryWriter(log_dir=str(where))
    else:
        made = loaded("tensorboardX", "tensorboardX", "TensorBoard without torch").SummaryWriter(logdir=str(where))
    return TensorBoard(made, owned=True)
