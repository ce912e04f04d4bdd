"""Ablation: what becomes of a behaviour without a part of the model?"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError, SiteError
from darklantern.methods.aligned import is_stream, pairs
from darklantern.methods.making import Making, making
from darklantern.methods.metrics import bound, number
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.ablated import Ablated
from darklantern.methods.patching.replacing import Subspace, drawn, edits_for, means, order_of
from darklantern.methods.patching.suffixes import Suffixes
from darklantern.methods.progress import tracked
from darklantern.methods.repeating import check_repeats
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

WAYS = ("zero", "mean", "resample")
Replacements = Mapping[Site, Value]
"""what is put at each whole site; empty for zeros"""


def ablate(
    model: Model,
    inputs: Any,
    sites: str | Site | Sequence[str | Site],
    metric: Any,
    how: str = "zero",
    *,
    reference: Any = None,
    seed: int | None = 0,
    draws: int = 5,
    basis: Any = None,
    floor: float | None = None,
) -> Ablated:
    """What `metric` changes by without each of `sites`, one at a time, and without all of them together.

    An axis that a site pins to `*` is gone through: `layers.*.attn:z[head=*]` ablates each head by itself. The kinds
    differ, so the result's name says which it is:

    - `zero`: zeros are put there.
    - `mean`: the mean over the examples of `reference`, position by position; over those of `inputs` where it is None.
    - `resample`: what other examples have there, drawn by `seed` from `reference`, `draws` times; from `inputs` where
      it is None, never an example's own. With `seed=None` example i gets what example i of `reference` has.

    With `basis`, directions (n, dim), only what lies in their span along the last axis is replaced. `floor` is the
    metric of knowing nothing; with it changes are shares of the whole too. `reference` may be a stream of batches for
    `mean`.

    Costs a run for each cell and draw, from the site's own block on where the model can start there, and one for all.
    Holds the values of all sites for one batch. Source: Wang et al. 2022 (mean, resample); Chan et al. 2022, causal
    scrubbing.

    Raises MethodError for a single example to average or draw from, and for numbers that are not finite; SiteError for
    sites and shapes that do not fit.
    """
    check_opened(model)
    _check(how, draws, seed, reference, inputs)
    if floor is not None and not np.isfinite(floor):
        raise MethodError(f"the floor is a metric, got {floor}", hint="what the metric is at chance, or leave it out")
    resampled = how == "resample" and seed is not None
    with without_gradients(), making(f"{how} ablation", model, seed if resampled else None) as under_way:
        under_way.saw(*(each for each in (basis, reference) if each is not None and not is_stream(each)))
        ((inputs, _),) = pairs(model, inputs, None)
        under_way.saw(inputs)
        bench = _Bench.of(model, inputs, metric, sites, None if basis is None else Subspace.spanned(basis))
        reference = _seen(reference, under_way) if is_stream(reference) else reference
        rounds = [bench.changes(each) for each in _replacements(bench, how, reference, seed, draws)]
    cells = np.array([each for each, _ in rounds])
    joint = np.array([each for _, each in rounds])
    if not np.isfinite([bench.intact, *np.ravel(cells), *joint]).all():
        raise MethodError("the metric is not finite under ablation", hint="a metric that is finite everywhere")
    several = len(rounds) > 1
    return Ablated(
        how=how,
        changes=bench.values(cells.mean(0)),
        spreads=bench.values(cells.std(0, ddof=1)) if several else (),
        intact=bench.intact,
        joint=float(joint.mean()),
        joint_spread=float(joint.std(ddof=1)) if several else None,
        draws=len(rounds),
        directions=None if bench.subspace is None else len(bench.subspace.rows),
        floor=floor,
        made=under_way.made(),
    )


@dataclass(frozen=True)
class _Bench:
    """The intact run, and all that ablated ones share with it."""

    model: Model
    inputs: Any
    metric: Any
    subspace: Subspace | None
    wanted: tuple[Site, ...]
    run: Recording
    suffixes: Suffixes
    intact: float

    @classmethod
    def of(cls, model: Model, inputs: Any, metric: Any, sites: Any, subspace: Subspace | None) -> "_Bench":
        named = [sites] if isinstance(sites, str | Site) else list(sites)
        wanted = tuple(dict.fromkeys(site for name in named for site in model.plan(name).sites))
        if not wanted:
            raise SiteError("expected at least one site to ablate, got none", hint='"layers.*.attn:z[head=*]"')
        wholes = tuple(dict.fromkeys(site.whole for site in wanted))
        suffixes = Suffixes(model, inputs, wholes)
        run = model.record(inputs, *dict.fromkeys([*wholes, *suffixes.besides]))
        check_repeats(model, inputs, run.output)
        measured = bound(metric, model, inputs)
        return cls(model, inputs, measured, subspace, wanted, run, suffixes, number(measured, run.output))

    @property
    def wholes(self) -> tuple[Site, ...]:
        return tuple(dict.fromkeys(site.whole for site in self.wanted))

    def changes(self, put_there: Replacements) -> tuple[list[float], float]:
        """Of the metric, with each cell ablated; and with all."""
        edits = {cell: edits_for(cell, put_there.get(cell.whole), self.subspace) for cell in self.cells()}
        found = []
        for cell, edit in tracked(edits.items(), "ablating", len(edits)):
            start, place = self.suffixes.start(cell, self.run)
            found.append(number(self.metric, self.model.run(start, {place: edit})) - self.intact)
        together: dict[str | Site, Any] = dict(edits.items())
        return found, number(self.metric, self.model.run(self.inputs, together)) - self.intact

    def cells(self) -> Iterator[Site]:
        """Each site, once for each index of the axes that it pins to `*`."""
        for site in self.wanted:
            axes, shape = self._starred(site)
            for index in itertools.product(*map(range, shape)):
                yield _bare(site).at(**dict(zip(axes, index, strict=True)))

    def values(self, numbers: NDArray[np.float64]) -> tuple[Value, ...]:
        """Numbers of all cells, by site."""
        made, start = [], 0
        for site in self.wanted:
            axes, shape = self._starred(site)
            size = int(np.prod(shape, dtype=int))
            array = numbers[start : start + size].reshape(shape)
            array.setflags(write=False)
            made.append(Value(_bare(site), array, axes))
            start += size
        return tuple(made)

    def _starred(self, site: Site) -> tuple[tuple[str, ...], tuple[int, ...]]:
        value = self.run[site.whole]
        axes = tuple(axis for axis, pin in site.select if pin == "*")
        if missing := [axis for axis in axes if axis not in value.axes]:
            raise SiteError(f"{site} has axes {' '.join(value.axes)}", hint=f"no {missing[0]} to go through")
        sizes = {
            axis: min([size, *(value.own_lengths(axis) or ())])
            for axis, size in zip(value.axes, value.shape, strict=True)
        }
        return axes, tuple(sizes[axis] for axis in axes)


def _replacements(bench: _Bench, how: str, reference: Any, seed: int | None, draws: int) -> Iterator[Replacements]:
    """What to put there, once for each draw."""
    model, wholes = bench.model, bench.wholes
    if how == "zero":
        yield {}
    elif how == "mean":
        batches = [bench.inputs] if reference is None else (each for each, _ in pairs(model, reference, None))
        yield means(model, batches, wholes)
    else:
        pool = bench.run
        if reference is not None:
            ((given, _),) = pairs(model, reference, None)
            pool = model.record(given, *wholes)
        count, size = (each[wholes[0]].shape[each[wholes[0]].axes.index("batch")] for each in (bench.run, pool))
        if seed is None:
            if count != size:
                raise MethodError(f"{size} partners for {count} examples", hint="one for each, or a seed to draw by")
            yield drawn(pool, wholes, range(count))
            return
        rng = np.random.default_rng(seed)
        for _ in range(draws):
            yield drawn(pool, wholes, order_of(count, size, reference is None, rng))


def _seen(batches: Iterable[Any], under_way: Making) -> Iterator[Any]:
    for batch in batches:
        under_way.saw(batch)
        yield batch


def _bare(site: Site) -> Site:
    return replace(site, select=tuple((axis, pin) for axis, pin in site.select if pin != "*"))


def _check(how: str, draws: int, seed: int | None, reference: Any, inputs: Any) -> None:
    if how not in WAYS:
        raise MethodError(f"expected a way to ablate, got {how!r}", hint=f"one of {', '.join(WAYS)}")
    if how == "zero" and reference is not None:
        raise MethodError("zeros need no reference inputs", hint='how="mean" or "resample" use them')
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise MethodError(f"expected 1 or more draws, got {draws!r}", hint="draws=5")
    if how == "resample" and seed is None and reference is None:
        raise MethodError("without a seed each example needs a partner", hint="reference= has them, in order")
    if is_stream(inputs) or (how == "resample" and is_stream(reference)):
        raise MethodError("expected one batch, got a stream of them", hint="reference= of a mean may be a stream")
