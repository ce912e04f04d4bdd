"""Erasing classes from activations, whatever number of them, streamed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from darklantern.drawing import Bar, bars
from darklantern.errors import MethodError
from darklantern.methods.batches import batches
from darklantern.methods.directions.gathering import resolved, rows
from darklantern.methods.directions.leace import Eraser, Moments, eraser
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.methods.results import Result
from darklantern.models.edits import Edit
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import is_array, numbers, without_gradients
from darklantern.models.sites import Site
from darklantern.records.findings import Figure


@dataclass(frozen=True, repr=False, eq=False)
class Erased(Result):
    """What takes some classes out of the activations at a site, and how much that moves them."""

    site: Site
    classes: tuple[str, ...]
    eraser: Eraser = field(repr=False)
    moved: float
    """mean squared distance by which activations move, as a share of their variance"""
    by_means: float
    """the same, where the span of the means' differences is projected out instead"""
    count: int
    """of examples"""

    def edit(self) -> Edit:
        """The edit for `model.run(inputs, {site: edit})`."""
        return self.eraser.edit()

    def show(self) -> Picture:
        """How far activations move, against what projecting the means' differences out would move them."""
        items = [
            Bar(label="erased (LEACE)", value=self.moved),
            Bar(label="means projected out", value=self.by_means, control=True),
        ]
        title = f"Erased at {self.site}"
        note = "Mean squared distance by which activations move, as a share of their variance."
        return Picture(bars(items, title=title, unit="of the variance", note=note), title, self.says)

    @property
    def says(self) -> str:
        rank = len(self.eraser.write)
        return f"{len(self.classes)} classes erased at {self.site}: rank {rank}, moves {self.moved:.3g} of the variance"

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (
            Figure(name="rank", value=float(len(self.eraser.write))),
            Figure(name="moved", value=self.moved, unit="share of the variance"),
            Figure(name="moved by projecting means out", value=self.by_means, unit="share of the variance"),
            Figure(name="examples", value=float(self.count)),
        )

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.site,)


def leace(
    model: Model, inputs: Any, labels: Sequence[Any], site: str | Site, *, shrinkage: float = 0.0, at_once: int = 32
) -> Erased:
    """What makes the classes in `labels` linearly undetectable at `site`, moving activations as little as can be.

    `labels` has one for each example: names or numbers of classes, two or more, each of two examples or more. Inputs
    are streamed, and only sums are held, (dim, dim) of them. Exact on these inputs: on them no linear map then does
    better than a constant, and on others as far as their means and covariance are alike. Non-linear ones may still
    find the classes.
    Where examples are not many more than dimensions, their covariance says little of others': `shrinkage`, a share
    from 0 to 1 (0.1, say), draws it towards a multiple of the identity. That erases these as exactly, and on average
    leaves less of the classes in others and moves others less.

    Raises SiteError for sites, MethodError for one class, classes of one example, labels that are none, and for other
    than one label an example. Source: Belrose et al. 2023.
    """
    check_opened(model)
    sites = resolved(model, site)
    if len(sites) > 1:
        raise MethodError(f"{site} stands for {len(sites)} sites", hint="erase at one after the other")
    classes, numbered = _classes(labels)
    with without_gradients(), making("leace", model) as under_way:
        under_way.saw([str(each) for each in labels])
        moments, axis, first = None, "", 0
        for batch in tracked(batches(inputs, at_once), "recording"):
            under_way.saw(batch)
            value = model.record(batch, sites[0], stop=True)[sites[0]]
            values, axis = rows(value).astype(np.float64), value.axes[-1]
            moments = moments or Moments(values.shape[1], len(classes))
            _check(first + len(values) <= len(numbered), first + len(values), labels)
            if not np.isfinite(values).all():
                raise MethodError(f"numbers at {sites[0]} are not finite", hint="the mean of them would not be, either")
            moments.add(values, numbered[first : first + len(values)])
            first += len(values)
        _check(moments is not None and first == len(numbered), first, labels)
        assert moments is not None
        found = eraser(moments, axis, shrinkage)
    moved = _moved(moments, found.read @ found.write), _moved(moments, _projection(moments.with_labels))
    return Erased(sites[0], tuple(map(str, classes)), found, *moved, first, made=under_way.made())


def _classes(labels: Sequence[Any]) -> tuple[Any, Any]:
    """Names of the classes, and the number of each example's. Raises MethodError for what are no classes."""
    found = np.asarray(numbers(labels) if is_array(labels) else labels)
    if found.ndim != 1 or found.dtype.kind not in "biufU" or (found.dtype.kind == "f" and np.isnan(found).any()):
        raise MethodError(
            f"expected a class for each example, got {found.dtype} of shape {found.shape}",
            hint="names, whole numbers or truth values: [True, False, …]",
        )
    classes, numbered, counts = np.unique(found, return_inverse=True, return_counts=True)
    if counts.min(initial=2) < 2:
        raise MethodError(
            f"class {classes[counts.argmin()]} has one example of {len(found)}",
            hint="labels are classes: round or bin numbers that vary continuously",
        )
    return [str(each) for each in classes], numbered


def _check(fits: bool, count: int, labels: Sequence[Any]) -> None:
    if not fits:
        raise MethodError(
            f"{len(labels)} labels for {count} examples",
            hint="one label for each example, in the order of the inputs",
        )


def _projection(directions: Any) -> Any:
    """Onto what columns span."""
    left, sizes, _ = np.linalg.svd(directions, full_matrices=False)
    left = left[:, sizes > 1e-10 * sizes[0]]
    return left @ left.T


def _moved(moments: Moments, taken: Any) -> float:
    """E‖(x − μ) taken‖² as a share of E‖x − μ‖²."""
    return float(np.trace(taken.T @ moments.covariance @ taken) / np.trace(moments.covariance))
