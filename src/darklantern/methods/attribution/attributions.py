"""What an attribution found: a score for each kept index of each site, and how far scores can be trusted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing.scales import number
from darklantern.errors import MethodError
from darklantern.methods.attribution.exact import Question
from darklantern.methods.patching.cells import grids, ranked
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

if TYPE_CHECKING:
    from darklantern.methods.attribution.verified import Verified

STRONGEST = 10
"""scores that are figures of their own"""
INCOMPLETE = 0.01
"""share of the change along a path from which on an integral that misses so much is said to be incomplete"""
_SPELLED = {"gradient": "gradient × value", "ig": "integrated gradients", "patching": "attribution patching"}


@dataclass(frozen=True, repr=False, eq=False)
class Attribution(Result):
    """Scores in the metric's own unit: what the clean value adds to it, over the corrupt one or over zero."""

    how: str
    """gradient, ig, patching or relp"""
    frozen: tuple[str, ...]
    """of relp, the kinds of nonlinearity that were held constant: those that the model has"""
    scores: tuple[Value, ...]
    """one for each site, as NumPy in float64; its axes are those kept, `batch` first where examples are"""
    clean: float
    """the metric on the clean inputs"""
    corrupt: float | None
    """the metric on the corrupt inputs; None where the baseline is zero"""
    paths: tuple[tuple[float, float], ...]
    """of ig, for each path what scores along it add up to, and what the metric really changed by"""
    along: Site | None
    """of ig, the site that was moved for all; None where each was by itself"""
    per_example: bool
    texts: tuple[str, ...]
    """the token at each position, `clean/corrupt` where they differ; empty where they are not known or not one"""
    question: Question
    """model and inputs, held for `verify`"""

    def __getitem__(self, site: str | Site) -> Value:
        """The scores of one site, or of one cell: `scores["layers.3.attn:z[head=2]"]`."""
        return self._recording[site]

    def stack(self, site: str | Site) -> Value:
        """The scores of sites that a glob names, along a first axis `layer`."""
        return self._recording.stack(site)

    @property
    def array(self) -> NDArray[np.float64]:
        """All scores, (site, kept axes). Raises MethodError where sites differ in shape."""
        if len({score.shape for score in self.scores}) > 1:
            raise MethodError("sites differ in the shape of their scores", hint='scores["layers.0:out"] has one')
        return np.stack([score.array for score in self.scores])

    @property
    def read(self) -> tuple[Site, ...]:
        return tuple(score.site for score in self.scores)

    def means(self) -> list[Value]:
        """The scores over all examples."""
        return [score.mean("batch") if self.per_example else score for score in self.scores]

    def ranked(self, by: Callable[[float], float] = float, most: int | None = None) -> list[tuple[Site, float]]:
        """What has which score, highest first, or, `by=abs`, strongest first; the first `most` of them."""
        return ranked(self.means(), by, most)

    def verify(self, n: int = 40, seed: int = 0) -> "Verified":
        """Exact patches, each alone, of the `n / 2` strongest and of as many others at random by `seed`.

        Where the baseline is zero, exact means zeros put there. Costs a run for each and batch, from its own block on
        where the model can start there. Raises MethodError for inputs that were a stream to be read once.
        """
        from darklantern.methods.attribution.verifying import verified

        return verified(self, n, seed)

    def show(self) -> Picture:
        """Bars for a few scores; else a heat map: layers or sites down, heads, positions or neurons across."""
        from darklantern.methods.attribution.showing import picture

        return picture(self)

    @property
    def name(self) -> str:
        """Which method it was, and what it held constant."""
        if self.how == "relp":
            held = " and ".join(filter(None, [", ".join(self.frozen[:-1]), *self.frozen[-1:]]))
            return f"RelP, {held or 'nothing there to be'} held constant"
        return _SPELLED[self.how] + (f" along {self.along}" if self.along else "")

    @property
    def completeness_error(self) -> float | None:
        """How far scores along a path are from what the metric changes by along it, of several paths the most.

        None where no path was gone along: a gradient at one point promises no sum.
        """
        return max((abs(total - change) for total, change in self.paths), default=None)

    @property
    def incomplete(self) -> float | None:
        """`completeness_error` as a share of the largest change."""
        if self.completeness_error is None:
            return None
        largest = max(abs(change) for _, change in self.paths)
        return self.completeness_error / largest if largest else math.inf if self.completeness_error else 0.0

    @property
    def total(self) -> float:
        """The sum of all scores; of sites one behind the other it counts the same effect several times."""
        return float(sum(score.array.sum() for score in self.means()))

    @property
    def says(self) -> str:
        (site, score), *_ = self.ranked(abs, 1)
        line = f"{self.name}: strongest {number(score)} at {site}"
        if self.incomplete is not None and self.incomplete > INCOMPLETE:
            line += f"; incomplete by {self.incomplete:.1%}: more steps"
        return line

    @property
    def figures(self) -> tuple[Figure, ...]:
        found = [Figure(name="clean", value=self.clean)]
        if self.corrupt is not None:
            found.append(Figure(name="corrupt", value=self.corrupt))
        found.append(Figure(name="sum of scores", value=self.total))
        if self.completeness_error is not None and self.incomplete is not None:
            found.append(Figure(name="completeness error", value=self.completeness_error))
            if math.isfinite(self.incomplete):
                share = Figure(name="completeness error, relative", value=self.incomplete, unit="share of the change")
                found.append(share)
        strongest = self.ranked(abs, STRONGEST)
        return *found, *(Figure(name=str(site), value=score, unit="of the metric") for site, score in strongest)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """One table where all sites keep the same one axis, or none."""
        return grids(self.means(), "attributed")

    @property
    def _recording(self) -> Recording:
        return Recording([(score.site, score.array, score.axes) for score in self.scores], None)
