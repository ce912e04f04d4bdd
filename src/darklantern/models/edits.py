"""Edits: what may replace the value at a site. Each is a value that prints, and a function of what it replaces.

A plain function from value to value is an edit too. Several edits at one site apply in the order given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from darklantern.errors import SiteError
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
    if isinstance(asked, Tensor | Value):
        raise SiteError(
            f"expected an edit at {site}, got a bare {type(asked).__name__}",
            hint="darklantern.put(tensor) replaces by it, darklantern.add(tensor) adds it",
        )
    if not callable(asked):
        raise SiteError(
            f"expected an edit or a function at {site}, got {type(asked).__name__}",
            hint="zero, mean, resample, put, take, add, scale, project, stop_gradient; or lambda value: ...",
        )
    return Edit(getattr(asked, "__name__", type(asked).__name__), lambda value, _: asked(value))


def put(value: Any) -> Edit:
    """Replace by `value`, broadcast to the site's shape. Gradients flow to `value`."""
    held = value.array if isinstance(value, Value) else torch.as_tensor(value)

    def replaced(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        return _fits(held, old, axes, "put")

    return Edit(f"put({_shape(held)})", replaced)


def take(recording: Recording, site: str | Site | None = None) -> Edit:
    """Patch: replace by what `recording` holds at the same site, or at `site`."""
    source = parse(site) if isinstance(site, str) else site

    def bound(target: Site) -> Edit:
        held = recording[source or target]
        return Edit(f"take({held.site})", put(held).function)

    return Edit("take", _unbound("take"), bind=bound)


def take_each(recording: Recording, positions: Sequence[int]) -> Edit:
    """Patch one position in each of several copies of a batch, copy after copy: the n-th at `positions[n]`."""

    def bound(target: Site) -> Edit:
        held = recording[target].array

        def patched(old: Tensor, axes: tuple[str, ...]) -> Tensor:
            pos = _axis("pos", axes)
            made = old.clone().unflatten(_axis("batch", axes), (len(positions), -1))
            for copy, position in enumerate(positions):
                made[copy].select(pos, position).copy_(held.select(pos, position))
            return made.flatten(0, 1)

        return Edit(f"take_each({target}, {len(positions)} positions)", patched)

    return Edit("take_each", _unbound("take_each"), bind=bound)


def zero() -> Edit:
    """Ablate: replace by zeros."""
    return Edit("zero", lambda old, _: torch.zeros_like(old))


def mean(of: Recording | None = None) -> Edit:
    """Ablate: replace each example by the mean over the batch of this run, or of the recording `of`."""

    def bound(site: Site) -> Edit:
        if any(axis == "batch" for axis, _ in site.select):
            raise SiteError(
                f"mean at {site}: the batch axis is pinned, so there is nothing to average over",
                hint="leave batch out, or put(recording[site].array.mean(0))",
            )
        if of is None:
            return Edit("mean", lambda old, axes: old.mean(_axis("batch", axes), keepdim=True).expand_as(old))
        held = of[site]
        if len({len(each) for each in held.tokens or ()}) > 1 and "pos" in held.axes:
            raise SiteError(
                f"mean at {site}: the recorded prompts differ in length, so a mean by position would count padding",
                hint="record prompts of one length, or pin a position that all have, such as pos=-1",
            )
        average = held.array.mean(_axis("batch", held.axes), keepdim=True)
        return Edit("mean(recorded)", lambda old, axes: _fits(average, old, axes, "mean"))

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

    return Edit(f"resample(seed={seed})", moved)


def scale(factor: Any) -> Edit:
    """Multiply by `factor`, a number or what broadcasts to the site."""
    return Edit(f"scale({_shape(factor)})", lambda old, _: old * _like(factor, old))


def add(direction: Any, scale: float = 1.0, norm: float | None = None) -> Edit:
    """Steer: add `scale` times `direction`; with `norm`, make it `norm` times as long as the value at each place is."""
    held = direction.array if isinstance(direction, Value) else torch.as_tensor(direction)

    def added(old: Tensor, axes: tuple[str, ...]) -> Tensor:
        step = _like(held, old)
        if norm is not None:
            step = step / step.norm(dim=-1, keepdim=True) * norm * old.norm(dim=-1, keepdim=True)
        return old + scale * _fits(step, old, axes, "add")

    shown = f", norm={norm:g}" if norm is not None else f", scale={scale:g}" if scale != 1.0 else ""
    return Edit(f"add({_shape(held)}{shown})", added)


def project(directions: Any, keep: bool = False) -> Edit:
    """Remove from the last axis its part in the span of `directions`, (dim,) or (n, dim); or `keep` only that part."""
    held = torch.as_tensor(directions.array if isinstance(directions, Value) else directions)
    rows = held[None] if held.ndim == 1 else held
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
        base = basis.to(old)
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


def _fits(new: Tensor, old: Tensor, axes: tuple[str, ...], name: str) -> Tensor:
    try:
        return _like(new, old).expand_as(old)
    except RuntimeError as error:
        raise SiteError(
            f"{name}: expected a value that broadcasts to {' '.join(axes)} {tuple(old.shape)}, got {tuple(new.shape)}",
            hint="pin the site to what you want to replace, for example [pos=-1]",
        ) from error


def _like(value: Any, old: Tensor) -> Tensor:
    return torch.as_tensor(value.array if isinstance(value, Value) else value).to(old)


def _shape(value: Any) -> str:
    return f"{tuple(value.shape)}" if getattr(value, "shape", ()) else f"{float(value):g}"


def _unbound(name: str) -> Function:
    def refuse(_: Any, __: tuple[str, ...]) -> Any:
        raise SiteError(f"the edit {name} was not made for a site", hint="hand it to run or record, which do that")

    return refuse
