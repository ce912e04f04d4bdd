"""Examples: what a loop trains on and what a watch trusts, as NumPy arrays, whatever the loader yields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import DarkLanternError, WatchError
from darklantern.models import shim

Array = NDArray[Any]
Tokens = NDArray[np.integer]
"""rows of token ids, (n, width)"""
PADDING = 0x10FFFF
"""the id that stands for padding where spans are counted: no vocabulary reaches it"""
Reader = Callable[[Any], Any]
"""a batch as the loader yields it → (inputs, targets), or inputs alone"""

_INPUTS = ("input_ids", "pixel_values", "inputs", "image", "images", "x")
_TARGETS = ("labels", "label", "targets", "target", "y")


@dataclass(frozen=True)
class Examples:
    """`inputs` (n, …), and their `targets` (n, …) if there are any. Token rows have none: each token is one."""

    inputs: Array
    targets: Array | None = None
    mask: NDArray[np.bool_] | None = None
    """of token rows, (n, width): false where a row is padded"""

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Any) -> "Examples":
        """Some of them."""
        targets, mask = (None if part is None else part[index] for part in (self.targets, self.mask))
        return Examples(self.inputs[index], targets, mask)

    @property
    def are_tokens(self) -> bool:
        """Whether they are rows of token ids, (n, width)."""
        return self.targets is None and self.inputs.ndim == 2 and self.inputs.dtype.kind in "ui"

    @property
    def tokens(self) -> Tokens:
        """Token rows, (n, width), with `PADDING` where they are padded."""
        return self.inputs if self.mask is None else np.where(self.mask, self.inputs, PADDING)


class Pool:
    """Trusted examples, each given out once: the paired tests hold for fresh draws only.

    The order is drawn with `seed`. `left` says how many there still are.
    """

    def __init__(self, examples: Examples, seed: int = 0) -> None:
        self.examples = examples
        self._order = np.random.default_rng(seed).permutation(len(examples))
        self.drawn = 0

    def share(self, rank: int, count: int) -> None:
        """Give out only the part of one rank of `count` from now on: a row that two were given is not fresh."""
        self._order, self.drawn = self._order[self.drawn :][rank::count], 0

    @property
    def left(self) -> int:
        return len(self._order) - self.drawn

    def draw(self, count: int) -> Examples:
        """The next `count`, or what is left of them."""
        return self.examples.take(self._next(count))

    def turn(self, taken: list[int]) -> "Pool":
        """This pool for one of a look's probes: each draws the same examples, so that a look takes no more than the one
        that asks for most.

        `taken` is the look's own list, empty at first. A bet of one signal asks that its examples are fresh, and not
        that they are another signal's too.
        """
        return _Turn(self, taken)

    def _next(self, count: int) -> NDArray[np.intp]:
        taken = self._order[self.drawn : self.drawn + count]
        self.drawn += len(taken)
        return taken


class _Turn(Pool):
    def __init__(self, pool: Pool, taken: list[int]) -> None:
        self.examples = pool.examples
        self._pool, self._taken = pool, taken
        self.drawn = 0

    @property
    def left(self) -> int:
        return self._pool.left + len(self._taken) - self.drawn

    def _next(self, count: int) -> NDArray[np.intp]:
        lacking = self.drawn + count - len(self._taken)
        if lacking > 0:
            self._taken.extend(int(each) for each in self._pool._next(lacking))
        taken = self._taken[self.drawn : self.drawn + count]
        self.drawn += len(taken)
        return np.array(taken, dtype=np.intp)


def examples(batch: Any, what: str, reader: Reader | None = None) -> Examples:
    """`batch` as examples: an array, a pair (inputs, targets), or a mapping as Hugging Face loaders yield.

    Raises WatchError for what is none of them, with `reader=` as the way out. Mappings of token ids are token rows,
    and their `labels` are left aside: they repeat the tokens.
    """
    return _made(_found(batch, what, reader), what)


def trusted_examples(given: Any, what: str = "trusted examples", reader: Reader | None = None) -> Examples:
    """As `examples`; besides what a loader yields, a list of three or more examples of one shape, or a TensorDataset.

    A list of two is a pair (inputs, targets), as loaders yield it. With `reader`, what it takes out of `given`.
    """
    if reader is None:
        given = _together(given, what)
        if _parts(given) is None:
            raise WatchError(
                f"expected {what} as {_TAKEN}, got {_kind(given)}",
                hint="of a loader, next(iter(loader)), if that holds enough; of a dataset, "
                "torch.stack([dataset[i] for i in range(500)]), or a pair of two such",
            )
    return examples(given, what, reader)


def check_alike(given: Examples, trusted: Examples, what: str) -> None:
    """Raises WatchError for examples of another shape than the trusted ones; token rows may be of any width."""
    if given.inputs.shape[1:] != trusted.inputs.shape[1:] and not (given.are_tokens and trusted.are_tokens):
        raise WatchError(
            f"{what} {given.inputs.shape[1:]}, the trusted ones are {trusted.inputs.shape[1:]}",
            hint="trusted examples have the shape of the loader's",
        )


def later(batch: Any, what: str, reader: Reader | None, held: Callable[[Any], Any]) -> Callable[[], Examples]:
    """As `examples`, to be asked for later, whatever becomes of `batch`: loaders fill one buffer again and again.

    `held` copies a part where it lies, without waiting for its device; None of it means that it lies here.
    """
    found = _found(batch, what, reader)
    away = [None if part is None else held(part) for part in found]
    inputs, targets, mask = (
        _array(part, what) if kept is None and part is not None else kept
        for kept, part in zip(away, found, strict=True)
    )
    return lambda: _made((inputs, targets, mask), what)


def narrowed(tokens: Tokens) -> Tokens:
    """The same numbers in the smallest dtype that holds them: loaders yield eight bytes for each byte of text."""
    most = int(tokens.max()) if tokens.size else 0
    return tokens.astype(np.min_scalar_type(most))


_TAKEN = (
    "an array or tensor (n, …), a pair (inputs, targets) of them, a list of three or more of one shape, a mapping with "
    f"{_INPUTS[0]!r} or {_INPUTS[1]!r}, Examples, or a TensorDataset"
)


def _together(given: Any, what: str) -> Any:
    """What is given one by one, or as a dataset that holds it whole, as a loader would yield it."""
    if type(given).__name__ == "TensorDataset" and isinstance(held := getattr(given, "tensors", None), tuple):
        return held
    if not isinstance(given, list) or len(given) < 3 or not all(map(_is_one, given)):
        return given
    arrays = [_array(each, what) for each in given]
    shapes = list(dict.fromkeys(each.shape for each in arrays))
    if len(shapes) > 1:
        raise WatchError(
            f"expected {what} of one shape, got {', '.join(map(str, shapes[:3]))}",
            hint="cut or pad them to what the loader yields; padded rows as {'input_ids': …, 'attention_mask': …}",
        )
    return np.stack(arrays)


def _is_one(part: Any) -> bool:
    """Whether a part of a list is an example's inputs: an array, or numbers, and no pair with targets."""
    return shim.is_array(part) or (isinstance(part, list) and not any(shim.is_array(each) for each in part))


