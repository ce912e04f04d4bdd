"""Patches: what a trigger in an image may look like, and how it is pasted into trusted images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Array


@dataclass(frozen=True, eq=False)
class Patch:
    """Some positions of an image, and what stands there. Both have the shape of one input, without the batch."""

    where: NDArray[np.bool_]
    values: Array
    """anything where `where` is false"""


def paste(inputs: Array, patch: Patch) -> Array:
    """Copies of `inputs` (n, …) that hold the patch, in their own dtype."""
    return np.where(patch.where, patch.values, inputs).astype(inputs.dtype)


def pasted(inputs: Array, patches: Sequence[Patch]) -> Array:
    """`inputs` (n, …) with each patch in turn, (patches · n, …): all inputs with the first patch come first."""
    if not patches:
        return inputs[:0]
    return np.concatenate([paste(inputs, patch) for patch in patches])


@dataclass(frozen=True)
class Family:
    """Squares of one value: the class of harm that a watch at tier I1 knows. It need not hold the one in use.

    Every size of `sizes` at every `stride`-th place from `offset`, in each of `values`, through all channels.
    `spatial` are the two axes of an image that say where, counted from the end: (-2, -1) with the channels first or
    without any, (-3, -2) with the channels last.
    """

    values: tuple[float, ...]
    sizes: tuple[int, ...] = (2,)
    stride: int = 2
    offset: int = 0
    spatial: tuple[int, int] = (-2, -1)

    @property
    def settings(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def patches(self, shape: Sequence[int]) -> list[Patch]:
        """Its patches for images of `shape`, without the batch. Raises WatchError when none fits."""
        return [_filled(where, value) for where in self._places(shape) for value in self.values]

    def scattered(self, shape: Sequence[int], seed: int) -> list[Patch]:
        """The placebos: as many pixels of the same value as each patch has, but drawn from all over the image."""
        rng = np.random.default_rng(seed)
        height, width = self._size(shape)
        made = []
        for where in self._places(shape):
            count = int(self._flat(where).sum())
            chosen = np.zeros(height * width, dtype=bool)
            chosen[rng.choice(height * width, count, replace=False)] = True
            scattered = self._spread(chosen.reshape(height, width), shape)
            made += [_filled(scattered, value) for value in self.values]
        return made

    def _places(self, shape: Sequence[int]) -> list[NDArray[np.bool_]]:
        height, width = self._size(shape)
        found = []
        for size in self.sizes:
            for top in range(self.offset, height - size + 1, self.stride):
                for left in range(self.offset, width - size + 1, self.stride):
                    plane = np.zeros((height, width), dtype=bool)
                    plane[top : top + size, left : left + size] = True
                    found.append(self._spread(plane, shape))
        if not found or not self.values:
            raise WatchError(
                f"expected patches that fit into images of {tuple(shape)}, got sizes {list(self.sizes)} along the "
                f"axes {list(self.spatial)} and {len(self.values)} values",
                hint="smaller sizes; and spatial=(-3, -2) for images with their channels last",
            )
        return found

    def _size(self, shape: Sequence[int]) -> tuple[int, int]:
        if len(shape) < max(-axis for axis in self.spatial):
            raise WatchError(
                f"expected images with the axes {list(self.spatial)}, got inputs of shape {tuple(shape)}",
                hint="inputs are (n, height, width), (n, channels, height, width) or with the channels last",
            )
        return shape[self.spatial[0]], shape[self.spatial[1]]

    def _spread(self, plane: NDArray[np.bool_], shape: Sequence[int]) -> NDArray[np.bool_]:
        """Through all channels."""
        sizes = [1] * len(shape)
        sizes[self.spatial[0]], sizes[self.spatial[1]] = plane.shape
        return np.broadcast_to(plane.reshape(sizes), shape).copy()

    def _flat(self, where: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """One plane of a patch, without its channels."""
        others = tuple(axis for axis in range(where.ndim) if axis - where.ndim not in self.spatial)
        return np.asarray(where.any(others))


def _filled(where: NDArray[np.bool_], value: float) -> Patch:
    return Patch(where, np.full(where.shape, value, dtype=np.float64))
