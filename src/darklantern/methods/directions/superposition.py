"""How features share dimensions: the geometry of superposition."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from darklantern.drawing import Axis, Field, fields
from darklantern.errors import MethodError
from darklantern.methods.directions.gathering import resolved, rows
from darklantern.methods.directions.probes import Floats
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.results import Result
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import is_array, numbers, without_gradients
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid

_TOLD = 64


def dimensionality(directions: Any) -> Floats:
    """What share of a dimension each of `directions`, (feature, dim), has for itself.

    ‖Wᵢ‖² / Σⱼ (Ŵᵢ·Wⱼ)²: 1 where no other direction is along it, ½ for each of an antipodal pair, 2/5 for each of a
    pentagon. 0 for a direction of length 0, which is not represented. Source: Elhage et al. 2022, Toy Models of
    Superposition. Raises MethodError for what is no list of directions.
    """
    given = np.asarray(numbers(directions) if is_array(directions) else directions, dtype=np.float64)
    if given.ndim != 2 or not given.size or not np.isfinite(given).all():
        raise MethodError(
            f"expected finite directions (feature, dim), got shape {given.shape}",
            hint="weight.T, if features are columns",
        )
    overlaps = ((given @ given.T) ** 2).sum(1)
    own = (given**2).sum(1)
    return np.divide(own**2, overlaps, out=np.zeros(len(given)), where=overlaps > 0)


@dataclass(frozen=True, repr=False, eq=False)
class Superposition(Result):
    """The directions that features have at a site, and how they share its dimensions."""

    site: Site
    directions: Floats = field(repr=False)
    """(feature, dim): what each feature adds to the site by itself"""

    @property
    def dimensionality(self) -> Floats:
        """(feature,), see `dimensionality`."""
        return dimensionality(self.directions)

    @property
    def norms(self) -> Floats:
        """(feature,)"""
        made: Floats = np.linalg.norm(self.directions, axis=1)
        return made

    @property
    def overlaps(self) -> Floats:
        """(feature, feature): the inner products of directions."""
        return self.directions @ self.directions.T

    def show(self) -> Picture:
        """The inner products of the first features' directions as a heat map."""
        shown = Field("", self.overlaps[:_TOLD, :_TOLD].tolist())
        axis = Axis("feature", range(len(shown.values)))
        title = f"Features at {self.site}"
        more = f"The first {_TOLD} of {len(self.directions)} features. " * (len(self.directions) > _TOLD)
        notes = [f"{more}Inner products of their directions: squared lengths on the diagonal."]
        return Picture(
            fields([shown], axis, axis, title=title, says=self.says, notes=notes, square=True), title, self.says
        )

    @property
    def says(self) -> str:
        shares = self.dimensionality
        return (
            f"{len(shares)} features in {self.directions.shape[1]} dimensions at {self.site}, each with "
            f"{shares.min():.3f} to {shares.max():.3f} of one"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        pairs = zip(self.dimensionality[:_TOLD], self.norms[:_TOLD], strict=True)
        return tuple(
            figure
            for number, (share, norm) in enumerate(pairs)
            for figure in (
                Figure(name=f"feature {number}: dimensionality", value=float(share), unit="dimensions"),
                Figure(name=f"feature {number}: norm", value=float(norm), unit="of the site's unit"),
            )
        )

    @property
    def grids(self) -> tuple[Grid, ...]:
        names = tuple(f"feature {number}" for number in range(len(self.directions)))
        if len(names) > _TOLD:
            return ()
        values = tuple(map(tuple, self.overlaps.tolist()))
        return (Grid(name="inner products", unit="", rows=names, columns=names, values=values),)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.site,)


def superposition(model: Model, features: Any, nothing: Any, site: str | Site) -> Superposition:
    """How features share the dimensions at `site`: `features` are inputs in each of which one is on, alone.

    A feature's direction is what the site holds there beyond what it holds on `nothing`, one input in which none is on:
    exact where the site is affine in the features. Costs two runs. Raises SiteError for sites, MethodError for values
    that are not one vector an example.
    """
    check_opened(model)
    sites = resolved(model, site)
    if len(sites) > 1:
        raise MethodError(f"{site} stands for {len(sites)} sites", hint="one after the other")
    with without_gradients(), making("superposition", model) as under_way:
        under_way.saw(features, nothing)
        there, base = (
            rows(model.record(inputs, sites[0], stop=True)[sites[0]]).astype(np.float64)
            for inputs in (features, nothing)
        )
    if len(base) != 1:
        raise MethodError(
            f"expected one input in which no feature is on, got {len(base)}", hint="a batch of one: zeros"
        )
    dimensionality(there - base)
    return Superposition(sites[0], there - base, made=under_way.made())
