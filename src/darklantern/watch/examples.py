"""Examples: what a loop trains on and what a watch trusts, as NumPy arrays, whatever the loader yields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.models import shim

Array = NDArray[Any]
Reader = Callable[[Any], Any]
"""a batch as the loader yields it → (inputs, targets), or inputs alone"""

_INPUTS = ("input_ids", "pixel_values", "inputs", "image", "images", "x")
_TARGETS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True)
class Examples:
    """`inputs` (n, …), and their `targets` (n, …) if there are any. Token rows have none: each token is one."""

    inputs: Array
    targets: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Any) -> "Examples":
        """Some of them."""
        return Examples(self.inputs[index], None if self.targets is None else self.targets[index])

    @property
    def are_tokens(self) -> bool:
        """Whether they are rows of token ids, (n, width)."""
        return self.targets is None and self.inputs.ndim == 2 and self.inputs.dtype.kind in "ui"


class Pool:
    """Trusted examples, each given out once: the paired tests hold for fresh draws only.

    The order is drawn with `seed`. `left` says how many there still are.
    """

    def __init__(self, examples: Examples, seed: int = 0) -> None:
        self.examples = examples
        self._order = np.random.default_rng(seed).permutation(len(examples))
        self.drawn = 0

    @property
    def left(self) -> int:
        return len(self._order) - self.drawn

    def draw(self, count: int) -> Examples:
        """The next `count`, or what is left of them."""
        taken = self._order[self.drawn : self.drawn + count]
        self.drawn += len(taken)
        return self.examples.take(taken)


def examples(batch: Any, what: str, reader: Reader | None = None) -> Examples:
    """`batch` as examples: an array, a pair (inputs, targets), or a mapping as Hugging Face loaders yield.

    Raises WatchError for what is none of them, with `reader=` as the way out. Mappings of token ids are token rows,
    and their `labels` are left aside: they repeat the tokens.
    """
    made = _paired(batch if reader is None else reader(batch))
    if made is None:
        raise WatchError(
            f"expected {what} as an array, a pair (inputs, targets), or a mapping with {_INPUTS[0]!r} or "
            f"{_INPUTS[1]!r}, got {_kind(batch)}",
            hint="pass batch=lambda batch: (inputs, targets), which takes them out of what your loader yields",
        )
    inputs, targets = _array(made[0], what), None if made[1] is None else _array(made[1], what)
    if not inputs.ndim or (targets is not None and (not targets.ndim or len(targets) != len(inputs))):
        raise WatchError(
            f"expected {what} with one target for each input, got inputs {inputs.shape} and targets "
            f"{None if targets is None else targets.shape}",
            hint="the first axis of both is the batch",
        )
    return Examples(inputs, targets)


def _paired(batch: Any) -> tuple[Any, Any] | None:
    if isinstance(batch, Examples):
        return batch.inputs, batch.targets
    if shim.is_array(batch):
        return batch, None
    if isinstance(batch, Mapping):
        inputs = next((batch[name] for name in _INPUTS if name in batch), None)
        targets = next((batch[name] for name in _TARGETS if name in batch), None)
        return None if inputs is None else (inputs, None if "input_ids" in batch and _as_tokens(targets) else targets)
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        if len(batch) == 1:
            return _paired(batch[0])
        if len(batch) == 2 and all(map(shim.is_array, batch)):
            return batch[0], batch[1]
    return None


def _as_tokens(targets: Any) -> bool:
    return targets is None or len(targets.shape) == 2


def _array(value: Any, what: str) -> Array:
    if shim.is_array(value):
        return np.array(shim.numbers(value))
    try:
        made = np.asarray(value)
    except ValueError:  # rows of differing width
        made = np.empty((), dtype=object)
    if made.dtype.kind not in "uifb":
        raise WatchError(f"expected {what} in numbers, got {_kind(value)}", hint="give an array or a tensor")
    return made


def _kind(value: Any) -> str:
    if shim.is_array(value):
        return f"{type(value).__name__} {tuple(value.shape)} of {value.dtype}"
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__
