"""Does a label hold on text that it was not made from? Detection and fuzzing (Paulo et al. 2024)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.labels.judging import Judge
from darklantern.methods.labels.spans import Span
from darklantern.methods.shares import interval


@dataclass(frozen=True)
class Score:
    """How often a judge was right, the mean of both kinds: 1 where the label tells all, 0.5 where it tells nothing."""

    name: str
    accuracy: float
    interval: tuple[float, float]
    """95 %, Wilson's over pairs"""
    hits: float
    """share of active spans, or of right marks, to which the judge said yes"""
    alarms: float
    """share of the others to which it said yes"""
    spans: int
    """of each kind"""

    @property
    def low(self) -> float:
        return self.interval[0]

    @property
    def high(self) -> float:
        return self.interval[1]


def detection(
    judge: Judge, active: Sequence[Span], quiet: Sequence[Span], threshold: float, seed: int = 0, most: int = 50
) -> Score:
    """Does the judge tell spans in which the feature is active from those in which it is not?

    Quiet spans end before a token that is active. Each active one is cut to the same reach as its quiet partner, or
    the longer would be told by length. Raises MethodError for no spans of one kind.
    """
    rng = np.random.default_rng(seed)
    pairs = [_alike(one, other, threshold) for one, other in zip(*_drawn(active, quiet, most, rng), strict=True)]
    said = [(judge.responds(one), judge.responds(other)) for one, other in pairs]
    return _score("detection", said)


def fuzzing(judge: Judge, active: Sequence[Span], threshold: float, seed: int = 0, most: int = 50) -> Score:
    """Does the judge tell spans whose active tokens are marked from those in which as many others are?

    Raises MethodError where no span has both.
    """
    rng = np.random.default_rng(seed)
    said = [
        (judge.accords(span, right), judge.accords(span, wrong))
        for span, right, wrong in _marks(active, threshold, most, rng)
    ]
    return _score("fuzzing", said)


def _drawn(
    active: Sequence[Span], quiet: Sequence[Span], most: int, rng: np.random.Generator
) -> tuple[list[Span], list[Span]]:
    count = min(len(active), len(quiet), most)
    if not count:
        raise MethodError(
            f"{len(active)} active spans and {len(quiet)} quiet ones: nothing to tell apart",
            hint="more data held out, or another threshold",
        )
    return tuple([each[i] for i in rng.permutation(len(each))[:count]] for each in (active, quiet))  # type: ignore[return-value]


def _alike(active: Span, quiet: Span, threshold: float) -> tuple[Span, Span]:
    """Both cut to a reach that both have, and that in the quiet one meets no active token."""
    left, right = quiet.reach(threshold)
    before, after = min(left, active.peak), min(right, len(active.tokens) - active.peak - 1)
    return active.cut(before, after), quiet.cut(before, after)


def _marks(
    active: Sequence[Span], threshold: float, most: int, rng: np.random.Generator
) -> Iterator[tuple[Span, list[int], list[int]]]:
    """Spans with as many tokens marked rightly as wrongly: all that are active, or as many as there are others."""
    count = 0
    for i in rng.permutation(len(active)):
        there = np.array(active[i].activations) >= threshold
        number = min(int(there.sum()), int((~there).sum()))
        if number and count < most:
            right, wrong = (rng.permutation(np.flatnonzero(each))[:number].tolist() for each in (there, ~there))
            count += 1
            yield active[i], right, wrong


def _score(name: str, said: Sequence[tuple[bool, bool]]) -> Score:
    if not said:
        raise MethodError(
            "every token of every span is active, so none can be marked wrongly", hint="a higher threshold"
        )
    table = np.array(said, dtype=np.float64)
    hits, alarms = map(float, table.mean(0))
    right = (hits + 1 - alarms) / 2
    return Score(name, right, interval(right, len(said)), hits, alarms, len(said))
