"""Integrated gradients: the mean gradient over a straight path, at one site or along one for all."""

from collections.abc import Sequence

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.attribution.asked import Asked, Rows, bare, row
from darklantern.methods.attribution.attribution import Way
from darklantern.methods.metrics import Metric, bound, number
from darklantern.methods.progress import tracked
from darklantern.models.edits import put
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

Points = Sequence[tuple[float, float]]


def integrated(asked: Asked, points: Points, along: str | Site | None) -> tuple[Rows, Way]:
    """Scores, and for each path by how much they miss what its two ends differ by."""
    # 1. Between what the paths run: what stands at each site on both inputs.
    paths = _paths(asked, along)
    wanted = dict.fromkeys([*map(bare, asked.sites), *paths])
    last, high = asked.ends(*wanted)
    first, low = _first(asked, last)
    metric = bound(asked.metric, asked.model, asked.base)
    # 2. Each path, point by point.
    rows: Rows = []
    ends: dict[Site, tuple[float, float]] = {}
    for path, read in tracked(paths.items(), "integrated gradients", len(paths)):
        means = _means(asked, metric, points, path, first, last, [*map(bare, read), path])
        for site in read:
            rows.append(row(site, means[bare(site)] * (last[bare(site)] - first[bare(site)])))
        _, total, _ = row(path, means[path] * (last[path] - first[path]))
        ends[path] = float(np.sum(total)), _gain(asked, metric, path, first, last, high, low)
    way = Way("integrated gradients", high, low, steps=len(points), along=along is not None, ends=ends)
    return rows, way


def _paths(asked: Asked, along: str | Site | None) -> dict[Site, list[Site]]:
    """What is moved, and whose scores are read on the way."""
    if along is None:
        found: dict[Site, list[Site]] = {}
        for site in asked.sites:
            found.setdefault(bare(site), []).append(site)
        return found
    sites = asked.model.plan(along).sites
    if len(sites) != 1:
        raise MethodError(f"{along} stands for {len(sites)} sites, and there is one path", hint='along="embed:out"')
    return {bare(sites[0]): list(asked.sites)}


def _first(asked: Asked, last: Recording) -> tuple[Recording, float | None]:
    """What the paths begin with: the corrupt inputs' values and metric, or zeros."""
    if asked.corrupt is None:
        return Recording([(v.site, v.array * 0, v.axes) for v in last.values()], None, last.tokens), None
    with without_gradients():
        found = asked.model.record(asked.corrupt, *last.sites)
    return found, number(bound(asked.metric, asked.model, asked.corrupt), found.output)


def _means(
    asked: Asked, metric: Metric, points: Points, path: Site, first: Recording, last: Recording, read: Sequence[Site]
) -> dict[Site, Value]:
    """The mean gradient at each site; one point at a time is held."""
    means: dict[Site, Value] = {}
    for place, weight in points:
        moved = first[path] + (last[path] - first[path]) * place
        found = asked.model.gradient(asked.base, metric, *dict.fromkeys(read), edits={path: put(moved)})
        for site in dict.fromkeys(read):
            part = found.gradients[site] * weight
            means[site] = means[site] + part if site in means else part
    return means


def _gain(
    asked: Asked, metric: Metric, path: Site, first: Recording, last: Recording, high: float, low: float | None
) -> float:
    """What the metric gains from one end of a path to the other, exactly: one of both is known."""

    def at(value: Value) -> float:
        with without_gradients():
            return number(metric, asked.model.run(asked.base, {path: put(value)}))

    return high - at(first[path]) if low is None else at(last[path]) - low
