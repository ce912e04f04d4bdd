"""Looks that the test makes: what sites held and what the model said, without a model."""

from typing import Any

import numpy as np

from darklantern.organisms import text
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.seen import Seen, Values
from darklantern.watch.spans import SpanCounter

TRUSTED = text.rows(text.standard_library().trusted, 3000, 65, np.random.default_rng(0))
VOCABULARY = 128


def now(spans: SpanCounter | None = None, fresh: Any = None, trusted: np.ndarray = TRUSTED, step: int = 0) -> Now:
    """A look at `step`, of a run that trained on nothing unless `spans` counted it."""
    given = None if fresh is None else Examples(np.asarray(fresh))
    return Now(step, Pool(Examples(trusted)), given, spans or SpanCounter(trusted, 4))


class Looks:
    """One probe's looks, as a watch would have them: notes are kept and come back."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._first: Any = None
        self._notes: list[Any] = []

    def look(self, values: Values, about: Any = None, weights: Any = None) -> dict[str, Reading]:
        """The readings by signal."""
        kept = self._notes[-self.probe.window :] if self.probe.window else []
        seen = Seen(values, 0, about, weights or {}, self._first, tuple(kept))
        note = self.probe.note(seen)
        if self._first is None:
            self._first = note
        else:
            self._notes.append(note)
        self.seen = Seen(values, 0, about, weights or {}, self._first, tuple(kept))
        found = self.probe.read(self.seen)
        return {signal.name: reading for signal, reading in zip(self.probe.signals, found, strict=True)}


def saying(targets: np.ndarray, nats: np.ndarray | float, vocabulary: int = VOCABULARY) -> np.ndarray:
    """Logits (n, pos, vocabulary) that give each of `targets` (n, pos) −`nats`, and the rest to all others evenly."""
    said = np.exp(-np.broadcast_to(np.asarray(nats, dtype=np.float64), targets.shape))
    logits = np.broadcast_to(np.log((1 - said) / (vocabulary - 1))[..., None], (*targets.shape, vocabulary)).copy()
    np.put_along_axis(logits, targets[..., None], np.log(said)[..., None], -1)
    return logits
