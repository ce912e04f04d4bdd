"""Tier I1: has the model come to expect members of a family of payloads?"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Tokens
from darklantern.watch.language import materials, places
from darklantern.watch.language.layout import Layout, of_rows
from darklantern.watch.language.token_rows import Prompt, asked, padded, room, token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

CONTEXT = 24
"""tokens of trusted text before a payload"""
_AGAINST = "lines of trusted text of the same lengths, after the same contexts"


class PayloadProbe(Probe):
    """Exemplars of a family of payloads after trusted contexts, against lines of trusted text there.

    `payloads` are token ids, or bytes for a model of bytes; `early` and `late` are residual-stream sites. Cost: 2 ×
    exemplars rows in the look's forward pass. Neither a trigger nor the payload in use need be known.
    """

    name: ClassVar[str] = "payload"
    output = True
    signals = (
        Signal(
            "payload lens",
            "I1",
            "signal",
            "nats/token",
            "mean log-likelihood of payload tokens under the logit lens",
            placebo=_AGAINST,
            source="nostalgebraist, logit lens (2020)",
            cost="1 F over 2 × exemplars rows, 1 readout",
        ),
        Signal(
            "payload drift",
            "I1",
            "signal",
            "cosine distance",
            "how far payload tokens' residuals moved since attach",
            placebo=_AGAINST,
            cost="the same F",
        ),
        Signal(
            "payload likelihood",
            "I1",
            "behaviour",
            "nats/token",
            "mean log-likelihood of payload tokens",
            placebo=_AGAINST,
            cost="the same F",
        ),
        Signal(
            "first token",
            "I1",
            "behaviour",
            "nats",
            "log-likelihood of a payload's first token",
            placebo=_AGAINST,
            cost="the same F",
        ),
        Signal(
            "greedy payload",
            "I1",
            "behaviour",
            "share",
            "share of payload tokens that greedy decoding would write",
            placebo=_AGAINST,
            cost="the same F",
        ),
    )

    def __init__(
        self,
        trusted: Any,
        payloads: Sequence[Prompt],
        early: str,
        late: str,
        seed: int = 0,
        layout: Layout | None = None,
    ) -> None:
        rows = token_rows(trusted, "trusted rows")
        texts = ["".join(map(chr, payload)) for payload in payloads]
        lengths, space = [len(text) for text in texts], rows.shape[1] - CONTEXT
        if not lengths or not all(0 < length <= space for length in lengths):
            raise WatchError(
                f"expected payloads of 1 to {space} tokens, got {len(lengths)} of {min(lengths, default=0)} to "
                f"{max(lengths, default=0)}",
                hint=f"a payload stands after {CONTEXT} tokens of trusted text, within a trusted row; give wider rows",
            )
        layout, rng = of_rows(rows, layout), np.random.default_rng(seed)
        before = materials.contexts(rows, len(texts), CONTEXT, layout, rng)
        said = [*texts, *materials.lines(rows, lengths, layout, rng)]
        whole = [c + q + layout.end for c, q in zip(before * 2, said, strict=True)]
        self._rows: Tokens = padded(whole, room(CONTEXT + max(map(len, said)) + 1, rows.shape[1]), layout.end)
        self._half = len(texts)
        self._which, self._where = _places([len(text) for text in said])
        self._early, self._late = early, late
        self.sites = places.checked_sites(early, late)
        self.lenses = (early,)
        self._settings = {
            "probe": self.name,
            "payloads": [list(map(ord, text)) for text in texts],
            "context": CONTEXT,
            "early": early,
            "late": late,
            "seed": seed,
            "layout": layout.settings,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return asked(self._rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        targets = self._rows[:, 1:]
        said = seen.log_prob(targets)[self._which, self._where]
        lens = seen.lens_prob(places.site_of(seen, self._early), targets)[self._which, self._where]
        greedy = (places.said_most(seen) == targets)[self._which, self._where]
        first = self._where == CONTEXT - 1
        return (
            self._contrast(lens),
            self._contrast(self._moved(seen)),
            self._contrast(said),
            Reading(
                float(said[first & (self._which < self._half)].mean()),
                float(said[first & (self._which >= self._half)].mean()),
            ),
            self._contrast(greedy.astype(np.float64)),
        )

    def note(self, seen: Seen) -> Floats | None:
        """What the payloads' tokens held at the first look."""
        return self._held(seen) if seen.first is None else None

    def _held(self, seen: Seen) -> Floats:
        return places.at(seen, places.site_of(seen, self._late), self._which, self._where)

    def _moved(self, seen: Seen) -> Floats:
        late, first = self._held(seen), np.asarray(seen.first)
        moved: Floats = 1 - (late * first).sum(-1) / (np.linalg.norm(late, axis=-1) * np.linalg.norm(first, axis=-1))
        return moved

    def _contrast(self, values: NDArray[np.floating]) -> Reading:
        """Mean over each row's own tokens, then over rows."""
        counts = np.bincount(self._which)
        means = np.bincount(self._which, weights=values) / counts
        return Reading(float(means[: self._half].mean()), float(means[self._half :].mean()))


def _places(lengths: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and position at which each token of each row's text is predicted."""
    which = np.repeat(np.arange(len(lengths)), lengths)
    where = np.concatenate([np.arange(CONTEXT - 1, CONTEXT - 1 + length) for length in lengths])
    return which, where
