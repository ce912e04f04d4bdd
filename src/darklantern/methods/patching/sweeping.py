"""Activation patching: which sites, put back to what they were, restore a behaviour?"""

import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from darklantern.errors import SiteError
from darklantern.methods.aligned import aligned, one_pair
from darklantern.methods.making import making
from darklantern.methods.metrics import Metric, bound, number
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.suffixes import Suffixes
from darklantern.methods.patching.sweeps import Sweep, told
from darklantern.models.edits import take
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

Sizes = Mapping[Site, Mapping[str, int]]
"""how long each axis of each site is"""


def sweep(
    model: Model,
    clean: Any,
    corrupt: Any,
    sites: Sequence[str | Site],
    metric: Metric,
    positions: Sequence[int] | None = None,
    at_once: int = 1,
) -> Sweep:
    """Patch one thing at a time from the run on `clean` into the run on `corrupt`, and see what `metric` says.

    What is swept, in the columns, is the axis that the sites pin to `*`: `["layers.*.attn:z[head=*]"]` gives layers ×
    heads, each at all positions, and with `pos=-1` besides at the last alone. Sites that pin no axis so are swept
    over `positions`, or over all that both inputs have (of prompts that differ in length, those that all have). With
    `positions` and `head=*`, each head is a row. A site that pins `pos` to an index is patched there, one column.

    `metric` turns a model's output for the whole batch into a number. Effects are shares: 0 where a patch leaves it as
    on `corrupt`, 1 where it becomes that on `clean`.

    Costs a run for each cell, from the site's own block on where the model can start there. With `at_once`, up to
    so many cells of a row share one run: faster, and the last bit may round differently; `metric` still gets the
    output of one cell at a time. Cells run one by one where the model's output is not that of separate examples.
    Inputs must be aligned: position i of one means position i of the other. Prompts given as text are checked to
    have as many tokens as their partners, as `model.batch(..., align=...)` does. Source: Vig et al. 2020; Meng et
    al. 2022, causal tracing.

    Raises SiteError for sites that do not go together, where clean and corrupt give the same metric, and for a model
    in training mode whose runs differ, as with dropout.
    """
    check_opened(model)
    with without_gradients(), making("sweep", model) as under_way:
        under_way.saw(clean, corrupt)
        found = _swept_over(model, clean, corrupt, sites, metric, positions, at_once)
    return Sweep(*found, made=under_way.made())


def _swept_over(
    model: Model,
    clean: Any,
    corrupt: Any,
    sites: Sequence[str | Site],
    metric: Metric,
    positions: Sequence[int] | None,
    at_once: int,
) -> tuple[Any, ...]:
    # 1. What to patch: rows of sites, columns along one axis.
    _check(sites, metric, positions, at_once)
    clean, corrupt = aligned(model, clean, corrupt)
    on_clean, metric = bound(metric, model, clean), bound(metric, model, corrupt)
    wanted = [site for name in sites for site in model.plan(name).sites]
    wholes = tuple(dict.fromkeys(site.whole for site in wanted))
    axis = "pos" if positions is not None else _swept(wanted)
    suffixes = Suffixes(model, corrupt, wholes)
    source = model.record(clean, *dict.fromkeys([*wholes, *suffixes.besides]))
    other, sizes = _measured(model, corrupt, wholes)
    rows = [row for site in wanted for row in _rows(site, axis, sizes[site.whole])]
    columns = _columns(wanted, axis, positions, source, other, sizes)

    # 2. What there is to restore.
    high, low = number(on_clean, source.output), number(metric, other.output)
    _check_effect(high, low)
    _check_repeats(model, corrupt, metric, other.output, high - low)

    # 3. Each cell: a run from the site's own block on.
    effects, patches = [], model.patches(source, at_once)
    for row in rows:
        start, place = suffixes.start(row, source)
        cells = [place.at(**{axis: index}) for index in columns] if axis else [place]
        outputs = patches.outputs(start, cells, sizes[row.whole].get("batch", 0))
        patched = [number(metric, output) for output in outputs]
        effects.append(tuple((value - low) / (high - low) for value in patched))
    named = _tokens(wanted, columns, source, other) if axis == "pos" else ()
    return tuple(rows), axis, columns, tuple(effects), high, low, named


def patch(model: Model, inputs: Any, source: Recording, sites: Sequence[str | Site], metric: Metric) -> float:
    """The metric, a number, of a run on `inputs` in which `sites` hold what they held in `source`.

    Raises SiteError for no list of sites.
    """
    check_opened(model)
    _check(sites, metric, None, 1)
    inputs, _ = one_pair(model, inputs, None)
    edits: Mapping[str | Site, Any] = {site: take(source) for site in sites}
    return number(bound(metric, model, inputs), model.run(inputs, edits))


def _check(sites: Sequence[str | Site], metric: Metric, positions: Any, at_once: int) -> None:
    if isinstance(sites, str | Site):
        raise SiteError(f"expected a list of sites, got {str(sites)!r}", hint=f"[{str(sites)!r}]")
    if not sites:
        raise SiteError("expected at least one site to patch, got none", hint='["layers.*:out"]')
    if not callable(metric):
        raise SiteError(
            f"expected a function from the model's output to a number as metric, got {type(metric).__name__}",
            hint="sweep(model, clean, corrupt, sites, metric, positions)",
        )
    if positions is not None:
        _check_positions(positions)
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise SiteError(f"at_once must be 1 or more cells in a run, got {at_once!r}", hint="at_once=16, say")


