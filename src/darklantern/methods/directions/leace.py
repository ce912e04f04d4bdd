"""LEACE: the least change of activations after which no linear map can tell classes apart. In closed form.

Source: Belrose et al. 2023, LEACE: Perfect Linear Concept Erasure in Closed Form, theorems 4.2 and 4.3: of all affine
maps after which activations and labels do not covary, this moves activations least, in mean square, by any positive
semi-definite inner product. Projecting the difference of means out does not covary either, and moves them more.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError, SiteError
from darklantern.methods.directions.probes import Floats
from darklantern.models.edits import Edit
from darklantern.models.fitting import like
from darklantern.models.shim import namespace

_ALIKE = 1e-10
"""of the largest: below it a variance or a singular value is rounding"""


class Moments:
    """Mean and covariance of activations and one-hot labels, batch after batch (Chan et al. 1983)."""

    def __init__(self, dim: int, classes: int) -> None:
        self.count = 0
        self._mean = np.zeros(dim + classes)
        self._spread = np.zeros((dim, dim + classes))
        self._dim, self._classes = dim, classes

    def add(self, values: Floats, labels: Any) -> None:
        """Activations (example, dim), and the number of each one's class."""
        rows = np.concatenate([values, np.eye(self._classes)[labels]], axis=1)
        mean, new = rows.mean(0), len(rows)
        step, total = mean - self._mean, self.count + new
        centred = rows - mean
        self._spread += centred[:, : self._dim].T @ centred
        self._spread += np.outer(step[: self._dim], step) * (self.count * new / total)
        self._mean += step * (new / total)
        self.count = total

    @property
    def mean(self) -> Floats:
        return self._mean[: self._dim]

    @property
    def shares(self) -> Floats:
        """How often each class occurs."""
        return self._mean[self._dim :]

    @property
    def covariance(self) -> Floats:
        return self._spread[:, : self._dim] / self.count

    @property
    def with_labels(self) -> Floats:
        """The covariance of activations and labels, (dim, class)."""
        return self._spread[:, self._dim :] / self.count


@dataclass(frozen=True, eq=False)
class Eraser:
    """x → x − (x − centre) · read · write, which is all that LEACE does."""

    read: Floats
    """(dim, rank): what is measured"""
    write: Floats
    """(rank, dim): what is taken away for it"""
    centre: Floats
    """(dim,), the mean, which stays"""
    axis: str
    """the axis that has the dimensions"""

    def __call__(self, values: Floats) -> Floats:
        """Of activations whose last axis has the dimensions."""
        return values - ((values - self.centre) @ self.read) @ self.write

    def edit(self) -> Edit:
        """It as an edit, for `model.run(inputs, {site: edit})`. Computes in 32 bits at least."""
        operands = (self.read, self.write, self.centre)
        return along(Edit(f"erase(rank {len(self.write)})", _erased, operands), self.axis)


def along(edit: Edit, axis: str) -> Edit:
    """`edit`, which acts on the last axis, refused where that is another one than `axis`, be it as long or not."""
    size = edit.operands[0].shape[0]

    def checked(old: Any, axes: tuple[str, ...], *operands: Any) -> Any:
        if axes[-1:] != (axis,) or old.shape[-1] != size:
            raise SiteError(
                f"{edit.name}: found along {axis}, of {size}, and the last axis here is {axes[-1]}, of {old.shape[-1]}",
                hint="use it at the site that it was found at, or where the same axis comes last",
            )
        return edit.function(old, axes, *operands)

    return replace(edit, function=checked, key=(edit.key, axis))


def _erased(old: Any, _: tuple[str, ...], read: Any, write: Any, centre: Any) -> Any:
    xp = namespace(old)
    wide = old if xp.finfo(old.dtype).bits >= 32 else xp.astype(old, xp.float32)
    read, write, centre = (like(each, wide, (), "erase") for each in (read, write, centre))
    return xp.astype(wide - ((wide - centre) @ read) @ write, old.dtype)


def eraser(moments: Moments, axis: str, shrinkage: float = 0.0) -> Eraser:
    """From means and covariances; that of activations drawn by a share towards a multiple of the identity.

    Labels and activations do not covary afterwards whatever the share is: 0 moves the examples least, 1 projects the
    means' differences out. Raises MethodError for one class, and where labels and activations do not covary before.
    """
    if not 0 <= shrinkage <= 1:
        raise MethodError(f"a covariance is shrunk by a share from 0 to 1, got {shrinkage}", hint="shrinkage=0.1")
    if (moments.shares > 0).sum() < 2:
        raise MethodError("all examples are of one class, so there is nothing to erase", hint="two classes or more")
    sizes, basis = np.linalg.eigh(moments.covariance)
    sizes = (1 - shrinkage) * sizes + shrinkage * sizes.mean()
    kept = sizes > _ALIKE * sizes[-1]
    basis, root = basis[:, kept], np.sqrt(sizes[kept])
    # 1. Whitened, each direction counts by how much of the spread it is.
    left, singular, _ = np.linalg.svd((basis.T @ moments.with_labels) / root[:, None], full_matrices=False)
    # Where labels and activations covary by rounding alone, the singular values are about that.
    left = left[:, singular > max(_ALIKE * singular[:1].sum(), 1e-12)]
    if not left.shape[1]:
        raise MethodError("the classes have the same mean, so there is nothing to erase", hint="other labels or sites")
    # 2. There, what covaries with the labels is projected out; then back.
    read, write = (basis / root) @ left, left.T @ (basis * root).T
    return Eraser(read, write, moments.mean, axis)
