"""A direction elsewhere: frozen as it is, and refitted there."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.directions.controls import Controls
from darklantern.methods.directions.finding import direction
from darklantern.methods.directions.one import Direction, measured
from darklantern.methods.directions.probes import Fit
from darklantern.methods.directions.scoring import Interval
from darklantern.methods.directions.ways import way
from darklantern.methods.making import Made
from darklantern.methods.results import Result
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure


@dataclass(frozen=True, repr=False, eq=False)
class Transfer(Result):
    """A direction from one checkpoint or data set, and one fitted on another, held against the same examples there."""

    frozen: Direction
    """as it was found; its own figures are of where it was found"""
    refit: Direction
    auroc: Interval
    """of the frozen one, on what the refit never saw"""
    accuracy: float
    """of the frozen one there, with the threshold that it came with"""

    @property
    def cosine(self) -> float:
        """Between both: 1 where they are the same, 0 where they have nothing in common."""
        return float(self.frozen.unit @ self.refit.unit)

    def show(self) -> Picture:
        """Held-out AUROC of both, and the refit's controls, as bars."""
        from darklantern.methods.directions.showing import of_transfer

        return of_transfer(self)

    @property
    def says(self) -> str:
        return f"Frozen AUROC {self.auroc}, refitted {self.refit.auroc}, cosine {self.cosine:.3f}, at {self.refit.site}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        own = (
            Figure(name="frozen: AUROC", value=self.auroc.value),
            Figure(name="frozen: AUROC, 95 % from", value=self.auroc.low),
            Figure(name="frozen: AUROC, 95 % to", value=self.auroc.high),
            Figure(name="frozen: accuracy", value=self.accuracy, unit="share"),
            Figure(name="cosine of frozen and refitted", value=self.cosine),
        )
        return own + tuple(
            Figure(name=f"refitted: {each.name}", value=each.value, unit=each.unit) for each in self.refit.figures
        )

    @property
    def read(self) -> tuple[Site, ...]:
        return self.refit.read


def transferred(
    frozen: Direction, model: Model, positive: Any, negative: Any, site: str | Site | None, options: dict[str, Any]
) -> Transfer:
    """See `Direction.on`."""
    fit_of(frozen)
    # Of the same inputs on another checkpoint the same are held out: what the frozen one saw would flatter it.
    asked = {"seed": frozen.made.seed, "held_out": frozen.examples, **frozen.options, **options}
    refit = direction(model, positive, negative, site or frozen.site, frozen.how, **asked)
    if len(refit.vector) != len(frozen.vector):
        raise MethodError(
            f"the direction has {len(frozen.vector)} dimensions, and {refit.site} there {len(refit.vector)}",
            hint="the same site of a model of the same size",
        )
    about: Any = measured(refit.examples, frozen.probe)
    return Transfer(frozen, refit, **about, made=replace(refit.made, method="direction.on"))


def refitted(frozen: Direction, values: NDArray[Any], made: Made) -> Transfer:
    """It on what another checkpoint holds of the very examples that it was found on, of which the same are held out.

    `values` are as `frozen.examples` has them. Without controls: those of the frozen one tell what chance gives. Raises
    MethodError for a random direction.
    """
    examples = replace(frozen.examples, values=values)
    probe = fit_of(frozen)(*examples.seen)
    probe = replace(probe, offset=probe.offset - float(examples.centre @ probe.vector))
    about: Any = measured(examples, probe)
    refit = replace(frozen, probe=probe, controls=Controls((), ()), examples=examples, **about, made=made)
    there: Any = measured(examples, frozen.probe)
    return Transfer(frozen, refit, **there, made=made)


def fit_of(found: Direction) -> Fit:
    """The fit that found it, of activations and labels, to be repeated. Raises MethodError for a random direction."""
    if found.how == "random":
        raise MethodError("a random direction has no fit to repeat", hint="of the direction itself: direction.on(...)")
    return partial(way(found.how, found.options).fit, seed=found.made.seed or 0, **found.options)