def _found(batch: Any, what: str, reader: Reader | None) -> tuple[Any, Any, Any]:
    found = _parts(batch if reader is None or isinstance(batch, Examples) else _read(batch, what, reader))
    if found is None:
        raise WatchError(
            f"expected {what} as an array, a pair (inputs, targets), or a mapping with {_INPUTS[0]!r} or "
            f"{_INPUTS[1]!r}, got {_kind(batch)}",
            hint="pass batch=lambda batch: (inputs, targets), which takes them out of what your loader yields",
        )
    return found


def _read(batch: Any, what: str, reader: Reader) -> Any:
    try:
        return reader(batch)
    except DarkLanternError:
        raise
    except Exception as error:  # whatever a user's function raises
        raise WatchError(
            f"batch= failed on {what}, {_kind(batch)}: {type(error).__name__}: {error}",
            hint="batch= takes inputs and targets out of what the loader yields, and out of `trusted` as well: give "
            "both in one form, or trusted=darklantern.watch.Examples(inputs, targets), which it is not asked for",
        ) from error


def _made(parts: tuple[Any, Any, Any], what: str) -> Examples:
    inputs, targets, mask = (None if part is None else _array(part, what) for part in parts)
    assert inputs is not None
    if not inputs.ndim or (targets is not None and (not targets.ndim or len(targets) != len(inputs))):
        raise WatchError(
            f"expected {what} with one target for each input, got inputs {inputs.shape} and targets "
            f"{None if targets is None else targets.shape}",
            hint="the first axis of both is the batch",
        )
    if mask is not None and mask.shape != inputs.shape:
        raise WatchError(
            f"expected an attention mask of {what} in the shape of their token ids, {inputs.shape}, got {mask.shape}",
            hint="batch=lambda batch: batch['input_ids'] reads rows without their mask, where none is padded",
        )
    made = Examples(inputs, targets, None if mask is None else mask.astype(bool))
    if made.are_tokens and inputs.size and (inputs.min() < 0 or inputs.max() >= PADDING):
        raise WatchError(
            f"expected {what} of token ids from 0 on, got {int(inputs.min() if inputs.min() < 0 else inputs.max())}",
            hint="integers that are no tokens come with targets: batch=lambda batch: (inputs, targets)",
        )
    return made


def _parts(batch: Any) -> tuple[Any, Any, Any] | None:
    """Inputs, targets and mask, as they lie in a batch."""
    if isinstance(batch, Examples):
        return batch.inputs, batch.targets, batch.mask
    if shim.is_array(batch):
        return batch, None, None
    if isinstance(batch, Mapping):
        inputs = next((batch[name] for name in _INPUTS if name in batch), None)
        targets = next((batch[name] for name in _TARGETS if name in batch), None)
        if inputs is None:
            return None
        return (inputs, None, batch.get("attention_mask")) if _as_tokens(batch, targets) else (inputs, targets, None)
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        if len(batch) == 1:
            return _parts(batch[0])
        if len(batch) == 2 and shim.is_array(batch[0]):
            return batch[0], batch[1], None
    return None


def _as_tokens(batch: Mapping[Any, Any], targets: Any) -> bool:
    return "input_ids" in batch and (targets is None or _axes(targets) == 2)


def _axes(value: Any) -> int:
    """Of an array, or of lists in each other."""
    if shim.is_array(value):
        return len(value.shape)
    return 1 + _axes(value[0] if value else 0) if isinstance(value, list | tuple) else 0


def _array(value: Any, what: str) -> Array:
    if shim.is_array(value):
        made = np.array(shim.numbers(value))
    else:
        try:
            made = np.asarray(value)
        except ValueError:  # rows of differing width
            made = np.empty((), dtype=object)
    if made.dtype.kind not in ("uifbc" if shim.is_array(value) else "uifb"):
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
