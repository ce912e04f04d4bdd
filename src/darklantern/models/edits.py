"""Edits: what may replace the value at a site. Each is a value that prints, and a function of what it replaces.

A plain function from value to value is an edit too. Several edits at one site apply in the order given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.fitting import fitted, held, like, of_fractions
from darklantern.models.own_functions import named, told
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site, parse

Function = Callable[[Any, tuple[str, ...]], Any]
"""(value, names of its axes) → what goes on instead"""


@dataclass(frozen=True, eq=False)
class Edit:
    """A named replacement of the value at a site."""

    name: str
    function: Function
    bind: Callable[[Site], "Edit"] | None = None
    """makes the edit for one site, where it differs from site to site"""
    keeps_value: bool = False
    """changes gradients only: the run's outputs stay bitwise the same"""
    mixes: bool = False
    """gives an example what others hold at the same position, which all must have then: padding is refused"""
    lengths: Sequence[int] | None = None
    """how many positions each example has of what is put in whole, where that is known"""

    def at(self, site: Site) -> "Edit":
        """This edit, made for `site`."""
        return self.bind(site) if self.bind else self

    def __call__(self, value: Any, axes: tuple[str, ...]) -> Any:
        return self.function(value, axes)

    def __str__(self) -> str:
        return self.name


def edit(asked: Any, site: Site) -> Edit:
    """`asked` as an Edit for `site`: an Edit, or any function from value to value. Raises SiteError for others."""
    if isinstance(asked, Edit):
        return asked.at(site)
    if isinstance(asked, Value) or hasattr(asked, "__array__"):
        raise SiteError(
            f"expected an edit at {site}, got a bare {type(asked).__name__}",
            hint="darklantern.put(tensor) replaces by it, darklantern.add(tensor) adds it",
        )
    if not callable(asked):
        raise SiteError(
            f"expected an edit or a function at {site}, got {type(asked).__name__}",
            hint="zero, mean, resample, put, take, add, scale, project, stop_gradient; or lambda value: ...",
        )
    if getattr(asked, "__module__", "") == __name__:
        raise SiteError(
            f"the edit at {site} is the function {asked.__name__} itself, not what it makes",
            hint=f"with parentheses: {asked.__name__}(...)",
        )
    return Edit(named(asked), told(asked, site))


def put(value: Any) -> Edit:
    """Replace by `value`, broadcast to the site's shape, a Value by its axes' names. Gradients flow to `value`."""
    return _put(held(value, "put"), "put")


def _put(value: Any, name: str) -> Edit:
    return Edit(f"put({_shape(value)})", lambda old, axes: fitted(value, old, axes, name), lengths=_lengths(value))


def _lengths(value: Any) -> Sequence[int] | None:
    """How many positions each example of a Value has, where `pos` counts through all of them."""
    return value.lengths if isinstance(value, Value) and "pos" in value.axes else None


def take(recording: Recording, site: str | Site | None = None) -> Edit:
    """Patch: replace by what `recording` holds at the same site, or at `site`."""
    _check_recording(recording, "take", "put(tensor) replaces by a tensor, another one at each site")
    source = parse(site) if isinstance(site, str) else site

    def bound(target: Site) -> Edit:
        found = recording[source or target]
        return replace(_put(found, f"take({found.site}) at {target}"), name=f"take({found.site})")

    return Edit("take", _unbound("take"), bind=bound)


def zero() -> Edit:
    """Ablate: replace by zeros."""
    return Edit("zero", lambda old, _: torch.zeros_like(old))


def mean(of: Recording | None = None) -> Edit:
    """Ablate: replace each example by the mean over the batch, position by position: of this run, or of `of`."""
    if of is not None:
        _check_recording(of, "mean", "put(value.mean('batch')) replaces by a mean of your own")

    def bound(site: Site) -> Edit:
        if any(axis == "batch" for axis, _ in site.select):
            raise SiteError(
                f"mean at {site}: the batch axis is pinned, so there is nothing to average over",
                hint="leave batch out, or put(recording[site].mean('batch'))",
            )
        if of is None:
            return Edit("mean", lambda old, axes: _averaged(old, axes, f"mean at {site}"), mixes=True)
        average = _recorded_mean(of[site])
        return Edit("mean(recorded)", lambda old, axes: fitted(average, old, axes, f"mean at {site}"))

    return Edit("mean" if of is None else "mean(recorded)", _unbound("mean"), bind=bound)


