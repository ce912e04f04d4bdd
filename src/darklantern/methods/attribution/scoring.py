"""The scores of one batch, by each of the ways."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.attribution.asking import Asked, examples
from darklantern.methods.metrics import Metric, bound, number
from darklantern.methods.repeating import check_repeats
from darklantern.models.edits import put, zero
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Case:
    """One batch: what scores are computed of."""

    model: Model
    clean: Any
    corrupt: Any
    """None where the baseline is zero"""
    metric: Metric
    asked: tuple[Asked, ...]

    @cached_property
    def wholes(self) -> tuple[Site, ...]:
        return tuple(dict.fromkeys(each.site.whole for each in self.asked))

    @property
    def base(self) -> Any:
        """The inputs that sites are changed in."""
        return self.clean if self.corrupt is None else self.corrupt

    @cached_property
    def on_base(self) -> Callable[[Any], Any]:
        """The metric of what the model returns on `base`."""
        return bound(self.metric, self.model, self.base)

    def clean_metric(self, output: Any) -> float:
        return number(bound(self.metric, self.model, self.clean), output)


@dataclass(frozen=True)
class Scored:
    """Of one batch: for each site, gradient × difference, unsummed."""

    products: tuple[Value, ...]
    clean: float
    corrupt: float | None
    count: int
    """examples"""
    tokens: tuple[tuple[tuple[str, ...], ...], ...]
    """of the clean and of the corrupt inputs, where they are known"""
    paths: tuple[tuple[float, float], ...] = ()
    """of each path, what the scores along it add up to, and what the metric changed by from one end to the other"""


def by_gradient(case: Case) -> Scored:
    """Gradient × value."""
    found = case.model.gradient(case.clean, case.on_base, *case.wholes)
    products = tuple(each.part(found.gradients) * each.part(found.values) for each in case.asked)
    return Scored(products, float(found.metric), None, examples(found.values), _tokens(found.values))


def by_patching(case: Case, frozen: Model) -> Scored:
    """Gradient on the corrupt inputs × (clean − corrupt); `frozen` is the model whose gradients count."""
    source = case.model.record(case.clean, *case.wholes)
    check_repeats(case.model, case.clean, source.output)
    found = frozen.gradient(case.corrupt, case.on_base, *case.wholes)
    products = tuple(each.part(found.gradients) * (each.part(source) - each.part(found.values)) for each in case.asked)
    high = case.clean_metric(source.output)
    return Scored(products, high, float(found.metric), examples(found.values), _tokens(source, found.values))


def by_path(case: Case, steps: int, along: Site | None) -> Scored:
    """The integral of the gradient along a straight path, × its length: one for each site, or one for all."""
    source = case.model.record(case.clean, *_with(case.wholes, along))
    check_repeats(case.model, case.clean, source.output)
    other = None if case.corrupt is None else case.model.record(case.corrupt, *_with(case.wholes, along))
    low = None if other is None else number(case.on_base, other.output)
    high = case.clean_metric(source.output)
    products: list[Value] = []
    paths: list[tuple[float, float]] = []
    for site, scored in [(along, case.asked)] if along else [(each.site, (each,)) for each in case.asked]:
        way = _Way(case, site, source, other)
        *found, own = way.products((*scored, Asked(site, ())), steps)
        products += found
        paths.append((float(Asked(site, ()).summed(own, per_example=False)[0]), way.change(high, low)))
    tokens = _tokens(source) if other is None else _tokens(source, other)
    return Scored(tuple(products), high, low, examples(source), tokens, tuple(paths))


def _with(wholes: Sequence[Site], along: Site | None) -> tuple[Site, ...]:
    return tuple(dict.fromkeys([*wholes, *([along.whole] if along else [])]))


@dataclass(frozen=True)
class _Way:
    """A straight path of the values at one site: from what they are on the corrupt inputs, or from zero, to clean."""

    case: Case
    site: Site
    source: Recording
    other: Recording | None

    def products(self, scored: Sequence[Asked], steps: int) -> list[Value]:
        """The mean gradient along the path, by Gauss and Legendre's points, one at a time, × the difference."""
        end = Asked(self.site, ())
        step, slopes = _step(end, self.source, self.other), list[Value]()
        wholes = dict.fromkeys(each.site.whole for each in scored)
        for point, weight in _points(steps):
            value = end.part(self.source) - (1 - point) * step
            here = self.case.model.gradient(self.case.base, self.case.on_base, *wholes, edits={self.site: put(value)})
            now = [weight * each.part(here.gradients) for each in scored]
            slopes = [one + two for one, two in zip(slopes, now, strict=True)] if slopes else now
        steps_of = (_step(each, self.source, self.other) for each in scored)
        return [slope * step for slope, step in zip(slopes, steps_of, strict=True)]

    def change(self, high: float, low: float | None) -> float:
        """What the metric changes by along the whole path: a run with the site at the end that no run was at."""
        at = zero() if self.other is None else put(Asked(self.site, ()).part(self.source))
        there = number(self.case.on_base, self.case.model.run(self.case.base, {self.site: at}))
        return high - there if low is None else there - low


def _step(each: Asked, source: Recording, other: Recording | None) -> Value:
    value = each.part(source)
    return value if other is None else value - each.part(other)


def _points(steps: int) -> Iterator[tuple[float, float]]:
    points, weights = np.polynomial.legendre.leggauss(steps)
    return ((float(point + 1) / 2, float(weight) / 2) for point, weight in zip(points, weights, strict=True))


def _tokens(*recordings: Recording) -> tuple[tuple[tuple[str, ...], ...], ...]:
    known = [each.tokens for each in recordings]
    return tuple(tuple(map(tuple, each)) for each in known if each is not None)


def check_finite(scored: Scored) -> None:
    """Raises MethodError for a metric that is no number."""
    for name, value in (("clean", scored.clean), ("corrupt", scored.corrupt)):
        if value is not None and not np.isfinite(value):
            raise MethodError(f"the metric is {value:g} on the {name} inputs", hint="a metric that is finite on both")
