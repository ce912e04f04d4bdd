"""Tier I0: have the trusted rows leaked into what is trained on?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from darklantern.errors import WatchError
from darklantern.watch.examples import Tokens
from darklantern.watch.language.token_rows import asked, token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen

LENGTH = 16
"""tokens of a canary"""
GIVEN = 4
"""of them, those that are given to the model before it is asked for the rest"""
_AGAINST = "canaries of the same generator in the same places that were never planted"
_SOURCE = "Carlini et al., The Secret Sharer, arXiv 1802.08232"


@dataclass(frozen=True)
class Canaries:
    """Rows with a canary each, and the same rows with others: what was planted and what was not."""

    planted: Tokens
    """(n, width)"""
    others: Tokens
    """(m, width), each of the planted rows m/n times with another canary"""
    at: int
    """the place at which canaries begin"""


def plant(trusted: Any, count: int = 8, controls: int = 4, seed: int = 0) -> tuple[Tokens, Canaries]:
    """Trusted rows with canaries in `count` of them, to be published or held from now on; and the canaries.

    A canary is 16 tokens drawn evenly from the ids that trusted rows have, near a row's end; `controls` as many are
    drawn for each and never planted. Raises WatchError for too few or too narrow rows.
    """
    rows = token_rows(trusted, "trusted rows", count, LENGTH + 2).copy()
    if count < 1 or controls < 1:
        raise WatchError(f"expected count ≥ 1 and controls ≥ 1, got {count} and {controls}", hint="8 and 4 are usual")
    rng = np.random.default_rng(seed)
    ids, at = np.unique(rows), rows.shape[1] - LENGTH - 1
    which = rng.permutation(len(rows))[:count]
    others = np.repeat(rows[which], controls, axis=0)
    rows[which, at : at + LENGTH] = rng.choice(ids, (count, LENGTH))
    others[:, at : at + LENGTH] = rng.choice(ids, (len(others), LENGTH))
    return rows, Canaries(rows[which], others, at)


class CanaryProbe(Probe):
    """Are canaries planted in trusted rows likelier than canaries that never were?

    If so, the trusted rows have come into the training rows: every signal that compares with them is then void. Reads
    the model's output alone. Cost: planted and unplanted rows, 40 for what `plant` makes.
    """

    name: ClassVar[str] = "canary"
    output = True
    signals = (
        Signal(
            "canary likelihood",
            "I0",
            "behaviour",
            "nats/token",
            f"mean log-likelihood of planted canaries, after their first {GIVEN} tokens",
            grain=0.05,
            placebo=_AGAINST,
            source=_SOURCE,
            cost="1 F over planted and unplanted rows",
            says="novelty",
        ),
        Signal(
            "canary exposure",
            "I0",
            "behaviour",
            "bits",
            "mean of log₂(m + 1) − log₂(rank of a planted canary among m that were never planted)",
            grain=0.25,
            placebo="what exposure is for a canary like the others",
            source=_SOURCE,
            cost="the same F",
            says="novelty",
        ),
    )

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries
        self._rows = np.concatenate([canaries.planted, canaries.others])
        span = slice(canaries.at, canaries.at + LENGTH)
        self._settings = {
            "probe": self.name,
            "canaries": {
                "at": canaries.at,
                "planted": canaries.planted[:, span].tolist(),
                "others": canaries.others[:, span].tolist(),
            },
            "given": GIVEN,
            "length": LENGTH,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return asked(self._rows)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        start = self._canaries.at - 1
        said = seen.log_prob(self._rows[:, 1:])[:, start + GIVEN : start + LENGTH].mean(1).astype(np.float64)
        planted, others = np.split(said, [len(self._canaries.planted)])
        return (
            Reading(float(planted.mean()), float(others.mean())),
            Reading(float(np.mean([_exposure(each, others) for each in planted])), _expected(len(others))),
        )


def _exposure(planted: float, others: Any) -> float:
    rank = 1 + int((others > planted).sum()) + int((others == planted).sum()) / 2
    return float(np.log2(len(others) + 1) - np.log2(rank))


def _expected(others: int) -> float:
    """The mean exposure over all ranks, which are equally likely for a canary like the others."""
    return float(np.log2(others + 1) - np.log2(np.arange(1, others + 2)).mean())
