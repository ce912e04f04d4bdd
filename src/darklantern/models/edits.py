"""Edits: what may replace the value at a site. Each is a value that prints, and a function of what it replaces.

A plain function from value to value is an edit too. Several edits at one site apply in the order given.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import SiteError
from darklantern.models.dtypes import is_complex
from darklantern.models.fitting import Named, broadcast, brought, fitted, held, keeping_kind, like, of_fractions
from darklantern.models.own_functions import named, told
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import backend_of, convert, framework_of, is_traced, namespace
from darklantern.models.sites import Site, parse

Function = Callable[..., Any]
"""(value, names of its axes, *operands) → what goes on instead"""


@dataclass(frozen=True, eq=False)
class Edit:
    """A named replacement of the value at a site.

    `function` is given its arrays with each call and holds none: an engine that compiles hands them over as arguments,
    so that another direction of the same shape runs the same code. It works on torch's tensors and on JAX's arrays,
    traced ones too, and brings operands of another framework to the value's.
    """

    name: str
    function: Function
    operands: tuple[Any, ...] = ()
    """the arrays that it was made of, as they were given; numbers as NumPy's arrays"""
    key: Hashable = None
    """with the operands' shapes and dtypes, all that `function` depends on; None for `function` itself"""
    reads: Callable[[], Hashable] | None = None
    """of a user's own function: a key of all that it reads besides, as that is now"""
    bind: Callable[[Site], "Edit"] | None = None
    """makes the edit for one site, where it differs from site to site"""
    keeps_value: bool = False
    """changes gradients only: the run's outputs stay bitwise the same"""
    mixes: bool = False
    """gives an example what others hold at the same position, which all must have then: padding is refused"""
    lengths: Sequence[int] | None = None
    """how many positions each example has of what is put in whole, where that is known"""

    def __post_init__(self) -> None:
        if self.key is None:
            object.__setattr__(self, "key", self.function)

    def at(self, site: Site) -> "Edit":
        """This edit, made for `site`."""
        return self.bind(site) if self.bind else self

    def __call__(self, value: Any, axes: tuple[str, ...]) -> Any:
        return self.function(value, axes, *self.operands)

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
    made = told(asked, site)
    return Edit(named(asked), made.function, made.operands, made.reads(), made.reads)


def put(value: Any) -> Edit:
    """Replace by `value`, broadcast to the site's shape, a Value by its axes' names. Gradients flow to `value`."""
    return _put(value, "put")


def _put(value: Any, name: str) -> Edit:
    array, whose = held(value, name)

    def replaced(old: Any, axes: tuple[str, ...], new: Any) -> Any:
        return fitted(new, old, axes, name, whose)

    return Edit(f"put({_shape(array)})", replaced, (array,), ("put", _axes(whose)), lengths=_lengths(value))


def _lengths(value: Any) -> Sequence[int] | None:
    """How many positions each example of a Value has, where `pos` counts through all of them."""
    return value.lengths if isinstance(value, Value) and "pos" in value.axes else None


def _axes(whose: Named | None) -> tuple[str, ...] | None:
    return None if whose is None else whose.axes


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
    return Edit("zero", lambda old, _: namespace(old).zeros_like(old), key=("zero",))


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
        name = f"mean at {site}"
        if of is None:
            return Edit("mean", lambda old, axes: _averaged(old, axes, name), key=("mean",), mixes=True)
        return replace(_put(_recorded_mean(of[site]), name), name="mean(recorded)", lengths=None)

    return Edit("mean" if of is None else "mean(recorded)", _unbound("mean"), bind=bound)


