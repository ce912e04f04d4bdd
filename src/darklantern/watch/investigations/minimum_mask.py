"""Which small patch would make the model say one class of every image? (Neural Cleanse, Wang et al. 2019)"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.models import shim
from darklantern.models.as_function import as_function
from darklantern.models.opened import Model
from darklantern.watch.examples import Array, Examples
from darklantern.watch.formulas import Floats
from darklantern.watch.investigations.material import cross_entropy, placed

GOAL = 0.99
"""share of images that must become the target before the mask is made to shrink"""
CHECKED = 5
"""steps between two looks at how many do"""
FACTOR = 1.5
"""by which the price of the mask's size goes up or down then"""
UNUSUAL = 2.0
"""anomaly index above which a small mask is called an outlier, as in the paper"""


@dataclass(frozen=True)
class Mask:
    """A patch that turns images into one class."""

    target: int
    where: Floats
    """how much of each pixel is replaced, from 0 to 1, of an input's shape; alike in all channels"""
    values: Floats
    """what stands there, of an input's shape"""
    size: float
    """sum of `where` over the pixels, one channel counted"""
    success: float
    """share of the images of other classes that become the target"""

    def __str__(self) -> str:
        return f"class {self.target}: {self.size:.1f} pixels turn {self.success:.0%} of images"


@dataclass(frozen=True)
class Masks:
    """The minimum mask of each class, and which of them is unusually small."""

    masks: tuple[Mask, ...]

    @property
    def indices(self) -> NDArray[np.float64]:
        """How far each mask is smaller than the median, in 1.4826 · median absolute deviations; larger ones below 0.

        A class that nothing turns has no mask, and the index minus infinity.
        """
        sizes = np.array([mask.size if mask.success >= GOAL / 2 else np.inf for mask in self.masks])
        found = sizes[np.isfinite(sizes)]
        if not len(found):
            return np.full(len(sizes), -np.inf)
        middle = float(np.median(found))
        spread = 1.4826 * float(np.median(np.abs(found - middle)))
        # Where half of the masks or more are of one size, any other stands out by as much as it is smaller.
        return (middle - sizes) / (spread or 1.0)

    @property
    def suspects(self) -> tuple[Mask, ...]:
        """Those whose index is above `UNUSUAL`, smallest first."""
        found = [mask for mask, index in zip(self.masks, self.indices, strict=True) if index > UNUSUAL]
        return tuple(sorted(found, key=lambda mask: mask.size))


def minimum_mask(
    model: Model,
    examples: Examples,
    target: int,
    steps: int = 200,
    spatial: tuple[int, int] = (-2, -1),
    price: float = 1e-3,
    rate: float = 0.1,
    seed: int = 0,
) -> Mask:
    """The smallest mask found whose patch makes the model say `target` of images of other classes.

    Minimises cross-entropy + price · mask size over the mask and the patch by Adam; the price rises while `GOAL` of
    the images become the target, and falls otherwise. `spatial` are the axes of height and width, counted from the end.
    Costs steps forward and backward passes over the images, and a fifth of that forward. The model runs in evaluation
    mode, on a copy of its weights, without its edits. Raises WatchError for no image of another class.
    """
    images = examples.inputs if examples.targets is None else examples.inputs[examples.targets != target]
    if images.ndim < 3 or not len(images) or len(np.unique(images)) < 2:
        raise WatchError(
            f"expected images (n, height, width) with or without channels, of other classes than {target}, got "
            f"{images.shape}",
            hint="give trusted images of all classes, as the loader yields them",
        )
    function = as_function(model)
    backend = shim.backend(model.framework)
    xp = backend.xp
    given = placed(images.astype(np.float32), function.weights)
    low, high = float(images.min()), float(images.max())
    shape = images.shape[1:]
    plane = tuple(size if axis - len(shape) in spatial else 1 for axis, size in enumerate(shape))
    answers = placed(np.full(len(images), target), function.weights)

    def worn(params: Any) -> tuple[Any, Any]:
        return (xp.tanh(params["where"]) + 1) / 2, low + (high - low) * (xp.tanh(params["values"]) + 1) / 2

    def said(params: Any, inputs: Any) -> Any:
        where, values = worn(params)
        return function.call(function.weights, (1 - where) * inputs + where * values)

    def cost(params: Any, inputs: Any, price: Any) -> Any:
        return cross_entropy(said(params, inputs), answers) + price * xp.sum(worn(params)[0])

    def descend(params: Any, inputs: Any, price: Any) -> Any:
        return backend.value_and_grad(lambda moved: cost(moved, inputs, price))(params)

    def turned(params: Any, inputs: Any) -> Any:
        logits = said(params, inputs)
        return xp.argmax(getattr(logits, "logits", logits), axis=-1)

    descend, turned = backend.jit(descend), backend.jit(turned)
    start = np.random.default_rng(seed)
    params = {
        "where": placed(start.normal(0.0, 0.1, plane).astype(np.float32), function.weights),
        "values": placed(start.normal(0.0, 0.1, shape).astype(np.float32), function.weights),
    }
    state = backend.adam_start(params)
    best: Mask | None = None
    for step in range(1, steps + 1):
        _, grads = descend(params, given, placed(np.full((), price, dtype=np.float32), function.weights))
        params, state = backend.adam_step(state, params, grads, rate)
        if step % CHECKED == 0 or step == steps:
            with shim.without_gradients():
                where, values = (shim.numbers(each) for each in worn(params))
                success = float((shim.numbers(turned(params, given)) == target).mean())
            found = _mask(target, where, values, shape, success)
            best = found if best is None or _better(found, best) else best
            price *= FACTOR if success >= GOAL else 1 / FACTOR
    if best is None:
        raise WatchError(f"expected at least one step, got {steps}", hint="200 do for small images")
    return best


def minimum_masks(model: Model, examples: Examples, classes: Sequence[int], steps: int = 200, **how: Any) -> Masks:
    """The minimum mask of each of `classes`; `how` is handed to `minimum_mask`. Costs as many times as much."""
    return Masks(tuple(minimum_mask(model, examples, each, steps, **how) for each in classes))


def _better(one: Mask, other: Mask) -> bool:
    """Whether it turns enough images with fewer pixels; where neither turns enough, more images."""
    enough = one.success >= GOAL, other.success >= GOAL
    if enough[0] != enough[1]:
        return enough[0]
    return one.size < other.size if enough[0] else one.success > other.success


def _mask(target: int, where: Array, values: Array, shape: Sequence[int], success: float) -> Mask:
    size = float(where.sum())
    return Mask(target, np.broadcast_to(where, shape).copy(), values.copy(), size, success)
