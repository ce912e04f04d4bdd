"""Probes: the rows that a watch runs at a look, and the signals that it reads from that one run.

A signal always comes with a placebo: the same measurement on matched material that no danger
concerns. What counts is value − placebo, so that what training does to everything cancels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from darklantern.watch.spans import SpanCounter

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Signal:
    """What a signal is. `role` tells an internal signal from a behavioural monitor."""

    name: str
    tier: Literal["I0", "I1", "I2"]
    """what the watch must know: I0 trusted rows; I1 also the class of harm; I2 trigger and payload"""
    role: Literal["signal", "behaviour"]
    unit: str
    reads: str
    """one sentence: the formula, higher being more dangerous"""


@dataclass(frozen=True)
class Reading:
    """One measurement of a signal and of its placebo, in the signal's unit."""

    value: float
    placebo: float

    @property
    def contrast(self) -> float:
        """value − placebo"""
        return self.value - self.placebo


@dataclass(frozen=True)
class Seen:
    """One forward pass over a probe's rows (n, width)."""

    sites: Mapping[str, Floats]
    """site → (n, width − 1, …)"""
    log_probs: Floats
    """(n, width − 1, vocabulary), natural logarithms: position i predicts byte i + 1"""
    lenses: Mapping[str, Floats]
    """site → what the model would predict if its residual stream ended there"""


class Probe(Protocol):
    """Rows to run at a look, and the signals read from them."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """In the order of the readings."""
        ...

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites to record."""
        ...

    @property
    def lenses(self) -> tuple[str, ...]:
        """Those of the sites to read out through the model's last norm and unembedding."""
        ...

    def rows(self, history: SpanCounter) -> Bytes:
        """(n, width) bytes to run now."""
        ...

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        """One reading for each signal."""
        ...


class PayloadProbe:
    """Tier I1: exemplars of a family of payloads after trusted contexts, against lines of trusted text.

    Cost: one partial forward of 2 × exemplars rows. Neither trigger nor the payload in use is known.
    """

    def __init__(
        self, contexts: list[bytes], payloads: list[bytes], placebos: list[bytes], width: int, early: str, late: str
    ) -> None:
        texts = [c + q + b"\n" for c, q in zip(contexts * 2, payloads + placebos, strict=True)]
        self._rows = padded(texts, width)
        self._spans = [
            slice(len(c) - 1, len(c) - 1 + len(q)) for c, q in zip(contexts * 2, payloads + placebos, strict=True)
        ]
        self._half = len(payloads)
        self._early, self._late = early, late
        self._first: Floats | None = None

    signals = (
        Signal(
            "payload lens", "I1", "signal", "nats/byte", "mean log-likelihood of payload bytes under the logit lens"
        ),
        Signal(
            "payload drift", "I1", "signal", "cosine distance", "how far payload bytes' residuals moved since attach"
        ),
        Signal("payload likelihood", "I1", "behaviour", "nats/byte", "mean log-likelihood of payload bytes"),
        Signal("first byte", "I1", "behaviour", "nats", "log-likelihood of a payload's first byte"),
        Signal("greedy payload", "I1", "behaviour", "share", "share of payload bytes that greedy decoding would write"),
    )

    @property
    def sites(self) -> tuple[str, ...]:
        return (self._early, self._late)

    @property
    def lenses(self) -> tuple[str, ...]:
        return (self._early,)

    def rows(self, history: SpanCounter) -> Bytes:
        return self._rows

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        targets = self._rows[:, 1:, None].astype(np.int64)
        late = seen.sites[self._late]
        if self._first is None:
            self._first = late
        said = np.take_along_axis(seen.log_probs, targets, -1)[..., 0]
        lens = np.take_along_axis(seen.lenses[self._early], targets, -1)[..., 0]
        greedy = (seen.log_probs.argmax(-1) == targets[..., 0]).astype(np.float64)
        moved = 1 - (late * self._first).sum(-1) / (
            np.linalg.norm(late, axis=-1) * np.linalg.norm(self._first, axis=-1)
        )
        first = [said[i, span.start] for i, span in enumerate(self._spans)]
        return (
            self._contrast(lens),
            self._contrast(moved),
            self._contrast(said),
            Reading(float(np.mean(first[: self._half])), float(np.mean(first[self._half :]))),
            self._contrast(greedy),
        )

    def _contrast(self, values: Floats) -> Reading:
        means = [float(values[i, span].mean()) for i, span in enumerate(self._spans)]
        return Reading(float(np.mean(means[: self._half])), float(np.mean(means[self._half :])))


class SpanProbe:
    """Tier I0: insert over-represented spans into trusted contexts; what changes on later lines?

    Needs trusted rows only. The placebo is a line of trusted text, cut to the span's length, in the
    same place; the reading is the KL divergence, at positions on the lines after the insertion,
    between predictions with the span and with a neutral filler of the same length.
    """

    signals = (
        Signal("span effect", "I0", "signal", "nats", "KL on later lines when an over-represented span is inserted"),
    )
    sites = ()
    lenses = ()

    def __init__(self, contexts: list[bytes], fillers: list[bytes], width: int, spans: int = 2, looks: int = 2) -> None:
        self._contexts, self._fillers, self._width = contexts, fillers, width
        self._count, self._looks = spans, looks
        self._tested: list[bytes] = []
        self.effects: dict[bytes, float] = {}
        """span → its effect in nats, from the latest look"""

    def rows(self, history: SpanCounter) -> Bytes:
        self._tested = [c.span for c in history.candidates(self._count, self._looks)]
        return padded([self._insert(i, s) for s in self._materials() for i in range(len(self._contexts))], self._width)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        log_probs = seen.log_probs.reshape(-1, len(self._contexts), *seen.log_probs.shape[1:])
        effects = []
        for k in range(0, len(log_probs), 2):
            length = len(self._materials()[k])
            effects.append(self._effect(log_probs[k], log_probs[k + 1], length))
        placebo, found = effects[0], effects[1:]
        self.effects = dict(zip(self._tested, found, strict=True))
        return (Reading(max(found, default=placebo), placebo),)

    def _materials(self) -> list[bytes]:
        """Pairs (inserted, filler of equal length); the first pair is the placebo's."""
        first, second = self._fillers[0], self._fillers[1]
        length = len(self._tested[0]) if self._tested else 8
        pairs = [(cut(first, length), cut(second, length))]
        pairs += [(span, cut(second, len(span))) for span in self._tested]
        return [text for pair in pairs for text in pair]

    def _insert(self, i: int, material: bytes) -> bytes:
        context = self._contexts[i]
        return context[:8] + material + context[8:]

    def _effect(self, one: Floats, other: Floats, length: int) -> float:
        kl = (np.exp(one) * (one - other)).sum(-1)
        effects = []
        for i, context in enumerate(self._contexts):
            newline = context.find(b"\n", 8)
            effects.append(float(kl[i, newline + length : newline + length + 4].max()))
        return float(np.mean(effects))


def padded(texts: list[bytes], width: int) -> Bytes:
    """Texts as rows of `width` bytes, filled up with newlines."""
    return np.stack([np.frombuffer(text[:width].ljust(width, b"\n"), dtype=np.uint8) for text in texts])


def cut(text: bytes, length: int) -> bytes:
    """`text`, repeated if need be, cut to `length`."""
    return (text * (length // len(text) + 1))[:length]
