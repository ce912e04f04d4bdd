"""What a reading prompt said of activations, and whether the model acts on it."""

from dataclasses import dataclass

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.methods.asking.checking import Check
from darklantern.methods.asking.fits import Numbers
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

_SHOWN = 64
"""examples in a picture and in evidence"""


@dataclass(frozen=True, repr=False, eq=False)
class ReadOut(Result):
    """What a reading prompt says with each example's activation in it, and what it says with none or another's."""

    source: Site
    target: Site
    answers: tuple[str, ...]
    chances: Numbers
    """of each answer as the next token, (example, answer)"""
    without: Numbers
    """the same by the prompt as it is, (answer,)"""
    labels: Numbers | None
    """which answer is right, (example,), where that is known"""
    written: tuple[str, ...]
    """what the reader wrote on, for each example, where it was asked to"""
    checked: Check | None = None
    """of two answers, on examples of their own: does the model act on what was read out?"""

    @property
    def said(self) -> Numbers:
        """The likeliest answer of each example, by its number."""
        found: Numbers = self.chances.argmax(1)
        return found

    @property
    def moved(self) -> float:
        """Total variation by which an activation moves the prompt's own answer: 0 where the prompt hears nothing."""
        return float(np.abs(_shares(self.chances) - _shares(self.without[None])).sum(1).mean() / 2)

    @property
    def differ(self) -> float:
        """Total variation between examples: 0 where any activation makes the prompt say the same."""
        shares = _shares(self.chances)
        return float(np.abs(shares - np.roll(shares, 1, axis=0)).sum(1).mean() / 2)

    @property
    def verdict(self) -> str:
        """supported or unsupported by interchange, or unchecked."""
        if self.checked is None:
            return "unchecked"
        return "supported" if self.checked.supported.mean() > 0.5 else "unsupported"

    @property
    def says(self) -> str:
        return f"{self.source} read out at {self.target}: {self._moves}"

    @property
    def _moves(self) -> str:
        right = "" if self.accuracy is None else f"; {self.accuracy:.0%} are right"
        return (
            f"chances move by {self.moved:.2f} from the prompt's own and by {self.differ:.2f} between examples{right}; "
            f"{self.verdict}"
        )

    @property
    def accuracy(self) -> float | None:
        """The share of examples where the likeliest answer is the right one; None without labels."""
        return None if self.labels is None else float((self.said == self.labels).mean())

    @property
    def figures(self) -> tuple[Figure, ...]:
        made = [
            Figure(name="moved from the prompt's own answer", value=self.moved, unit="total variation"),
            Figure(name="differ between examples", value=self.differ, unit="total variation"),
            Figure(name="chance of any of the answers", value=float(self.chances.sum(1).mean()), unit="probability"),
        ]
        if self.accuracy is not None:
            own = float((self.without.argmax() == self.labels).mean())
            made.append(Figure(name="accuracy", value=self.accuracy, unit="share"))
            made.append(Figure(name="accuracy of the prompt by itself", value=own, unit="share"))
        if self.checked is not None:
            made += [Figure(name=name, value=value, unit="share") for name, value in self.checked.shares.items()]
        return tuple(made)

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows = ("none", *(str(number) for number in range(min(len(self.chances), _SHOWN))))
        table = np.concatenate([self.without[None], self.chances[:_SHOWN]])
        values = tuple(tuple(row.tolist()) for row in table)
        return (Grid(name="chances", unit="probability", rows=rows, columns=self.answers, values=values),)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.source, self.target)

    def show(self) -> Picture:
        """Chances of the answers, examples down; the first row is the prompt by itself."""
        grid = self.grids[0]
        rows, columns = Axis("example", range(-1, len(grid.rows) - 1), grid.rows), range(len(self.answers))
        title = f"{self.source} read out at {self.target}"
        svg = fields(
            [Field("", grid.values)],
            rows,
            Axis("answer", columns, self.answers),
            title=title,
            says=self._moves[:1].upper() + self._moves[1:],
            notes=("Probability of each answer as the next token; none: by the prompt as it is.",),
        )
        return Picture(svg, title, self.says)


def _shares(chances: Numbers) -> Numbers:
    """Chances among the answers."""
    found: Numbers = chances / np.maximum(chances.sum(1, keepdims=True), 1e-300)
    return found
