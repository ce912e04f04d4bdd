"""A direction along which two classes are told apart: how well, and what can be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.controls import Controls, drawn
from darklantern.methods.directions.examples import Examples, projected
from darklantern.methods.directions.leace import Moments, along, eraser
from darklantern.methods.directions.probes import Floats, Probe
from darklantern.methods.directions.scoring import Interval, accuracy, interval
from darklantern.methods.results import Result
from darklantern.models.edits import Edit, add, project
from darklantern.models.picture import Picture
from darklantern.models.recording import Value
from darklantern.models.shim import is_array, numbers
from darklantern.models.sites import Site
from darklantern.records.findings import Figure

if TYPE_CHECKING:
    from darklantern.methods.directions.transfers import Transfer
    from darklantern.models.opened import Model


@dataclass(frozen=True, repr=False, eq=False)
class Direction(Result):
    """A direction at one site, with how well it tells examples apart that its fit never saw.

    An array to whoever takes one: `darklantern.add(direction, norm=0.3)`. It holds the activations that it was fitted
    on and held against, which `erase`, `control` and a refit need.
    """

    site: Site
    how: str
    """by which way it was found, or `random`"""
    options: Mapping[str, float] = field(repr=False)
    """what was set of that way"""
    probe: Probe = field(repr=False)
    axis: str
    """what the model calls the axis that it lies along: dim, neuron, channel"""
    auroc: Interval
    """on held-out examples"""
    accuracy: float
    """the share of held-out examples on the right side"""
    controls: Controls
    examples: Examples = field(repr=False)

    @property
    def vector(self) -> Floats:
        """(dim,), as long as the fit made it: of means, their distance."""
        return self.probe.vector

    @property
    def unit(self) -> Floats:
        """It with length 1."""
        made: Floats = self.vector / np.linalg.norm(self.vector)
        return made

    @property
    def gap(self) -> float:
        """How far apart both classes' means lie along it, in the site's own unit."""
        values, labels = self.examples.single
        along = values @ self.unit
        return float(along[labels].mean() - along[~labels].mean())

    def scores(self, activations: Any) -> Floats:
        """How far activations lie on the positive side: above 0 they count as positive. The last axis goes away.

        Takes arrays of any framework and recorded values. Raises MethodError for another number of dimensions.
        """
        given = activations.array if isinstance(activations, Value) else activations
        values = np.asarray(numbers(given) if is_array(given) else given, dtype=np.float64)
        if not values.ndim or values.shape[-1] != len(self.vector):
            raise MethodError(
                f"expected activations of {len(self.vector)} dimensions, got shape {values.shape}",
                hint=f"what is recorded at {self.site}",
            )
        made: Floats = values @ self.vector + self.probe.offset
        return made

    def steer(self, norm: float | None = None, distance: float | None = None) -> Edit:
        """An edit that moves activations along it: by `norm` times each one's own length, or by `distance` gaps.

        A gap is what lies between the classes' means, so `distance=1` takes the mean of the negative to where that of
        the positive is, along the direction. Negative ones go the other way. Raises MethodError for both, for
        neither, and for what is not finite.
        """
        if (norm is None) == (distance is None):
            raise MethodError(
                "steering takes either a norm or a distance", hint="steer(norm=0.3), or steer(distance=1.0)"
            )
        amount = norm if norm is not None else distance
        if amount is None or not np.isfinite(amount):
            raise MethodError(f"cannot steer by {amount}", hint="a finite number")
        by_name = Value(self.site.whole, self.unit, (self.axis,))
        return add(by_name, norm=norm) if distance is None else add(by_name, scale=distance * self.gap)

    def ablate(self) -> Edit:
        """An edit that removes all that lies along it, the part that both classes share too."""
        return along(project(self.vector), self.axis)

    def erase(self, shrinkage: float = 0.0) -> Edit:
        """An edit after which no linear map tells the classes apart (LEACE), of the examples that the fit saw.

        The classes decide it, not how the direction was found. Moves activations as little as can be, and leaves
        their mean. Costs an eigendecomposition of their covariance. `leace` erases several classes, and streams;
        it says what `shrinkage` is for.
        """
        values, labels = self.examples.single
        moments = Moments(values.shape[1], 2)
        moments.add(values, labels.astype(int))
        return eraser(moments, self.axis, shrinkage).edit()

    def control(self, seed: int = 0) -> "Direction":
        """A random direction as long as this one, held against the same examples: what must not do what this does."""
        probe = drawn(self.examples, float(np.linalg.norm(self.vector)), np.random.default_rng((seed, 2)))
        return replace(self, how="random", probe=probe, **measured(self.examples, probe))

    def on(
        self, model: "Model", positive: Any, negative: Any = None, site: str | Site | None = None, **options: Any
    ) -> "Transfer":
        """It on another checkpoint or other data: frozen as it is, and refitted there, held against the same examples.

        Takes what `direction` takes; `site` is this one's unless another is named. Of the same inputs, known by their
        labels, the same are held out; with `groups` or `held_out` they are drawn anew, and the frozen one may have seen
        them. See `Transfer`.
        """
        from darklantern.methods.directions.transfers import transferred

        return transferred(self, model, positive, negative, site, options)

    def show(self) -> Picture:
        """Its held-out AUROC with the interval, and those of its controls, as bars."""
        from darklantern.methods.directions.showing import of_one

        return of_one(self)

    @property
    def says(self) -> str:
        against = "; ".join(f"{name} {np.mean(found):.3f}" for name, found in self.controls.pairs)
        count = int(self.examples.held.sum())
        return f"AUROC {self.auroc} on {count} held-out examples, {self.how} at {self.site}" + f"; {against}" * bool(
            against
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        _, labels = self.examples.unseen
        base = max(labels.mean(), 1 - labels.mean())
        made = [
            Figure(name="AUROC", value=self.auroc.value),
            Figure(name="AUROC, 95 % from", value=self.auroc.low),
            Figure(name="AUROC, 95 % to", value=self.auroc.high),
            Figure(name="accuracy", value=self.accuracy, unit="share"),
            Figure(name="accuracy of always the larger class", value=float(base), unit="share"),
            Figure(name="gap", value=self.gap, unit="of the site's unit"),
            Figure(name="fitted on", value=float((~self.examples.held).sum()), unit="examples"),
            Figure(name="held out", value=float(len(labels)), unit="examples"),
        ]
        for name, found in self.controls.pairs:
            mean, spread = float(np.mean(found)), float(np.std(found))
            made.append(Figure(name=f"AUROC, {name}", value=mean, unit=f"mean of {len(found)}"))
            made.append(Figure(name=f"AUROC, {name}, spread", value=spread, unit="standard deviation"))
        return tuple(made)

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.site,)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.vector, dtype=dtype, copy=copy)


def measured(examples: Examples, probe: Probe) -> dict[str, Any]:
    """What a probe says of the examples that are held out: AUROC and accuracy."""
    values, labels = examples.unseen
    scores = projected(values, probe)
    return {"auroc": interval(scores, labels), "accuracy": accuracy(scores, labels)}
