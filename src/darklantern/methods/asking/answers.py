"""Answers about a model, each with the check that it passed or failed."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.asking.checking import Check
from darklantern.methods.asking.coverage import answered, area, at_coverages
from darklantern.methods.asking.fits import Numbers
from darklantern.methods.asking.questions import Question, Whole
from darklantern.methods.asking.reporters import Reporter
from darklantern.methods.results import Result
from darklantern.methods.shares import interval
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

if TYPE_CHECKING:
    from darklantern.models.picture import Picture

COVERAGES = tuple(part / 10 for part in range(1, 11))
_TOLD = 64
"""examples in the table that goes into evidence"""


@dataclass(frozen=True, repr=False, eq=False)
class Answers(Result):
    """What a reporter answers on examples that it was not fitted on, and which of these answers the model acts on."""

    question: Question
    reporter: Reporter
    chances: Numbers
    """of answer 1, (example,)"""
    done: Whole
    """what the model did, (example,)"""
    checked: Check
    truth: Numbers | None
    """(example,), where it is known"""
    outside: Numbers | None
    """chances by a reader that sees only prompt and output, (example,)"""

    @cached_property
    def answers(self) -> Whole:
        return (self.chances > 0.5).astype(np.int64)

    @property
    def supported(self) -> NDArray[np.bool_]:
        """Which answers the model acts on, (example,). The others are no more than decodable."""
        return self.checked.supported

    @property
    def contradicted(self) -> NDArray[np.bool_]:
        """Where the output says otherwise than the answer; nowhere without `question.claims`."""
        if self.question.claims is None:
            return np.zeros(len(self.done), dtype=bool)
        return np.asarray(self.question.claims(self.done) != self.answers, dtype=bool)

    @property
    def accuracy(self) -> float | None:
        """The share of all answers that are right; None where the truth is not known."""
        return None if self.truth is None else float((self.answers == self.truth).mean())

    @property
    def verdict(self) -> str:
        """supported where most answers are, else unsupported."""
        return "supported" if self.supported.mean() > 0.5 else "unsupported"

    def line_of(self, example: int) -> str:
        """One answer in words, with its check."""
        answer, chance = int(self.answers[example]), float(self.chances[example])
        held = "supported" if self.supported[example] else "unsupported"
        followed, stayed = self.checked.followed[example], self.checked.stayed[example]
        says = (
            f"{example}: {'yes' if answer else 'no'} ({max(chance, 1 - chance):.2f}), {held}: the model did what was "
        )
        says += f"predicted in {followed:.0%} of interchanges and stayed in {stayed:.0%}"
        return says + "; its output says otherwise" * bool(self.contradicted[example])

    @property
    def says(self) -> str:
        share = f"{self.supported.mean():.1%} of {len(self.done)} answers are supported"
        right = "" if self.accuracy is None else f", {self.accuracy:.1%} of all are right"
        return f"“{self.question.text}” by {self.reporter.name}: {self.verdict}; {share}{right}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        low, high = interval(float(self.checked.followed.mean()), len(self.done))
        made = {**self.checked.shares, "followed, low end of 95 %": low, "followed, high end of 95 %": high}
        if self.question.claims is not None:
            made["output contradicts the answer"] = self.contradicted.mean()
        named = [Figure(name=name, value=float(value), unit="share") for name, value in made.items()]
        return (*named, *self._against_truth())

    def _against_truth(self) -> list[Figure]:
        if self.truth is None or self.accuracy is None:
            return []
        kept, coverage = answered(self.chances, self.truth, self.supported)
        made = {"accuracy": self.accuracy, "area under accuracy by coverage": area(self.chances, self.truth)}
        if coverage:
            made["accuracy of supported answers"] = kept
        made["accuracy × coverage of supported answers"] = kept * coverage
        if self.question.claims is not None:
            made["accuracy of outputs at their word"] = float((self.question.claims(self.done) == self.truth).mean())
        if self.outside is not None:
            made["accuracy from prompt and output"] = float(((self.outside > 0.5) == (self.truth == 1)).mean())
            made["area, from prompt and output"] = area(self.outside, self.truth)
        return [Figure(name=name, value=value, unit="share") for name, value in made.items()]

    @property
    def grids(self) -> tuple[Grid, ...]:
        check = self.checked
        columns = (self.chances, check.followed, check.stayed, check.by_norm, check.by_other, self.supported, self.done)
        names = ("chance of yes", "followed", "stayed", "by norm", "by other", "supported", "done")
        rows = np.stack(columns, axis=1).astype(np.float64)[:_TOLD]
        told = tuple(map(str, range(len(rows))))
        values = tuple(tuple(row.tolist()) for row in rows)
        made = Grid(name="answers and their checks", unit="share", rows=told, columns=names, values=values)
        return (made, *self._by_coverage())

    def _by_coverage(self) -> tuple[Grid, ...]:
        """Accuracy where only the most confident share answers."""
        readers = {"inside": self.chances} | ({} if self.outside is None else {"prompt and output": self.outside})
        if self.truth is None:
            return ()
        values = tuple(at_coverages(chances, self.truth, COVERAGES) for chances in readers.values())
        columns = tuple(f"{share:.0%}" for share in COVERAGES)
        return (Grid(name="accuracy by coverage", unit="share", rows=tuple(readers), columns=columns, values=values),)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.question.at,)

    def show(self) -> "Picture":
        """The interchanges with their controls, and accuracy against the reader of prompt and output, as bars."""
        from darklantern.methods.asking.showing import picture

        return picture(self)
