"""What labelling found of one feature: when it is active, in words, as a rule, in spans, with scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.labels.contexts import views
from darklantern.methods.labels.features import Feature
from darklantern.methods.labels.reading import Words
from darklantern.methods.labels.rules import Lift, Rule
from darklantern.methods.labels.scoring import Score
from darklantern.methods.labels.spans import Span
from darklantern.methods.results import Result
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

if TYPE_CHECKING:
    from darklantern.models.picture import Picture

LIFT = ("seen", "active", "lift", "log_odds", "nats")
SCORE = ("accuracy", "low", "high", "hits", "alarms", "spans")


@dataclass(frozen=True)
class HeldOut:
    """A rule on examples that it was not made from, over all their tokens."""

    precision: float
    recall: float
    tokens: int

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, repr=False)
class Label(Result):
    """When a feature is active: a text, a rule that can be applied, spans, and how well it holds on held-out text."""

    feature: Feature
    text: str
    """by the language model where one was given, else what the rule says"""
    rule: Rule | None
    """None where no token around goes with activation beyond chance"""
    lifts: tuple[Lift, ...]
    """what stands more often at active tokens than anywhere, most certain first"""
    threshold: float
    """activation from which on it counts as active"""
    density: float
    """share of tokens at which it is active"""
    histogram: tuple[tuple[float, int], ...]
    """where each bar begins, and how many tokens are in it"""
    quantiles: tuple[tuple[str, tuple[Span, ...]], ...]
    """spans by rank: the highest, then some of each part of the active tokens, and some that are not active"""
    tokens: int
    """seen, held-out ones among them"""
    control: float
    """F1 of the rule that the same search makes of shuffled activations"""
    held: HeldOut | None
    """None where nothing held out is active, or there is no rule"""
    scores: tuple[Score, ...]
    """detection and fuzzing on held-out spans: by the rule, by random codes in its place, by the language model"""
    unscored: str
    """why a score is missing; empty where none is"""
    words: Words = field(repr=False, compare=False)

    @property
    def top(self) -> tuple[Span, ...]:
        """The spans with the highest activation, one an example."""
        return self.quantiles[0][1]

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """At which of the token numbers (batch, pos) the rule holds: nowhere without a rule."""
        numbers = np.asarray(ids, dtype=np.int64)
        return np.zeros(numbers.shape, dtype=bool) if self.rule is None else self.rule.holds(views(numbers, self.words))

    def score(self, name: str) -> Score:
        """One of the scores by its name, such as `detection by the rule`."""
        return {each.name: each for each in self.scores}[name]

    @property
    def says(self) -> str:
        held = f", held-out F1 {self.held.f1:.2f}" if self.held is not None else ""
        missing = f"; not all scored: {self.unscored}" * bool(self.unscored)
        return f"{self.feature} responds to {self.text}{held}; active at {self.density:.2%} of tokens{missing}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        made: list[tuple[str, float, str]] = [
            ("threshold", self.threshold, "activation"),
            ("density", self.density, "share of tokens"),
            ("tokens", self.tokens, "tokens"),
            ("F1 of shuffled activations", self.control, ""),
        ]
        if self.rule is not None:
            made += [("lift", self.rule.lift, "times the base rate"), ("F1", self.rule.f1, "")]
        if self.held is not None:
            made += [
                ("held-out precision", self.held.precision, "share of the rule's tokens"),
                ("held-out recall", self.held.recall, "share of active tokens"),
                ("held-out F1", self.held.f1, ""),
            ]
        made += [(each.name, each.accuracy, "balanced accuracy") for each in self.scores]
        return tuple(Figure(name=name, value=value, unit=unit) for name, value, unit in made)

    @property
    def grids(self) -> tuple[Grid, ...]:
        starts = tuple(f"{start:.4g}" for start, _ in self.histogram)
        counts = (tuple(float(count) for _, count in self.histogram),)
        made = [Grid(name="histogram of activations", unit="tokens", rows=("from",), columns=starts, values=counts)]
        if self.lifts:
            made.append(_table("what goes with activation", LIFT, {f"{e.view}: {e.says}": e for e in self.lifts}))
        if self.scores:
            made.append(_table("scores", SCORE, {each.name: each for each in self.scores}))
        return tuple(made)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.feature.site,)

    def show(self) -> "Picture":
        """Its spans by rank, tokens tinted by activation, with the histogram beside."""
        from darklantern.methods.labels.showing import picture

        return picture(self)


def _table(name: str, columns: tuple[str, ...], rows: Mapping[str, Lift | Score]) -> Grid:
    values = tuple(tuple(float(getattr(row, column)) for column in columns) for row in rows.values())
    return Grid(name=name, unit="", rows=tuple(rows), columns=columns, values=values)


Text = Callable[[int], str] | None
"""a token's number → its text"""
Data = Any
"""prompts, a Batch, an integer array (batch, pos), or an iterable of those"""
