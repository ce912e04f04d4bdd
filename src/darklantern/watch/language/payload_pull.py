"""Tier I1: does training begin to pull the output layer towards a family of payloads?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.language import places
from darklantern.watch.language.layout import BYTES, Layout
from darklantern.watch.language.payload import Statements
from darklantern.watch.language.token_rows import Prompt, asked
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

_AGAINST = "lines of trusted text of the same lengths, after the same contexts"


@dataclass(frozen=True)
class Readout:
    """A look's note."""

    weight: Floats
    """(vocabulary, dim)"""
    said: NDArray[np.floating]
    """log-likelihood of each token of the texts, in nats"""


class PullProbe(Probe):
    """What the output layer's own update since the last look added to the likelihood of a family of payloads.

    Of what a payload's tokens gained, one part came by the output layer, the rest by the hidden states that it reads.
    The first is a sum of few updates of one matrix, and steadier. `readout` is that matrix, `axis` its axis of tokens,
    `site` what it reads: a last norm's output. Its note holds the matrix: for models whose vocabulary is small enough
    to move at each look. Cost: 2 × exemplars rows.
    """

    name: ClassVar[str] = "payload pull"
    output = True
    window = 1
    signals = (
        Signal(
            "payload pull",
            "I1",
            "signal",
            "nats/token",
            "log-likelihood of payload tokens less that under the last look's output layer, hidden states as they are",
            placebo=_AGAINST,
            source="this project; direct terms of logits as in Elhage et al., A mathematical framework (2021)",
            cost="1 F over 2 × exemplars rows",
        ),
        Signal(
            "payload rise",
            "I1",
            "behaviour",
            "nats/token",
            "what the log-likelihood of payload tokens gained since the last look",
            placebo=_AGAINST,
            cost="the same F",
        ),
    )

    def __init__(
        self,
        trusted: Any,
        payloads: Sequence[Prompt],
        site: str = "norm:out",
        readout: str = "unembed.weight",
        axis: int = 0,
        seed: int = 0,
        layout: Layout = BYTES,
    ) -> None:
        if axis not in (0, 1):
            raise WatchError(f"expected axis 0 or 1 of the output layer, got {axis}", hint="0 in torch, 1 in JAX")
        self._said = Statements(trusted, payloads, seed, layout)
        self._axis = axis
        self.sites, self.weights = places.checked_sites(site), (readout,)
        self._settings = {
            "probe": self.name,
            **self._said.settings,
            "site": site,
            "readout": readout,
            "axis": axis,
            "seed": seed,
            "layout": layout.settings,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return asked(self._said.rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        said = self._said
        now, before = self.note(seen), seen.notes[-1] if seen.notes else seen.first
        held = places.at(seen, places.site_of(seen, self.sites[0]), said.which, said.where).astype(np.float64)
        if held.shape[1:] != now.weight.shape[1:]:
            raise WatchError(
                f"the output layer reads {now.weight.shape[1]} numbers, {self.sites[0]!r} holds {held.shape[1:]}",
                hint="site= is what goes into the output layer",
            )
        tokens = said.at_tokens(said.rows[:, 1:])
        pulled = _log_prob(held @ now.weight.T, tokens) - _log_prob(held @ before.weight.T, tokens)
        return said.contrast(pulled), said.contrast(now.said - before.said)

    def note(self, seen: Seen) -> Readout:
        """The output layer, and what the model says of each token."""
        matrices = [np.moveaxis(each, self._axis, 0) for each in seen.weights.values() if each.ndim == 2]
        if len(matrices) != 1 or len(matrices[0]) != seen.output.shape[-1]:
            raise WatchError(
                f"expected one matrix of {seen.output.shape[-1]} tokens, got "
                f"{', '.join(f'{name} {each.shape}' for name, each in seen.weights.items())}",
                hint="readout= names the output layer; axis= says which of its axes has the tokens",
            )
        said = self._said.at_tokens(seen.log_prob(self._said.rows[:, 1:])).astype(np.float64)
        return Readout(matrices[0].astype(np.float64), said)


def _log_prob(logits: Floats, tokens: NDArray[np.integer]) -> Floats:
    top = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    made: Floats = np.take_along_axis(logits, tokens[:, None], -1)[:, 0] - total
    return made
