"""Points: the places that sites resolve to, and how a value there is turned into what a site shows, and back."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from darklantern.models.on_jax.axes import BATCH, CHANNEL, DATA, FEATURE, Axes, kind
from darklantern.models.on_jax.outline import Address, Loop, Path, Place, Shard

Named = tuple[tuple[tuple[str, int], ...], ...]
"""each axis of a variable, as the named factors that it joins"""


@dataclass(frozen=True)
class View:
    """A variable's axes turned into the order in which a site shows them, and back."""

    factors: tuple[int, ...]
    """the variable's shape, joined axes taken apart"""
    order: tuple[int, ...]
    joined: tuple[int, ...]
    """the shape that is shown"""

    def shown(self, value: Any) -> Any:
        return value.reshape(self.factors).transpose(self.order).reshape(self.joined)

    def hidden(self, shown: Any, like: Any) -> Any:
        turned = tuple(self.factors[place] for place in self.order)
        back = tuple(self.order.index(place) for place in range(len(self.order)))
        return shown.reshape(turned).transpose(back).reshape(like.shape)


def view(
    named: Named, axes: Sequence[Sequence[str]], single: Collection[str] = ()
) -> tuple[View, tuple[str, ...]] | None:
    """How a variable whose axes are `named` shows as `axes`; each of those joins some names, in order.

    What it does not have is left out, but for what is `single`: an axis of one that a move dropped. None where it has
    something else than `axes` say.
    """
    factors = [factor for axis in named for factor in axis]
    names = [name for name, _ in factors]
    wanted = [name for axis in axes for name in axis]
    if len(set(names)) < len(names) or not set(names) <= set(wanted):
        return None
    order = tuple(names.index(name) for name in wanted if name in names)
    sizes = dict.fromkeys(single, 1) | dict(factors)
    kept = [[name for name in axis if name in sizes] for axis in axes]
    joined = tuple(prod(sizes[name] for name in axis) for axis in kept if axis)
    return View(tuple(size for _, size in factors), order, joined), tuple(axis[0] for axis in kept if axis)


@dataclass(frozen=True, eq=False)
class Point:
    """One value of one part, in each iteration of the loops around it."""

    path: Path
    """of the part, with a mark for each number of a layer"""
    port: str
    member: str
    place: Place
    """where the value stands, and where another takes its place"""
    loops: tuple[Loop, ...]
    axes: tuple[str, ...]
    aval: Any
    """of what is shown: shape and dtype"""
    how: str
    """what a plan prints"""
    branch: bool = False
    """it may not run"""
    custom: tuple[Address, ...] = ()
    """functions with derivatives of their own that have to be opened up to reach it"""
    shown: Callable[..., Any] = field(default=lambda value: value, repr=False)
    """(value, *reads) → what the site shows"""
    hidden: Callable[..., Any] = field(default=lambda new, value: new, repr=False)
    """(what is to be shown, value, *reads) → the value that does"""
    reads: tuple[Place, ...] = ()
    """other values that it takes to show this one"""
    early: bool = False
    """it is shown and changed before other points in its place, which are made of it"""
    shards: tuple[Shard, ...] = ()
    """the shard_maps around it"""
    apart: bool = False
    """it lies in a branch or a loop that not all devices of a shard_map take alike"""

    @property
    def spread(self) -> bool:
        """Whether devices hold different pieces of it, which are shown on a first axis."""
        return any(shard.axes for shard in self.shards)


def named_axes(axes: Axes) -> tuple[str, ...]:
    """What the axes of a value that goes into or comes out of a part are called.

    What is not known is named axis0, axis1, …: a wrong name would be believed by whoever pins it. Beside it an axis
    that is the only one of its kind keeps its name.
    """
    kinds = tuple(kind(axis) if axis else "one" for axis in axes)
    found = _NAMES.get(kinds)
    if found is None:
        found = next((names for known, names in _NAMES.items() if _fits(kinds, known)), None)
    return found or tuple(
        _ALONE[what] if what in _ALONE and kinds.count(what) == 1 else f"axis{number}"
        for number, what in enumerate(kinds)
    )


def _fits(kinds: Sequence[str], known: Sequence[str]) -> bool:
    """Whether `kinds` are `known` where they say something: an axis of 1 may be any of them."""
    return len(kinds) == len(known) and all(a in ("one", b) for a, b in zip(kinds, known, strict=True))


_ALONE = {BATCH: "batch", DATA: "pos", FEATURE: "dim", CHANNEL: "channel"}
_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {
    (): (),
    (BATCH,): ("batch",),
    (FEATURE,): ("dim",),
    (BATCH, FEATURE): ("batch", "dim"),
    (BATCH, DATA): ("batch", "pos"),
    (DATA, FEATURE): ("pos", "dim"),
    (BATCH, DATA, FEATURE): ("batch", "pos", "dim"),
    ("token", FEATURE): ("token", "dim"),
    (BATCH, CHANNEL): ("batch", "channel"),
    (BATCH, DATA, CHANNEL): ("batch", "pos", "channel"),
    (BATCH, CHANNEL, DATA): ("batch", "channel", "pos"),
    (BATCH, DATA, DATA, CHANNEL): ("batch", "height", "width", "channel"),
    (BATCH, CHANNEL, DATA, DATA): ("batch", "channel", "height", "width"),
    (BATCH, FEATURE, DATA, DATA): ("batch", "head", "pos", "key"),
    (BATCH, DATA, FEATURE, FEATURE): ("batch", "pos", "head", "dim"),
    (BATCH, FEATURE, DATA, FEATURE): ("batch", "head", "pos", "dim"),
}
