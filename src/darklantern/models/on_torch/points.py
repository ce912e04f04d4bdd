"""Points: the places that sites resolve to, each with the tap that reaches it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.sites import AXES

if TYPE_CHECKING:
    from darklantern.models.on_torch.building import Building

Axes = Callable[[Tensor], tuple[str, ...]]


class Tap(Protocol):
    """How the values of some points of one module are reached. One object for each module and mechanism."""

    def install(self, building: "Building") -> None:
        """Add to `building` what has to happen while a run lasts."""


@dataclass(frozen=True, eq=False)
class Point:
    """One place where a value passes. Compared by identity: a module that stands at two paths has one point there."""

    tap: Tap
    port: str
    module: nn.Module
    path: str
    """the module's native path"""
    how: str
    """what a plan prints"""
    axes: Axes = field(repr=False)


def fixed(port: str) -> Axes:
    """Axes that the port alone decides."""
    names = AXES[port]

    def axes(value: Tensor) -> tuple[str, ...]:
        if value.ndim != len(names):
            raise SiteError(
                f"port {port!r} has axes {' '.join(names)}, and the value there has shape {tuple(value.shape)}",
                hint="run the model on a batch",
            )
        return names

    return axes


def plain(module: nn.Module, batch_first: bool, names: tuple[str, ...] = ()) -> Axes:
    """Axes of what goes into or comes out of `module`: `names` if they fit, else by its kind and the value's rank."""
    images = isinstance(module, _IMAGES)

    def axes(value: Tensor) -> tuple[str, ...]:
        if value.ndim == len(names):
            return names
        if images and value.ndim in _OF_IMAGES:
            return _OF_IMAGES[value.ndim]
        if value.ndim == 2 and not value.is_floating_point():
            return ("batch", "pos") if batch_first else ("pos", "batch")
        if value.ndim == 3 and not batch_first:
            return ("pos", "batch", "dim")
        return _BY_RANK.get(value.ndim) or tuple(f"axis{i}" for i in range(value.ndim))

    return axes


def declared(port: str, batch_first: bool) -> Axes:
    """Axes of a port that the model's own code declares."""
    names = AXES.get(port, ())

    def axes(value: Tensor) -> tuple[str, ...]:
        return names if value.ndim == len(names) else plain(nn.Identity(), batch_first)(value)

    return axes


_IMAGES = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)
_OF_IMAGES = {
    2: ("batch", "channel"),
    3: ("batch", "channel", "pos"),
    4: ("batch", "channel", "height", "width"),
    5: ("batch", "channel", "depth", "height", "width"),
}
_BY_RANK = {1: ("batch",), 2: ("batch", "dim"), 3: ("batch", "pos", "dim"), 4: _OF_IMAGES[4], 5: _OF_IMAGES[5]}
