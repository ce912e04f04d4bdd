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


@dataclass(frozen=True)
class Layout:
    """What the model around a module says about the values that pass there."""

    batch_first: bool | None = True
    """whether examples come before positions; None where that is not known"""
    images: bool = False
    """values of four or five axes are images"""
    tokens: bool = False
    """values of two axes are the tokens of all examples in one row"""
    heads: int | None = None
    """values of four axes have so many heads"""


def plain(module: nn.Module, layout: Layout, names: tuple[str, ...] = ()) -> Axes:
    """Axes of what goes into or comes out of `module`: `names` if they fit, else by its kind and the value's rank.

    What is not known is named axis0, axis1, …: a wrong name would be believed by whoever pins it.
    """
    images = isinstance(module, _IMAGES)

    def axes(value: Tensor) -> tuple[str, ...]:
        rank = value.ndim
        if rank == len(names):
            return _ordered(names, layout)
        if images and rank in _OF_IMAGES:
            return _OF_IMAGES[rank]
        if layout.tokens and rank in (1, 2):
            return ("token", names[-1] if names else "dim")[:rank]
        if rank == 2 and not value.is_floating_point():
            return _ordered(("batch", "pos"), layout)
        if rank < 4:
            return _ordered(_BY_RANK[rank], layout)
        if layout.images and rank in _OF_IMAGES:
            return _OF_IMAGES[rank]
        return _of_heads(value, layout) or _unknown(rank)

    return axes


def _ordered(names: tuple[str, ...], layout: Layout) -> tuple[str, ...]:
    if names[:2] != ("batch", "pos") or layout.batch_first:
        return names
    return (*(("pos", "batch") if layout.batch_first is False else _unknown(2)), *names[2:])


def _of_heads(value: Tensor, layout: Layout) -> tuple[str, ...] | None:
    """Which of the middle axes counts heads, where their number tells."""
    found = [axis for axis in (1, 2) if value.ndim == 4 and value.shape[axis] == layout.heads]
    if len(found) != 1:
        return None
    return ("batch", "head", "pos", "dim") if found == [1] else ("batch", "pos", "head", "dim")


def _unknown(rank: int) -> tuple[str, ...]:
    return tuple(f"axis{number}" for number in range(rank))


def declared(port: str, layout: Layout) -> Axes:
    """Axes of a port that the model's own code declares."""
    names = AXES.get(port, ())

    def axes(value: Tensor) -> tuple[str, ...]:
        return names if value.ndim == len(names) else plain(nn.Identity(), layout)(value)

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
_BY_RANK: dict[int, tuple[str, ...]] = {0: (), 1: ("batch",), 2: ("batch", "dim"), 3: ("batch", "pos", "dim")}
