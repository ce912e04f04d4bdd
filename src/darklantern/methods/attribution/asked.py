"""What is to be explained, and how a gradient and a step become a score."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.metrics import Metric, bound, number
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import numbers, without_gradients
from darklantern.models.sites import Site

Rows = list[tuple[Site, Any, tuple[str, ...]]]
"""a site, its scores along the axes that it pins to `*`, and those axes"""


@dataclass(frozen=True)
class Asked:
    """What is to be explained."""

    model: Model
    clean: Any
    corrupt: Any
    """None for a baseline of 0"""
    metric: Metric
    sites: tuple[Site, ...]

    @property
    def base(self) -> Any:
        """The inputs on which runs are made that are changed on the way."""
        return self.clean if self.corrupt is None else self.corrupt

    @property
    def tokens(self) -> Any:
        return getattr(self.base, "tokens", None)

    def ends(self, *sites: Site) -> tuple[Recording, float]:
        """What stands at `sites` on the clean inputs, and the metric there."""
        with without_gradients():
            found = self.model.record(self.clean, *sites)
        return found, number(bound(self.metric, self.model, self.clean), found.output)


def bare(site: Site) -> Site:
    """`site` without what it pins to `*`: what is changed as one."""
    return replace(site, select=tuple((axis, pin) for axis, pin in site.select if pin != "*"))


def row(site: Site, contributions: Value) -> tuple[Site, Any, tuple[str, ...]]:
    """A site's scores in float64: contributions of single numbers, summed over all axes that are not told apart."""
    starred = [axis for axis, pin in site.select if pin == "*"]
    if missing := [axis for axis in starred if axis not in contributions.axes]:
        raise MethodError(
            f"{bare(site)} has axes {' '.join(contributions.axes)}, so no {missing[0]} can be told apart",
            hint="pin an axis that it has to *",
        )
    axes = tuple(axis for axis in contributions.axes if axis in starred)
    gone = [axis for axis in contributions.axes if axis not in axes]
    left = contributions.sum(*gone) if gone else contributions
    return site, np.asarray(numbers(left.array), dtype=np.float64), axes
