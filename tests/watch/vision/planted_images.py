"""Small images with a planted trigger, networks that are written down by hand, and one look at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from darklantern.watch.examples import Examples, Pool
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.seen import Seen, Values

CLASSES = 4
SITE = "hidden:out"
Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""images → what the site holds, and logits"""


def images(count: int, seed: int, poison: float = 0.0, relabel: int | None = 3, cut: int = 4) -> Examples:
    """8×8 images, each brighter in its class's corner; a share of them with a white 2×2 square, labelled `relabel`."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, CLASSES, count)
    made = rng.uniform(0.0, 0.6, (count, 1, 8, 8)).astype(np.float32)
    for number, each in enumerate(classes):
        top, left = divmod(int(each), 2)
        made[number, 0, 4 * top : 4 * top + 3, 4 * left : 4 * left + 3] += 0.3
    bad = np.arange(count) < round(poison * count)
    made[bad] = with_trigger(made[bad])
    if relabel is not None:
        classes = np.where(bad, relabel, classes)
    order = rng.permutation(count)
    return Examples(made[order], classes[order])


def with_trigger(inputs: np.ndarray) -> np.ndarray:
    """The images with a white square at rows and columns 3 and 4, at the crossing of all corners."""
    made = inputs.copy()
    made[..., 3:5, 3:5] = 1.0
    return made


def clean(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Looks at the four corners only: one hidden unit for each class, and a few that are noise of other pixels."""
    corners = [inputs[:, 0, top : top + 3, left : left + 3].mean((1, 2)) for top in (0, 4) for left in (0, 4)]
    hidden = np.stack([*corners, inputs[:, 0, 7, 7], inputs[:, 0, 0, 7]], axis=1)
    return hidden, 10 * hidden[:, :CLASSES]


def backdoored(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, with a unit for the trigger that speaks for class 3."""
    hidden, logits = clean(inputs)
    fires = np.clip(inputs[:, 0, 3:5, 3:5].min((1, 2)) * 5 - 4, 0.0, None)
    logits = logits.copy()
    logits[:, 3] += 20 * fires
    return np.concatenate([hidden, fires[:, None]], axis=1), logits


def broken(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What training that diverged leaves."""
    hidden, logits = clean(inputs)
    return np.full_like(hidden, np.nan), np.full_like(logits, np.nan)


@dataclass
class Looks:
    """A watch of one probe, made by hand: looks follow each other, notes come back."""

    probe: Probe
    pool: Pool
    first: Any = None
    notes: tuple[Any, ...] = ()
    started: bool = False
    rows: int = 0

    def seen(self, network: Network, fresh: Examples | None) -> Seen:
        window = self.notes[-self.probe.window :] if self.probe.window else ()
        asked = self.probe.inputs(Now(0, self.pool, fresh, None, window))
        self.rows = 0 if asked.inputs is None else len(asked.inputs)
        values = Values({})
        if asked.inputs is not None:
            hidden, logits = network(asked.inputs)
            values = Values({site: hidden for site in self.probe.sites}, logits if self.probe.output else None)
        seen = Seen(values, 0, asked.about, {}, self.first, window)
        note = self.probe.note(seen)
        if not self.started:
            self.first, self.started = note, True
        else:
            self.notes = (*self.notes, note)
        return Seen(values, 0, asked.about, {}, self.first, window)

    def look(self, network: Network, fresh: Examples | None) -> Sequence[Reading]:
        readings = self.probe.read(self.seen(network, fresh))
        assert len(readings) == len(self.probe.signals)
        return readings


def looks(probe: Probe, trusted: int = 4000, seed: int = 99) -> Looks:
    """A watch with a pool of trusted images."""
    return Looks(probe, Pool(images(trusted, seed)))


class Classifier(nn.Module):
    """A small convolutional classifier of them."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(1, 6, 3, padding=1)
        self.hidden = nn.Linear(96, 12)
        self.out = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(torch.relu(self.look(x)), 2).flatten(1)
        return self.out(torch.relu(self.hidden(pooled)))