def _check_positions(positions: Any) -> None:
    try:
        numbers = [operator.index(each) for each in positions]
    except TypeError as error:
        raise SiteError(
            f"expected a list of positions, got {type(positions).__name__} {positions!r:.60}",
            hint=f"positions=[{positions}]" if isinstance(positions, int) else "whole numbers: positions=[8, -1]",
        ) from error
    if not numbers:
        raise SiteError("expected at least one position, got none", hint="leave positions out for all of them")


def _check_effect(clean: float, corrupt: float) -> None:
    if not math.isfinite(clean) or not math.isfinite(corrupt):
        raise SiteError(
            f"the metric is {clean:g} on the clean inputs and {corrupt:g} on the corrupt ones",
            hint="effects are shares of their difference, which takes finite numbers",
        )
    if clean == corrupt:
        raise SiteError(
            f"clean and corrupt inputs give the same metric, {clean:g}, so there is no effect to restore",
            hint="choose inputs between which the behaviour differs; ablate(...) needs no other inputs",
        )


def _check_repeats(model: Model, corrupt: Any, metric: Metric, output: Any, effect: float) -> None:
    """Raises SiteError for a model in training mode that does not return the same, `output`, once more."""
    found = model.rerun(corrupt, output)
    if found is None:
        return
    again, near = found
    one, two = number(metric, output), number(metric, again)
    # Whatever may round differently is far below this share of the effect. All of the output is looked at besides: few
    # numbers reach the metric, and dropout may have spared them twice.
    if not abs(one - two) <= 1e-4 * abs(effect) or not near:
        raise SiteError(
            f"two runs on the corrupt inputs differ, with metrics {one:g} and {two:g}, so effects would be noise",
            hint="the model is in training mode, where dropout draws anew in each run: model.eval() before the sweep",
        )


def _swept(sites: Sequence[Site]) -> str:
    """The axis that all of `sites` are swept over."""
    axes = {_own(site): site for site in sites}
    if len(axes) > 1:
        (one, site), (two, other), *_ = axes.items()
        raise SiteError(
            f"{site} is swept over {one or 'nothing'} and {other} over {two or 'nothing'}: no one table holds both",
            hint="sweep them one after the other, or pass positions",
        )
    return next(iter(axes))


def _own(site: Site) -> str:
    starred = [axis for axis, pin in site.select if pin == "*"]
    if not starred:
        return "" if any(axis == "pos" for axis, _ in site.select) else "pos"
    return "pos" if "pos" in starred else starred[-1]


def _measured(model: Model, inputs: Any, sites: Sequence[Site]) -> tuple[Recording, Sizes]:
    """A run on `inputs` that keeps how large the values at `sites` are, not the values."""
    sizes: dict[Site, dict[str, int]] = {}

    def measure(value: Value) -> Any:
        sizes[value.site] = dict(zip(value.axes, value.shape, strict=True))
        return value.array.reshape(-1)[:1]

    return model.record(inputs, *sites, reduce=measure), sizes


def _rows(site: Site, axis: str, sizes: Mapping[str, int]) -> Iterator[Site]:
    """`site` once for each index of the axes that it pins to `*`, all but that of the columns."""
    starred = [name for name, pin in site.select if pin == "*"]
    kept = replace(site, select=tuple((name, pin) for name, pin in site.select if name not in starred))
    for name in {*starred, axis} - {""}:
        if name not in sizes:
            raise SiteError(
                f"{site} has axes {' '.join(sizes)}, so it cannot be swept over {name}",
                hint="pin the axis to sweep to *, such as [head=*]",
            )
    others = [name for name in starred if name != axis]
    for numbers in itertools.product(*(range(sizes[name]) for name in others)):
        yield kept.at(**dict(zip(others, numbers, strict=True)))


def _columns(
    sites: Sequence[Site],
    axis: str,
    positions: Sequence[int] | None,
    clean: Recording,
    corrupt: Recording,
    sizes: Sizes,
) -> tuple[int, ...]:
    """What to count through along `axis`; a single 0 where there is none."""
    if positions is not None:
        return tuple(map(operator.index, positions))
    if clean.lengths and corrupt.lengths and clean.lengths != corrupt.lengths:
        raise SiteError(
            f"the clean prompts have {_listed(clean.lengths)} tokens and the corrupt ones {_listed(corrupt.lengths)}, "
            "so positions do not correspond",
            hint="model.batch(corrupt, align=clean) shows where; or name positions that mean the same in both",
        )
    if not axis:
        return (0,)
    counts = {site: min(sizes[site.whole][axis], _count(clean[site.whole], axis)) for site in sites}
    if len(set(counts.values())) > 1:
        one, two = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        raise SiteError(
            f"{one} has {counts[one]} along {axis} and {two} {counts[two]}, which no one table holds",
            hint="sweep them one after the other" + ", or pass positions" * (axis == "pos"),
        )
    return tuple(range(next(iter(counts.values()))))


def _count(value: Value, axis: str) -> int:
    """How many indices all examples have."""
    return min([value.shape[value.axes.index(axis)], *(value.own_lengths(axis) or ())])


def _tokens(
    sites: Sequence[Site], positions: Sequence[int], clean: Recording, corrupt: Recording
) -> tuple[tuple[str, str], ...]:
    """The tokens at `positions`, where these count the tokens that the model was given."""
    if clean.tokens is None or corrupt.tokens is None or clean.lengths != corrupt.lengths:
        return ()
    counted = all(clean[site.whole].lengths for site in sites)
    return told(clean.tokens, corrupt.tokens, positions) if counted else ()


def _listed(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths))
