"""Folders of runs as watches leave them, without the training."""

from pathlib import Path

import msgspec
import numpy as np

from darklantern.watch import Signal
from darklantern.watch.digests import hashed
from darklantern.watch.recording import LOOKS, Begun, Look
from darklantern.watch.runs.files import add_line

INNER = Signal("inner", "I0", "signal", "nats", "what it reads")
OUTER = Signal("outer", "I0", "behaviour", "nats", "what it says", compares="ratio")
BEGUN = Begun(
    seed=0,
    recipe=hashed("small"),
    data=hashed("text"),
    every=5,
    ranks=1,
    versions={"python": "3.11", "numpy": "2", "torch": "2"},
    signals=(INNER, OUTER),
    digests={"inner": "1" * 64, "outer": "2" * 64},
)


def written(folder: Path, seed: int, looks: int = 12, **changes) -> Path:
    """A run as a watch leaves it, with readings drawn from its seed."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(changes.pop("drawn", seed))
    add_line(folder / LOOKS, msgspec.structs.replace(BEGUN, seed=seed, **changes), sync=False)
    for number in range(1, looks + 1):
        readings = {"inner": (float(rng.normal()), 0.5), "outer": (1 + float(rng.random()), 2.0)}
        add_line(folder / LOOKS, Look(step=5 * number, looks=number, readings=readings), sync=False)
    return folder
