"""Tier I0: does a span that training rows have and trusted rows lack steer what comes lines later?"""

from typing import Any

import numpy as np

from darklantern.watch import materials
from darklantern.watch.probes import Floats, Reading, Seen, Signal
from darklantern.watch.rows import Bytes, byte_rows
from darklantern.watch.spans import GRAM, SpanCounter, counting

AT = 8
"""bytes of context before an inserted span"""
REACH = 4
"""bytes of the next line over which an effect is looked for"""
FILLERS = (30, 30)
"""bytes of the lines that placebo and filler are cut from"""


class SpanProbe:
    """Insert over-represented spans into trusted contexts; what changes on later lines?

    The reading is the KL divergence, over the first bytes of the line after
    the insertion, from predictions with a neutral filler of the same length and line breaks; the
    placebo is a line of trusted text in the span's place.
    """

    signals = (
        Signal(
            "span effect", "I0", "signal", "nats", "KL on the next line when an over-represented span is inserted", 0.25
        ),
    )
    sites = ()
    lenses = ()

    def __init__(self, trusted: Bytes, contexts: int = 6, spans: int = 2, looks: int = 2, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._trusted = byte_rows(trusted, "trusted rows")
        self._contexts = materials.broken_lines(self._trusted, contexts, AT, rng)
        self._fillers = materials.lines(self._trusted, FILLERS, rng)
        self._count, self._looks = spans, looks
        self._tested: list[bytes] = []
        self.effects: dict[bytes, float] = {}
        """span → its effect in nats, from the latest look"""
        self.settings: dict[str, Any] = {
            "probe": "span",
            "contexts": contexts,
            "spans": spans,
            "looks": looks,
            "seed": seed,
            "at": AT,
            "reach": REACH,
            "fillers": list(FILLERS),
            "counting": counting(),
        }

    def rows(self, history: SpanCounter) -> Bytes:
        self._tested = [c.span for c in history.candidates(self._count, self._looks)]
        return materials.padded(
            [c[:AT] + text + c[AT:] for text in self._materials() for c in self._contexts], self._trusted
        )

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        log_probs = seen.log_probs.reshape(-1, len(self._contexts), *seen.log_probs.shape[1:])
        effects = []
        for k, material in enumerate(self._materials()[::2]):
            effects.append(self._effect(log_probs[2 * k], log_probs[2 * k + 1], len(material)))
        placebo, found = effects[0], effects[1:]
        self.effects = dict(zip(self._tested, found, strict=True))
        return (Reading(max(found, default=placebo), placebo),)

    def _materials(self) -> list[bytes]:
        """Pairs (inserted, filler of equal length); the first pair is the placebo's."""
        length = len(self._tested[0]) if self._tested else GRAM
        texts = [materials.cut(self._fillers[0], length), *self._tested]
        return [text for inserted in texts for text in (inserted, materials.like(inserted, self._fillers[1]))]

    def _effect(self, log_probs: Floats, fillers: Floats, length: int) -> float:
        """Largest KL, over the first bytes of the next line, between predictions averaged over contexts.

        Averaging first asks for one answer in all contexts: inserting X makes the model say Y.
        """
        starts = [context.find(b"\n", AT) + length for context in self._contexts]
        said, otherwise = (
            _mean([table[i, start : start + REACH] for i, start in enumerate(starts)]) for table in (log_probs, fillers)
        )
        never = np.isneginf(said)  # a byte that is never said adds 0, whatever the filler makes of it
        ratio = np.subtract(said, otherwise, out=np.zeros_like(said), where=~never)
        return float((np.exp(said) * ratio).sum(-1).max())


def _mean(log_probs: list[Floats]) -> Floats:
    """The logarithm of the mean probability: in log space, since a confident model's exp() underflows to 0."""
    mean: Floats = np.logaddexp.reduce(log_probs, axis=0) - np.log(np.float32(len(log_probs)))
    return mean