def resample(seed: int) -> Edit:
    """Ablate: give each example the value of another example of this run, drawn by `seed`, never its own.

    By NumPy's generator, so that all frameworks move the same examples.
    """

    def moved(old: Any, axes: tuple[str, ...]) -> Any:
        axis = _axis("batch", axes)
        count = old.shape[axis]
        if count < 2:
            raise SiteError("resample needs at least two examples, got one", hint="run a larger batch, or take(...)")
        # A random cycle through all examples: every one goes to another, none stays.
        order = np.random.default_rng(seed).permutation(count)
        source = np.empty_like(order)
        source[order] = np.roll(order, 1)
        return old[(*(slice(None),) * axis, source)]

    return Edit(f"resample(seed={seed})", moved, key=("resample", seed), mixes=True)


def scale(factor: Any) -> Edit:
    """Multiply by `factor`, a number or what broadcasts to the site."""
    array, whose = held(factor, "scale")

    def scaled(old: Any, axes: tuple[str, ...], by: Any) -> Any:
        return old * like(by, old, axes, "scale", whose)

    return Edit(f"scale({_shape(array)})", scaled, (array,), ("scale", _axes(whose)), lengths=_lengths(factor))


def add(direction: Any, scale: Any = 1.0, norm: float | None = None) -> Edit:
    """Steer: add `scale` times `direction`; with `norm`, make it `norm` times as long as the value at each place is.

    Lengths are taken along the last axis. Raises SiteError for a direction of length 0 that should have a length, if
    its numbers are known: traced by JAX, it makes NaN.
    """
    array, whose = held(direction, "add")
    times, whose_times = held(scale, "add: scale")
    plain = isinstance(scale, int | float) and scale == 1
    lengths = () if norm is None else (held(norm, "add: norm")[0],)
    as_long = bool(lengths)
    for length in lengths:
        _check_length(length, array)

    def added(old: Any, axes: tuple[str, ...], given: Any, *others: Any) -> Any:
        step, rest = like(given, old, axes, "add", whose), list(others)
        if as_long:
            step = _as_long(step, old, axes, rest.pop(0), whose)
        step = broadcast(step, old, axes, "add", tuple(given.shape))
        return old + (step if plain else like(rest.pop(0), old, axes, "add", whose_times) * step)

    shown = "" if plain else f", scale={_shape(times)}"
    shown = f", norm={_shape(lengths[0])}" if lengths else shown
    operands = (array, *lengths, *(() if plain else (times,)))
    key = ("add", _axes(whose), as_long, plain, _axes(whose_times))
    return Edit(f"add({_shape(array)}{shown})", added, operands, key, lengths=_lengths(direction))


def _check_length(length: Any, direction: Any) -> None:
    """Raises SiteError for what is no length, and for a direction along the last axis that has none."""
    if length.ndim:
        raise SiteError(
            f"add: expected one number as norm, got shape {tuple(length.shape)}", hint="scale= takes one for each place"
        )
    if is_traced(direction):
        return
    xp = namespace(direction)
    if bool(xp.any(xp.all((direction if direction.ndim else direction[None]) == 0, axis=-1))):
        raise SiteError(
            f"add: a direction that is 0 cannot be made {_shape(length)} times as long as anything",
            hint="leave norm out, or find out why the direction is 0",
        )


def _as_long(step: Any, old: Any, axes: tuple[str, ...], norm: Any, whose: Named | None) -> Any:
    """`step` made `norm` times as long as `old` is at each place."""
    if whose is not None and whose.axes[-1:] != axes[-1:]:
        raise SiteError(
            f"add: {whose.site} has {' '.join(whose.axes)}, so its length is along another axis than that of "
            f"{' '.join(axes)}",
            hint=f"a direction has the last axis of the site, {axes[-1]}",
        )
    of_fractions(old, "add")
    length = namespace(old).linalg.vector_norm
    step = step if step.ndim else step[None]
    by = backend_of(old).factor(keeping_kind(brought(norm, old), old, "add: norm"), old)
    return step / length(step, axis=-1, keepdims=True) * by * length(old, axis=-1, keepdims=True)


