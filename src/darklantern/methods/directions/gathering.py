"""From inputs to examples: activations at sites, recorded in one pass over the data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.methods.batches import batches
from darklantern.methods.directions.probes import Bools
from darklantern.methods.making import Making
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.recording import Value
from darklantern.models.shim import numbers
from darklantern.models.sites import Site


class Rows(NamedTuple):
    """The activations at one site."""

    values: NDArray[Any]
    """(example, dim), or of pairs (pair, 2, dim)"""
    axis: str
    """what the model calls the last axis"""


def resolved(model: Model, sites: str | Site | Sequence[str | Site]) -> tuple[Site, ...]:
    """The sites that names and globs stand for, each once. Raises SiteError, and MethodError for none."""
    asked = [sites] if isinstance(sites, str | Site) else list(sites)
    if not asked or asked == [""]:
        raise MethodError("expected a site, got none", hint='"layers.6:out[pos=-1]", say')
    return tuple(dict.fromkeys(site for each in asked for site in model.plan(each).sites))


def labelled(
    model: Model,
    sites: Sequence[Site],
    positive: Any,
    negative: Any,
    labels: Sequence[Any] | None,
    under_way: Making,
    at_once: int,
) -> tuple[Mapping[Site, Rows], Bools]:
    """Activations and which are positive: of two sets, of one with labels, or of pairs with labels."""
    first = _recorded(model, sites, positive, under_way, at_once)
    if negative is None:
        known = _binary(labels, _count(first))
        return checked(first), known
    second = _recorded(model, sites, negative, under_way, at_once)
    sizes = _count(first), _count(second)
    if labels is None:
        joined = {
            site: Rows(np.concatenate([each.values, second[site].values]), each.axis) for site, each in first.items()
        }
        return checked(joined), np.repeat([True, False], sizes)
    if sizes[0] != sizes[1]:
        raise MethodError(
            f"pairs of {sizes[0]} and {sizes[1]} examples",
            hint="with labels, two sets are both halves of pairs; leave labels out for two classes",
        )
    paired = {
        site: Rows(np.stack([each.values, second[site].values], axis=1), each.axis) for site, each in first.items()
    }
    return checked(paired), _binary(labels, sizes[0])


def _recorded(model: Model, sites: Sequence[Site], inputs: Any, under_way: Making, at_once: int) -> dict[Site, Rows]:
    kept: dict[Site, list[NDArray[Any]]] = {site: [] for site in sites}
    names: dict[Site, str] = {}
    for batch in tracked(batches(inputs, at_once), "recording"):
        under_way.saw(batch)
        recording = model.record(batch, *sites, stop=True)
        for site in sites:
            kept[site].append(rows(recording[site]))
            names[site] = recording[site].axes[-1]
    return {site: Rows(np.concatenate(each), names[site]) for site, each in kept.items()}


def _count(found: Mapping[Site, Rows]) -> int:
    return len(next(iter(found.values())).values)


def rows(value: Value) -> NDArray[Any]:
    """A value as one vector an example. Raises MethodError for one with more axes, or fewer."""
    if len(value.axes) != 2 or value.axes[0] != "batch":
        pins = {axis: pin for axis, pin in value.site.select if axis not in value.axes}
        raise MethodError(
            f"a direction is of one vector an example, and {value.site} has axes {' '.join(value.axes) or 'none'}",
            hint=f"pin all but the last: {value.site.whole.at(**pins, **dict.fromkeys(value.axes[1:-1], -1))}",
        )
    return numbers(value.array)


def checked(found: Mapping[Site, Rows]) -> Mapping[Site, Rows]:
    """It. Raises MethodError for activations that are not finite, and for those that are all the same."""
    for site, (values, _) in found.items():
        flat = values.reshape(-1, values.shape[-1])
        if wrong := int((~np.isfinite(flat)).any(1).sum()):
            raise MethodError(
                f"{site}: {wrong} of {len(flat)} activations have numbers that are not finite",
                hint="run the model in float32, or find out where they come from",
            )
        if (flat == flat[0]).all():
            raise MethodError(f"{site} is the same in all {len(flat)} examples", hint="another site, or other inputs")
    return found


def _binary(labels: Sequence[Any] | None, count: int) -> Bools:
    if labels is None:
        raise MethodError(
            "one set of inputs has no classes", hint="two sets, positive and negative, or labels= of 0 and 1"
        )
    given = np.asarray(labels)
    if given.shape != (count,):
        raise MethodError(f"labels of shape {given.shape} for {count} examples", hint="one label for each example")
    if not np.isin(given, (0, 1)).all():
        raise MethodError(
            f"expected labels of 0 and 1, got {', '.join(map(str, np.unique(given)[:5]))}",
            hint="labels == 'one class' makes such; of several classes leace(...) erases all",
        )
    return given.astype(bool)
