"""Gradients with respect to sites: of what is added there, which is nothing.

Within the user's own `jit`, `vmap` and `grad` all of it is traced, the metric's value too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from darklantern.errors import SiteError
from darklantern.models.edits import put
from darklantern.models.gradients import Gradients
from darklantern.models.on_jax.internals import Tracer
from darklantern.models.on_jax.nested import custom_refused
from darklantern.models.on_jax.planning import Plan, Prepared
from darklantern.models.on_jax.program import SHIFT
from darklantern.models.on_jax.running import Call, Traced, check_fired, compiled, joined, numbers
from darklantern.models.passes import note
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

Metric = Callable[[Any], Any]
"""a model's output → one number, differentiable"""
Tokens = Sequence[Sequence[str]] | None


def differentiated(
    traced: Traced, plan: Plan, call: Call, metric: Callable[[Any, Recording], Any], tokens: Tokens
) -> Gradients:
    """The gradients of `metric(output, values)` that `plan` asks for."""
    ready, function, arguments = _function(traced, plan, call, tokens)

    def number(shifts: Any) -> Any:
        outs, values, flags, _ = function(*arguments, shifts, {})
        recording = _recording(ready, values, traced.trace.output.back(outs), tokens)
        found = _measured(metric, recording)
        return found, (values, flags)

    note(forward=1, backward=1)
    (found, (values, flags)), gradients = jax.value_and_grad(number, has_aux=True)(_shifts(ready))
    check_fired(ready.program, flags)
    kept = _recording(ready, values, None, tokens)
    rows = []
    for row in ready.rows:
        if row.site in plan.grad:
            each = [gradients[step][at] for step, at in _places(ready, row.site)]
            rows.append((row.site, joined(row, each), row.axes))
    value: Any = found if isinstance(found, Tracer) else float(found)
    return Gradients(value, Recording(rows, None, tokens), kept)


def carried(
    traced: Traced, plan: Plan, call: Call, tangents: Mapping[Site, Any], tokens: Tokens, sites: Sequence[Any]
) -> Recording:
    """What `tangents` at some sites become at others."""
    ready, function, arguments = _function(traced, plan, call, tokens)
    shifts = _shifts(ready)
    moved = dict(shifts)
    for site, tangent in tangents.items():
        for step, at in _places(ready, site):
            one = ready.program.steps[step]
            zero = jnp.zeros(one.shape, one.point.aval.dtype)
            moved[step] = moved[step].at[at].set(put(tangent)(zero, one.axes))

    def run(shifts: Any) -> Any:
        outs, values, flags, _ = function(*arguments, shifts, {})
        return values, (outs, flags)

    note(forward=1)
    _, forward, (outs, flags) = jax.jvp(run, (shifts,), (moved,), has_aux=True)
    check_fired(ready.program, flags)
    wanted = {site for site in plan.record if site not in plan.grad} | (_asked(traced, sites) & plan.grad)
    rows = [
        (row.site, joined(row, each), row.axes)
        for row, each in zip(ready.rows, forward, strict=True)
        if row.site in wanted
    ]
    return Recording(rows, traced.trace.output.back(outs), tokens)


def product(values: Recording, cotangents: Mapping[Site, Any]) -> Any:
    """The inner product of values with cotangents."""
    pairs = ((values[site], each) for site, each in cotangents.items())
    return sum(jnp.sum(put(each)(value.array, value.axes) * value.array) for value, each in pairs)


def _asked(traced: Traced, sites: Sequence[Any]) -> set[Site]:
    return {site for name in sites for site, _ in traced.naming.resolve(name)}


def _function(traced: Traced, plan: Plan, call: Call, tokens: Tokens) -> tuple[Prepared, Any, tuple[Any, ...]]:
    ready = traced.prepared(plan, None if tokens is None else tuple(map(len, tokens)))
    _refuse_custom(traced, ready)
    return ready, compiled(traced, ready), (*call.arguments(traced), numbers(ready.program))


def _refuse_custom(traced: Traced, ready: Prepared) -> None:
    """Raises SiteError where a site lies in a function with a derivative of its own, which opening it up would drop."""
    if traced.custom:
        return
    names = dict(traced.trace.outline.custom)
    for step in ready.program.steps:
        if step.point.custom:
            error = custom_refused(names.get(step.point.custom[0], "a function around it"))
            error.add_note(f"asked for: {step.actions[0].site}")
            raise error


def _shifts(ready: Prepared) -> dict[int, Any]:
    """What is added at each site whose gradient is asked for: zeros, for each of its actions."""
    return {
        number: jnp.zeros((step.total, *step.shape) if step.every else (len(step.actions), *step.shape),
                          step.point.aval.dtype)
        for number, step in enumerate(ready.program.steps)
        if step.kind == SHIFT
    }  # fmt: skip


def _places(ready: Prepared, site: Site) -> list[tuple[int, Any]]:
    """The steps and places of what is added at a site; of all turns of a loop, all of them."""
    found = []
    for action, (step, at) in ready.place.items():
        if action.kind == SHIFT and action.site == site:
            found.append((step, slice(None) if ready.program.steps[step].every else at))
    return found


def _recording(ready: Prepared, values: Sequence[Sequence[Any]], output: Any, tokens: Tokens) -> Recording:
    rows = [(row.site, joined(row, each), row.axes) for row, each in zip(ready.rows, values, strict=True)]
    return Recording(rows, output, tokens)


def _measured(metric: Callable[[Any, Recording], Any], recording: Recording) -> Any:
    """One number, differentiable. Raises SiteError for what is none."""
    found = metric(recording.output, recording)
    shape = getattr(found, "shape", None)
    if shape is None and not isinstance(found, int | float):
        raise SiteError(
            f"the metric must give one number, got {type(found).__name__}", hint="compute it with jax.numpy"
        )
    if shape:
        raise SiteError(f"the metric must give one number, got shape {tuple(shape)}", hint="sum or average it")
    leaves = jax.tree.leaves(recording.output)
    depends = any(isinstance(leaf, Tracer) for leaf in leaves)  # else the model's own derivative is 0
    if depends and not isinstance(found, Tracer):
        raise SiteError(
            "the metric has no gradient: it does not depend on what the model computes",
            hint="compute it from the output with jax.numpy, without NumPy or float()",
        )
    return found