def project(directions: Any, keep: bool = False) -> Edit:
    """Remove from the last axis its part in the span of `directions`, (dim,) or (n, dim); or `keep` only that part."""
    given, _ = held(directions, "project")
    if given.ndim not in (1, 2):
        raise SiteError(
            f"project: expected directions (dim,) or (n, dim), got shape {tuple(given.shape)}",
            hint="directions.reshape(-1, dim) makes a list of them",
        )
    rows = given if given.ndim == 2 else given[None]
    basis = _spanning(rows)

    def projected(old: Any, axes: tuple[str, ...], base: Any) -> Any:
        if old.shape[-1] != base.shape[0]:
            raise SiteError(
                f"project: directions have {base.shape[0]} components, the last axis {axes[-1]} {old.shape[-1]}",
                hint="directions live in the last axis of the site",
            )
        base = like(base, of_fractions(old, "project"), (), "project")
        inside = (old @ namespace(old).conj(base)) @ base.mT
        return inside if keep else old - inside

    shown = f"project({len(rows)} direction{'s' * (len(rows) > 1)}{', keep' * keep})"
    return Edit(shown, projected, (basis,), ("project", keep))


def _spanning(rows: Any) -> Any:
    """An orthonormal basis, (dim, n), of what (n, dim) directions span; gradients flow to torch's."""
    if is_traced(rows):
        raise SiteError(
            "project: how many directions are independent is not known while JAX traces them",
            hint="make the edit outside of jit, grad and vmap, or pass a function of your own: lambda value: ...",
        )
    if framework_of(rows) == "jax":  # which has 64 bits only if told so
        rows = convert(rows, "numpy", copy=False)
    xp = namespace(rows)
    # By singular values, so that directions which depend on each other span what they span, and no axis more.
    wide = xp.complex128 if is_complex(rows) else xp.float64
    left, sizes, _ = xp.linalg.svd(xp.astype(rows, wide).mT, full_matrices=False)
    if not len(sizes) or not sizes.max():
        raise SiteError("project: all directions are zero", hint="pass at least one direction that is not")
    return left[:, sizes > 1e-10 * sizes.max()]


def stop_gradient() -> Edit:
    """Let no gradient through: the value counts as a constant. Outputs stay bitwise the same."""
    return Edit(
        "stop_gradient", lambda old, _: backend_of(old).stop_gradient(old), key=("stop_gradient",), keeps_value=True
    )


def _axis(name: str, axes: Sequence[str]) -> int:
    if name not in axes:
        raise SiteError(f"expected a value with axis {name}, got {' '.join(axes)}", hint="choose another site")
    return list(axes).index(name)


def _averaged(old: Any, axes: tuple[str, ...], name: str) -> Any:
    axis = _axis("batch", axes)
    if old.shape[axis] < 2:
        raise SiteError(
            f"{name}: the mean over a batch of one is the value itself, so nothing would be ablated",
            hint="run a larger batch, or mean(recording) of other prompts",
        )
    xp = namespace(old)
    return xp.broadcast_to(xp.mean(of_fractions(old, name), axis=axis, keepdims=True), old.shape)


def _recorded_mean(value: Value) -> Value:
    """The mean of a recorded value over its examples; the value, where it is one already."""
    return value.mean("batch") if "batch" in value.axes else value


def _check_recording(given: Any, name: str, instead: str) -> None:
    if not isinstance(given, Recording):
        what = "a dict" if isinstance(given, Mapping) else f"a {type(given).__name__}"
        raise SiteError(f"{name}: expected a Recording, got {what}", hint=f"model.record(...) makes one; {instead}")


def _shape(array: Any) -> str:
    if array.shape:
        return f"{tuple(array.shape)}"
    return "a traced number" if is_traced(array) else f"{array.item():g}"


def _unbound(name: str) -> Function:
    def refuse(_: Any, __: tuple[str, ...]) -> Any:
        raise SiteError(f"the edit {name} was not made for a site", hint="hand it to run or record, which do that")

    return refuse
