"""What is labelled: a number at each token, read off a recorded value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import backend_of, convert, is_array, numbers
from darklantern.models.sites import Site, parse

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Feature:
    """A number at each token: of a neuron, along a direction, or what a function makes of a value.

    `site` alone pins its last axis: `layers.2.mlp:neurons[neuron=17]`. With `direction` (dim,) it is the dot product
    with it, not normalised. With `of`, what that returns of a recorded Value: an array (batch, pos).
    """

    site: Site
    direction: Any = None
    of: Callable[[Value], Any] | None = None
    name: str = ""

    def __str__(self) -> str:
        made = " along a direction" if self.direction is not None else " through a function" * (self.of is not None)
        return self.name or f"{self.site}{made}"

    @property
    def recorded(self) -> Site:
        """What a run has to record for it: whole, so that features of one site share one copy."""
        return self.site.whole

    def read(self, recording: Recording) -> Numbers:
        """Its activations, (batch, pos). Raises MethodError for a value that has no such axes, or is not finite."""
        value = recording[self.site]
        made = self.of(value) if self.of is not None else _along(value, self.direction, self)
        _check_places(made, value, self)
        found = numbers(made).astype(np.float64)
        if not np.isfinite(found).all():
            raise MethodError(f"{self} is not finite at every token", hint="NaN or ∞ in a run: look at the model first")
        return found

    def pushing(self) -> Numbers:
        """The step along which it grows, in the site's last axis. Raises MethodError for a function's."""
        if self.of is not None:
            raise MethodError(f"{self} has no direction to push along", hint="a neuron or a direction has")
        return np.ones(()) if self.direction is None else np.asarray(numbers(self.direction), np.float64)


def as_feature(given: Any, site: str | Site | None = None) -> Feature:
    """`given` as a Feature: a Feature, a site as text or value, or a direction, which takes a `site`.

    A direction is an array (dim,), or what has one as `.array` or `.vector`, and possibly its own `.site`,
    which is then read at all positions.
    Raises MethodError for others.
    """
    if isinstance(given, Feature):
        return given
    if isinstance(given, str | Site):
        return Feature(_site(given))
    array: Any = given
    for name in ("array", "vector"):
        array = held if is_array(held := getattr(given, name, None)) else array
    where = site if site is not None else _everywhere(getattr(given, "site", None))
    if not is_array(array) or array.ndim != 1:
        came = f"an array of shape {tuple(array.shape)}" if is_array(array) else type(given).__name__
        raise MethodError(
            f"expected a site, a direction (dim,) or a Feature to label, got {came}",
            hint='"layers.2.mlp:neurons[neuron=17]", or Feature(site, direction)',
        )
    if where is None:
        raise MethodError("a direction alone does not say where", hint='site="layers.2:out"')
    return Feature(_site(where), array)


def _everywhere(site: Any) -> Any:
    """A direction's own site at all positions and in all examples, wherever it was fitted."""
    if not isinstance(site, Site):
        return site
    return replace(site, select=tuple(pin for pin in site.select if pin[0] not in ("batch", "pos")))


def _site(given: str | Site) -> Site:
    return parse(given) if isinstance(given, str) else given


def _along(value: Value, direction: Any, whose: Feature) -> Any:
    if direction is None:
        return value.array
    size = int(numbers(direction).shape[0])
    if value.array.ndim != 3 or int(value.array.shape[-1]) != size:
        raise MethodError(
            f"{whose}: a direction of {size} numbers, and values of shape {value.shape} with axes "
            f"{' '.join(value.axes)}",
            hint="a direction lives in the last axis of a site with axes batch pos dim",
        )
    here = backend_of(value.array)
    return value.array @ here.like(convert(numbers(direction), here.name), value.array)


def _check_places(made: Any, value: Value, whose: Feature) -> None:
    if is_array(made) and made.ndim == 2 and value.axes[:2] == ("batch", "pos"):
        return
    shape = tuple(made.shape) if is_array(made) else type(made).__name__
    raise MethodError(
        f"{whose}: expected a number at each batch and pos, got {shape} of a value with axes {' '.join(value.axes)}",
        hint="pin every other axis, as [neuron=17] or [head=2,dim=5] does, or give a direction",
    )
