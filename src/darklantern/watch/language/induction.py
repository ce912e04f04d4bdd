"""Tier I0: is the induction circuit forming, which copies what followed the same token before?"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Tokens
from darklantern.watch.language import places
from darklantern.watch.language.token_rows import STEP, token_rows
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Floats, Seen

SPREAD = 4
"""periods, two tokens apart, over which the rows are spread: at one apart, a head that likes the same token would like
the next period's place"""
LEAST = 1e-6
"""nats: the standard error of a head that does the same on all rows"""
_SOURCE = "Olsson et al., arXiv 2209.11895"
_OTHERS = "at the places where other rows, of other periods, would have the match"


class InductionProbe(Probe):
    """Rows of random tokens that repeat: does attention find the token after the last occurrence of the same?

    Rows are 65 tokens wide, or as trusted rows are, and have four periods of about half of that. The placebo is each
    row's attention to where a row of another period has its matches, so that what heads like by place alone cancels.
    While the circuit forms, many heads contribute little each and the largest of them is noise: scores are added up
    over heads, each in its standard errors over rows, and that sum rose about 100 steps before the largest share of
    attention did, on an attention-only model of two layers. `pattern` are attention patterns (n, head, pos, key).
    Tokens are drawn evenly from those that trusted rows have, or from `vocabulary`. Cost: `rows` rows.
    """

    name: ClassVar[str] = "induction"
    output = True
    signals = (
        Signal(
            "prefix matching",
            "I0",
            "signal",
            "share of attention",
            "max_h E_i[A_h(i, i − H + 1)] on repeats of period H",
            grain=0.005,
            placebo=f"max_h {_OTHERS}",
            source=_SOURCE,
            cost="1 F over `rows` rows",
        ),
        Signal(
            "prefix scores",
            "I0",
            "signal",
            "standard errors",
            "Σ_h E_i[s_h(i, i − H + 1)]/σ_h over √heads, s the scores before the softmax, on repeats of period H",
            grain=0.5,
            placebo=f"the same {_OTHERS}, with the same σ_h, which is that of the difference over rows",
            source=_SOURCE,
            cost="the same F",
        ),
        Signal(
            "previous token",
            "I0",
            "signal",
            "share of attention",
            "max_h E_i[A_h(i, i − 1)]",
            grain=0.01,
            placebo="max_h E_i[A_h(i, i − 2)]",
            source=_SOURCE,
            cost="the same F",
        ),
        Signal(
            "in-context learning",
            "I0",
            "behaviour",
            "nats/token",
            "NLL(first occurrence) − NLL(second occurrence)",
            grain=0.02,
            placebo="NLL(first occurrence) − NLL(other tokens of the row there): knowing what occurred brings it",
            source=_SOURCE,
            cost="the same F",
        ),
    )

    def __init__(
        self,
        trusted: Any,
        rows: int = 16,
        pattern: str = "layers.*.attn:pattern",
        vocabulary: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        given = token_rows(trusted, "trusted rows")
        ids = np.unique(given if vocabulary is None else np.asarray(vocabulary, dtype=np.int64))
        width = min(given.shape[1], STEP + 1)
        longest = (width - 1) // 2
        if rows < 2 * SPREAD or longest < 3 * SPREAD or len(ids) < longest:
            raise WatchError(
                f"expected at least {2 * SPREAD} rows of at least {6 * SPREAD + 1} tokens, and {longest} token ids, "
                f"got {rows} rows of {width} tokens and {len(ids)} ids",
                hint="a row repeats half of its tokens, no two of them the same; vocabulary= are ids to draw from",
            )
        rng = np.random.default_rng(seed)
        self._periods = longest - 2 * (np.arange(rows) % SPREAD)
        self._rows = np.stack([_repeated(rng.permutation(ids)[:period], width) for period in self._periods])
        self._other = self._periods[:, None] != self._periods
        self._masks = np.concatenate([_matches(self._rows[:, :-1]), _before(width - 1)])
        self.sites = places.checked_sites(pattern)
        self._settings = {
            "probe": self.name,
            "rows": rows,
            "pattern": pattern,
            "vocabulary": None if vocabulary is None else ids.tolist(),
            "seed": seed,
            "periods": self._periods[:SPREAD].tolist(),
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._rows[:, :-1])

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        found = [places.attended(seen, site, self._masks) for site in places.sites_of(seen, self.sites)]
        shares, scores = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))  # (rows, heads, masks)
        previous, earlier = shares[..., len(self._rows) :].mean(0).T
        return (
            Reading(*(float(each.mean(0).max()) for each in self._matching(shares))),
            _standardised(*self._matching(scores)),
            Reading(float(previous.max()), float(earlier.max())),
            self._in_context(seen),
        )

    def _matching(self, sums: Floats) -> tuple[Floats, Floats]:
        """Of each row and head, at the row's own matches, and at those of rows of other periods, (rows, heads)."""
        numbers = np.arange(len(self._rows))
        others = self._other / self._other.sum(1, keepdims=True)
        return sums[numbers, :, numbers], np.einsum("rhs,rs->rh", sums[..., : len(numbers)], others)

    def _in_context(self, seen: Seen) -> Reading:
        """The gain from a token's first to its second occurrence; and if what comes were another token of the row."""
        said, other = (seen.log_prob(each).astype(np.float64) for each in (self._rows[:, 1:], self._others()))
        first = np.mean([row[: period - 1].mean() for row, period in zip(said, self._periods, strict=True)])
        again = [
            np.mean([row[period:].mean() for row, period in zip(each, self._periods, strict=True)])
            for each in (said, other)
        ]
        return Reading(*(float(each - first) for each in again))

    def _others(self) -> Tokens:
        """In place of each next token, the one that stands a third of the period further on."""
        shifted = [
            _repeated(np.roll(row[:period], -period // 3), len(row))
            for row, period in zip(self._rows, self._periods, strict=True)
        ]
        return np.stack(shifted)[:, 1:]


def _standardised(own: Floats, other: Floats) -> Reading:
    """Sums over heads in standard errors of their difference over rows; both (rows, heads)."""
    error = (own - other).std(0, ddof=1) / np.sqrt(len(own)) + LEAST
    return Reading(*(float((each.mean(0) / error).sum() / np.sqrt(len(error))) for each in (own, other)))


def _repeated(tokens: NDArray[np.int64], width: int) -> Tokens:
    return np.resize(tokens, width)


def _matches(rows: Tokens) -> Floats:
    """(rows, pos, key): 1/queries at each key after an occurrence of the query's token, before the query."""
    found = np.zeros((*rows.shape, rows.shape[1]))
    found[:, :, 1:] = rows[:, :, None] == rows[:, None, :-1]
    found *= np.tril(np.ones(found.shape[1:]))
    made: Floats = found / found.any(-1).sum(-1)[:, None, None]
    return made


def _before(length: int) -> Floats:
    """(2, pos, key): the token before, and the one before that, over the positions that have three before them."""
    return np.stack([np.diag(np.ones(length - back), -back) * (np.arange(length) > 2)[:, None] for back in (1, 2)]) / (
        length - 3
    )
