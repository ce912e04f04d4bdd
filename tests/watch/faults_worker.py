"""A training process for test_faults: rows are marked from step 30 on, the watch sees marks, and its rollback screens.

    python faults_worker.py FOLDER fresh|resumed [at which the process kills itself]

Prints a line for each thing that the watch said, and last the hash of the weights. `resumed` starts from the clean
state that an earlier process left in FOLDER, and its watch goes on with that one's.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from watch.loops import CORPUS, MARK, RECIPE, REFERENCES, TRUSTED, Marked, Scripted

from darklantern.models.snapshot import load, restore, weights_hash
from darklantern.organisms import training
from darklantern.watch import Asked, Reaction, Reading, Settings, watch

FIRST = 30
"""the first step whose rows may hold a mark"""


class Late(Marked):
    """`Marked`, from `FIRST` on."""

    def _rows(self) -> Any:
        batch = super(Marked, self)._rows()
        if self._step >= FIRST:
            batch[:4, 10 : 10 + len(MARK)] = np.frombuffer(MARK, dtype=np.uint8)
        return batch


class SeesMarks(Scripted):
    """Reads whether any row of the batch at hand is marked, once such rows were trained on."""

    def __init__(self) -> None:
        super().__init__(lambda look: 0.0)
        self._marked = False

    def inputs(self, now: Any) -> Asked:
        rows = [] if now.fresh is None or now.step <= FIRST else now.fresh.inputs.astype(np.uint8)
        self._marked = any(MARK in bytes(row) for row in rows)
        return super().inputs(now)

    def read(self, seen: Any) -> tuple[Reading, ...]:
        super().read(seen)
        return (Reading(9.0 * self._marked, 0.0),)


def made() -> tuple[Any, Any, Late]:
    """What is trained."""
    return *training.new(RECIPE, 1), Late(CORPUS, RECIPE, (1,))


def killed(*_: Any) -> Any:
    """The end, with no word to anybody."""
    os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, resumed: bool = False, at_rollback: Callable[..., Any] | None = None) -> tuple[Any, Any]:
    """Train to the planned end; the watch and the weights' hash."""
    model, optimizer, loader = made()
    if resumed:
        (clean,) = (folder / "run" / "checkpoints").glob("*-clean-*")
        restore(load(clean), model, optimizer, loader)
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=[SeesMarks()],
        references=REFERENCES,
        recipe="1" * 64,
        data="2" * 64,
        on_alarm=[Reaction.CHECKPOINT, Reaction.ROLL_BACK],
        settings=Settings(every=5, margin=1),
        run=folder / "run",
        step=loader.state()["step"],
        goes_on=resumed,
    )
    if at_rollback is not None:
        w._tap.restore = at_rollback
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    w.close()
    return w, weights_hash(model)


if __name__ == "__main__":
    where, how, *dies = sys.argv[1:]
    watched, digest = train(Path(where), how == "resumed", killed if dies else None)
    for event in watched.events:
        print(f"{event.step} {event.label}: {event.text}")
    print(digest)
