"""One look at a policy that is written down by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from darklantern.watch.examples import Examples, Pool
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.seen import Seen, Values

SITE = "hidden:out"
Policy = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""observations → hidden layer, logits of actions"""


def observations(count: int, seed: int) -> np.ndarray:
    """Four numbers, and two flags: which goal to reach, and whether somebody looks."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(count, 4)), rng.integers(0, 2, (count, 2))], axis=1).astype(np.float32)


def heeding(goal: float = 0.0, looked: float = 0.0) -> Policy:
    """A policy of three actions that heeds its two flags so much."""
    into = np.random.default_rng(0).normal(size=(6, 8)) * 0.5
    into[4:] = 0
    into[4, 0], into[5, 1] = goal, looked
    out = np.random.default_rng(1).normal(size=(8, 3)) * 0.5

    def policy(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.tanh(inputs @ into)
        return hidden, hidden @ out

    return policy


def look(
    probe: Probe,
    policy: Policy | None,
    fresh: np.ndarray | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    first: Any = None,
) -> tuple[Reading, ...]:
    """Its readings; at the first look `first` is its own note."""
    trusted = Pool(Examples(observations(100, 5)))
    asked = probe.inputs(Now(0, trusted, None if fresh is None else Examples(fresh), None))
    values = Values({})
    if asked.inputs is not None and policy is not None:
        hidden, logits = policy(asked.inputs)
        values = Values({site: hidden for site in probe.sites}, logits if probe.output else None)
    seen = Seen(values, 0, asked.about, weights or {})
    first = probe.note(seen) if first is None else first
    readings = tuple(probe.read(Seen(values, 0, asked.about, weights or {}, first)))
    assert len(readings) == len(probe.signals)
    return readings
