"""Fitting a lens on batches, and holding it against the logit lens on others that it never saw."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.drawing.scales import number
from darklantern.errors import MethodError
from darklantern.methods.batches import batches
from darklantern.methods.lenses.jacobian import averaged
from darklantern.methods.lenses.readings import kl, log_probabilities
from darklantern.methods.lenses.tails import Place, SelfTest, Starts, Tail, placed, tested
from darklantern.methods.lenses.translators import Translators
from darklantern.methods.lenses.tuned import trained
from darklantern.methods.making import Making, making
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.methods.results import Result
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import numbers, without_gradients
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

EVERY = 5
"""the first batch of so many is held out"""


@dataclass(frozen=True, repr=False, eq=False)
class FittedLens(Result):
    """Maps for each layer, and how far what is read through them is from what the model says, where none was fitted."""

    translators: Translators = field(repr=False)
    place: Place = field(repr=False)
    tested: SelfTest
    plain: tuple[float, ...]
    """KL(model ‖ logit lens) at each site in nats, the mean over held-out tokens"""
    fitted: tuple[float, ...]
    """the same through the maps"""
    count: int
    """batches that were fitted on, each as often as it was used"""
    tokens: int
    """held out"""

    def show(self) -> Picture:
        """Both lenses' KL at each site as a heat map."""
        values = list(zip(self.plain, self.fitted, strict=True))
        shown = [Field("", values, [[number(value) for value in row] for row in values])]
        rows = Axis("site", range(len(values)), tuple(map(str, self.place.sites)))
        columns = Axis("lens", (0, 1), ("logit", self.translators.how))
        title = f"A {self.translators.how} lens, held out"
        notes = ["KL in nats of the model's distribution from the lens's: 0 is what the model says."]
        return Picture(fields(shown, rows, columns, title=title, says=self.says, notes=notes), title, self.says)

    @property
    def says(self) -> str:
        return (
            f"{self.translators.how} lens: KL {np.mean(self.fitted):.3g} nats on {self.tokens:,} held-out tokens, "
            f"mean of {len(self.fitted)} sites; the logit lens {np.mean(self.plain):.3g}"
        )

    @property
    def turned(self) -> float | None:
        """By how much the last block's map differs from the identity, which it should be; None where none is mapped."""
        if self.place.last is None:
            return None
        matrix, shift = self.translators.maps[self.place.last]
        return float(max(np.abs(matrix - np.eye(len(matrix))).max(), np.abs(shift).max()))

    @property
    def figures(self) -> tuple[Figure, ...]:
        pairs = zip(self.place.sites, self.plain, self.fitted, strict=True)
        named = [
            figure
            for site, plain, fitted in pairs
            for figure in (
                Figure(name=f"{site}: {self.translators.how} lens", value=fitted, unit="nats"),
                Figure(name=f"{site}: logit lens", value=plain, unit="nats"),
            )
        ]
        named.append(Figure(name="self-test: largest difference of logits", value=self.tested.largest))
        if self.turned is not None:
            named.append(Figure(name="self-test: the last map, from the identity", value=self.turned))
        return tuple(named)

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows = ("logit", self.translators.how)
        columns = tuple(map(str, self.place.sites))
        return (Grid(name="held-out KL", unit="nats", rows=rows, columns=columns, values=(self.plain, self.fitted)),)

    @property
    def read(self) -> tuple[Site, ...]:
        return self.place.sites


