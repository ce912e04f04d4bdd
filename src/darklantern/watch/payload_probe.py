"""Tier I1: has the model come to expect members of a family of payloads?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch import materials
from darklantern.watch.probes import Floats, Reading, Seen, Signal
from darklantern.watch.rows import Bytes, byte_rows
from darklantern.watch.spans import SpanCounter

CONTEXT = 24
"""bytes of trusted text before a payload"""


class PayloadProbe:
    """Exemplars of a family of payloads after trusted contexts, against lines of trusted text there.

    `early` and `late` are residual-stream sites. Cost: 2 × exemplars rows in the look's forward pass.
    Neither a trigger nor the payload in use need be known.
    """

    def __init__(self, trusted: Bytes, payloads: Sequence[bytes], early: str, late: str, seed: int = 0) -> None:
        trusted = byte_rows(trusted, "trusted rows")
        lengths, room = [len(payload) for payload in payloads], trusted.shape[1] - CONTEXT
        if not lengths or not all(0 < length <= room for length in lengths):
            raise WatchError(
                f"expected payloads of 1 to {room} bytes, got {len(lengths)} of {min(lengths, default=0)} to "
                f"{max(lengths, default=0)}",
                hint=f"a payload stands after {CONTEXT} bytes of trusted text, within a trusted row; give wider rows",
            )
        rng = np.random.default_rng(seed)
        contexts = materials.contexts(trusted, len(payloads), CONTEXT, rng)
        placebos = materials.lines(trusted, [len(payload) for payload in payloads], rng)
        texts = [*payloads, *placebos]
        self._rows = materials.padded([c + q + b"\n" for c, q in zip(contexts * 2, texts, strict=True)], trusted)
        self._spans = [slice(CONTEXT - 1, CONTEXT - 1 + len(text)) for text in texts]
        self._half = len(payloads)
        self._early, self._late = early, late
        self.settings: dict[str, Any] = {
            "probe": "payload",
            "payloads": [payload.hex() for payload in payloads],
            "context": CONTEXT,
            "early": early,
            "late": late,
            "seed": seed,
        }

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
        late, first = seen.sites[self._late], seen.first[self._late]
        said = np.take_along_axis(seen.log_probs, targets, -1)[..., 0]
        lens = np.take_along_axis(seen.lenses[self._early], targets, -1)[..., 0]
        greedy = (seen.log_probs.argmax(-1) == targets[..., 0]).astype(np.float64)
        moved = 1 - (late * first).sum(-1) / (np.linalg.norm(late, axis=-1) * np.linalg.norm(first, axis=-1))
        begun = [said[i, span.start] for i, span in enumerate(self._spans)]
        return (
            self._contrast(lens),
            self._contrast(moved),
            self._contrast(said),
            Reading(float(np.mean(begun[: self._half])), float(np.mean(begun[self._half :]))),
            self._contrast(greedy),
        )

    def _contrast(self, values: Floats) -> Reading:
        means = [float(values[i, span].mean()) for i, span in enumerate(self._spans)]
        return Reading(float(np.mean(means[: self._half])), float(np.mean(means[self._half :])))