def resample(seed: int) -> Edit:
    """Ablate: give each example the value of another example of this run, drawn by `seed`, never its own."""

    def moved(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        axis = _axis("batch", axes)
        count = old.shape[axis]
        if count < 2:
            raise SiteError("resample needs at least two examples, got one", hint="run a larger batch, or take(...)")
        # A random cycle through all examples: every one goes to another, none stays.
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        source = torch.empty_like(order)
        source[order] = order.roll(1)
        return old.index_select(axis, source.to(old.device))

    return Edit(f"resample(seed={seed})", moved, mixes=True)


def scale(factor: Any) -> Edit:
    """Multiply by `factor`, a number or what broadcasts to the site."""
    given = held(factor, "scale")
    shown = f"scale({_shape(given)})"
    return Edit(shown, lambda old, axes: old * like(given, old, axes, "scale"), lengths=_lengths(given))


def add(direction: Any, scale: float = 1.0, norm: float | None = None) -> Edit:
    """Steer: add `scale` times `direction`; with `norm`, make it `norm` times as long as the value at each place is.

    Lengths are taken along the last axis. Raises SiteError for a direction of length 0 that should have a length.
    """
    given = held(direction, "add")
    held(scale, "add: scale")
    plain = isinstance(scale, int | float) and scale == 1
    if norm is not None and bool((torch.as_tensor(getattr(given, "array", given)) == 0).all(dim=-1).any()):
        raise SiteError(
            f"add: a direction that is 0 cannot be made {norm:g} times as long as anything",
            hint="leave norm out, or find out why the direction is 0",
        )

    def added(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        step = like(given, old, axes, "add")
        if norm is not None:
            if isinstance(given, Value) and given.axes[-1:] != axes[-1:]:
                raise SiteError(
                    f"add: {given.site} has {' '.join(given.axes)}, so its length is along another axis than that of "
                    f"{' '.join(axes)}",
                    hint=f"a direction has the last axis of the site, {axes[-1]}",
                )
            step = step / step.norm(dim=-1, keepdim=True) * norm * old.norm(dim=-1, keepdim=True)
        step = fitted(step, old, axes, "add")
        return old + (step if plain else like(scale, old, axes, "add") * step)

    shown = f", norm={norm:g}" if norm is not None else f", scale={scale:g}" if scale != 1.0 else ""
    return Edit(f"add({_shape(given)}{shown})", added, lengths=_lengths(given))


def project(directions: Any, keep: bool = False) -> Edit:
    """Remove from the last axis its part in the span of `directions`, (dim,) or (n, dim); or `keep` only that part."""
    given = directions.array if isinstance(directions, Value) else held(directions, "project")
    rows = given[None] if given.ndim == 1 else given
    # By singular values, so that directions which depend on each other span what they span, and no axis more.
    left, sizes, _ = torch.linalg.svd(rows.double().T, full_matrices=False)
    basis = left[:, sizes > 1e-10 * sizes.max()]
    if not basis.shape[1] or not sizes.max():
        raise SiteError("project: all directions are zero", hint="pass at least one direction that is not")

    def projected(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        if old.shape[-1] != basis.shape[0]:
            raise SiteError(
                f"project: directions have {basis.shape[0]} components, the last axis {axes[-1]} {old.shape[-1]}",
                hint="directions live in the last axis of the site",
            )
        base = basis.to(of_fractions(old, "project"))
        inside = (old @ base) @ base.mT
        return inside if keep else old - inside

    return Edit(f"project({len(rows)} direction{'s' * (len(rows) > 1)}{', keep' * keep})", projected)


def stop_gradient() -> Edit:
    """Let no gradient through: the value counts as a constant. Outputs stay bitwise the same."""
    return Edit("stop_gradient", lambda old, _: old.detach(), keeps_value=True)


def _axis(name: str, axes: Sequence[str]) -> int:
    if name not in axes:
        raise SiteError(f"expected a value with axis {name}, got {' '.join(axes)}", hint="choose another site")
    return list(axes).index(name)


def _averaged(old: Tensor, axes: tuple[str, ...], name: str) -> Tensor:
    axis = _axis("batch", axes)
    if old.shape[axis] < 2:
        raise SiteError(
            f"{name}: the mean over a batch of one is the value itself, so nothing would be ablated",
            hint="run a larger batch, or mean(recording) of other prompts",
        )
    return of_fractions(old, name).mean(axis, keepdim=True).expand_as(old)


def _recorded_mean(value: Value) -> Value:
    """The mean of a recorded value over its examples; the value, where it is one already."""
    return value.mean("batch") if "batch" in value.axes else value


def _check_recording(given: Any, name: str, instead: str) -> None:
    if not isinstance(given, Recording):
        what = "a dict" if isinstance(given, Mapping) else f"a {type(given).__name__}"
        raise SiteError(f"{name}: expected a Recording, got {what}", hint=f"model.record(...) makes one; {instead}")


def _shape(value: Any) -> str:
    return f"{tuple(value.shape)}" if getattr(value, "shape", ()) else f"{torch.as_tensor(value).item():g}"


def _unbound(name: str) -> Function:
    def refuse(_: Any, __: tuple[str, ...]) -> Any:
        raise SiteError(f"the edit {name} was not made for a site", hint="hand it to run or record, which do that")

    return refuse
