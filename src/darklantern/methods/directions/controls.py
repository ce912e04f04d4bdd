"""What a direction is held against: directions drawn at random, and the same fit on labels that mean nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from darklantern.methods.directions.examples import Examples, projected
from darklantern.methods.directions.probes import Bools, Floats, Probe
from darklantern.methods.directions.scoring import auroc

Fitted = Callable[[Floats, Bools, int], Probe]


@dataclass(frozen=True)
class Controls:
    """Held-out AUROC of each draw."""

    random: tuple[float, ...]
    """of directions drawn at random, their sign chosen on what the fit saw"""
    shuffled: tuple[float, ...]
    """of the same fit on shuffled labels, held against labels shuffled too: what it finds where nothing is"""

    @property
    def pairs(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """Each with its name; none where none were drawn."""
        named = (("random directions", self.random), ("shuffled labels", self.shuffled))
        return tuple((name, drawn) for name, drawn in named if drawn)


def controls(examples: Examples, fitted: Fitted, norm: float, count: int, seed: int) -> Controls:
    """`count` draws of each kind."""
    rng = np.random.default_rng((seed, 1))
    random = [_held_out(examples, drawn(examples, norm, rng)) for _ in range(count)]
    others = [examples.shuffled(rng) for _ in range(count)]
    shuffled = [_held_out(each, fitted(*each.seen, seed + 1 + number)) for number, each in enumerate(others)]
    return Controls(tuple(random), tuple(shuffled))


def drawn(examples: Examples, norm: float, rng: np.random.Generator) -> Probe:
    """A random direction as long as `norm`, its sign and threshold chosen on what a fit sees."""
    raw: Floats = rng.normal(size=examples.values.shape[-1:])
    vector: Floats = raw * (norm / float(np.linalg.norm(raw)))
    values, labels = examples.seen
    if auroc(projected(values, Probe(vector, 0.0)), labels) < 0.5:
        vector = -vector
    single, labels = examples.single
    middle = (single[labels].mean(0) + single[~labels].mean(0)) / 2
    return Probe(vector, -float(vector @ middle))


def _held_out(examples: Examples, probe: Probe) -> float:
    values, labels = examples.unseen
    return auroc(projected(values, probe), labels)