def fit_lens(
    model: Model,
    inputs: Any,
    how: str = "tuned",
    *,
    sites: str | Site | Sequence[str | Site] = "layers.*:out",
    entrance: str | Site | None = None,
    steps: int = 250,
    rate: float | None = None,
    probes: int | None = None,
    at_once: int = 8,
    seed: int = 0,
) -> FittedLens:
    """Fit a `tuned` or a `jacobian` lens on `inputs`: prompts, `at_once` a batch, or batches, several of them.

    Tuned: an affine map a layer, trained by `steps` batches of Adam at `rate`, going through the inputs as often as
    that takes (what can be gone through once only must have enough). Unless given, `rate` is 1 / dim: a step moves all
    entries of a map's row together, so the wider it is, the shorter each must be (Yang et al. 2022, Tensor Programs V).
    Nothing is drawn at random. Jacobian: each layer's
    mean Jacobian over all tokens, from one pass; exact, or with `probes` from that many random directions a batch, by
    `seed`.

    The first of each five batches is held out, and both this and the logit lens are measured on those. Costs, tuned, a
    run forward and back through the last block and the logits for each site and step; Jacobian, a whole run forward and
    back for each dimension (or probe) and batch, whatever the number of sites. Raises SiteError for sites, MethodError
    where a lens would not show what the model says, and for a single batch.
    """
    check_opened(model)
    _check(how, steps, rate, probes)
    with without_gradients(), making("fit_lens", model, None if probes is None else seed) as under_way:
        place = placed(model, sites, entrance)
        starts: Starts = {}
        data = _Data(inputs, at_once, under_way, lambda batch: tested(Tail(model, batch, place, starts)))
        if how == "tuned":
            rounds = tracked(islice(data.rounds(), steps), "tuning", steps)
            made = trained((Tail(model, batch, place, starts) for batch in rounds), steps, rate)
        else:
            made = averaged(model, place, tracked(data.once(), "differentiating"), probes, seed)
        plain, fitted, tokens = _held_out(model, data.held, place, made, starts)
    assert data.tested is not None
    return FittedLens(made, place, data.tested, plain, fitted, data.count, tokens, made=under_way.made())


class _Data:
    """Batches to fit on; those to hold out are put aside as they come by. The first of all is tested first."""

    def __init__(self, inputs: Any, at_once: int, under_way: Making, test: Callable[[Any], SelfTest]) -> None:
        self._inputs, self._at_once, self._under_way, self._test = inputs, at_once, under_way, test
        self.tested: SelfTest | None = None
        self.held: list[Any] = []
        self.count = 0

    def once(self, first: bool = True) -> Iterator[Any]:
        for turn, batch in enumerate(batches(self._inputs, self._at_once)):
            self.tested = self.tested or self._test(batch)
            if first:
                self._under_way.saw(batch)
            if turn % EVERY:
                self.count += 1
                yield batch
            elif first:
                self.held.append(batch)
        if not self.count:
            raise MethodError("of one batch none is left to fit on", hint="two batches or more: the first is held out")

    def rounds(self) -> Iterator[Any]:
        yield from self.once()
        while True:
            yield from self.once(first=False)


def _held_out(
    model: Model, held: Sequence[Any], place: Place, made: Translators, starts: Starts
) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """The mean KL of the logit lens and of this one at each site, and over how many tokens."""
    sums = np.zeros((2, len(place.sites)))
    count = 0
    for batch in tracked(held, "measuring", len(held)):
        tail = Tail(model, batch, place, starts)
        said = log_probabilities(tail.logits)
        count += int(tail.own.sum())
        for column, site in enumerate(place.sites):
            value = tail.recording[site].array
            for row, each in enumerate((value, made(site, value))):
                found = numbers(kl(said, log_probabilities(tail.said(each))))
                sums[row, column] += float(np.where(tail.own, found, 0).sum())
    plain, fitted = (tuple(map(float, row / count)) for row in sums)
    return plain, fitted, count


def _check(how: str, steps: int, rate: float | None, probes: int | None) -> None:
    if how not in ("tuned", "jacobian"):
        raise MethodError(f"a lens that is fitted is tuned or jacobian, got {how!r}", hint='"logit" needs no fit')
    if steps < 1 or (rate is not None and not rate > 0) or (probes is not None and probes < 1):
        raise MethodError(
            f"steps, rate and probes must be above 0, got {steps}, {rate} and {probes}",
            hint="leave them out: 250 steps, a rate of 1 / dim, and exact without probes",
        )
