"""Data as batches whose tokens are known: prompts, batches of prompts, or arrays of token numbers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.models.opened import Model
from darklantern.models.shim import is_array, numbers
from darklantern.models.tokens import Batch

AT_ONCE = 32
"""prompts of a batch, where they come as one list"""


class Words:
    """Tokens as text, each asked for once."""

    def __init__(self, model: Model, text: Callable[[int], str] | None = None) -> None:
        tokenizer: Any = getattr(model, "tokenizer", None)
        self._text = text or (str if tokenizer is None else lambda number: tokenizer.decode([number]))
        self._known: dict[int, str] = {}

    def __getitem__(self, number: int) -> str:
        if number not in self._known:
            self._known[number] = self._text(number)
        return self._known[number]

    def each(self, ids: NDArray[np.int64], measure: Callable[[str], int]) -> NDArray[np.int64]:
        """`measure` of each token's text, in the shape of `ids`."""
        seen, place = np.unique(ids, return_inverse=True)
        made = np.array([measure(self[int(number)]) for number in seen], dtype=np.int64)
        return made[place].reshape(ids.shape)


@dataclass(frozen=True, eq=False)
class Read:
    """One batch: what the model takes, its token numbers (batch, pos), and how many of them each example has."""

    inputs: Any = field(repr=False)
    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def real(self) -> NDArray[np.bool_]:
        """Where a token stands, and no padding."""
        found: NDArray[np.bool_] = np.arange(self.ids.shape[1])[None] < self.lengths[:, None]
        return found


def batches(model: Model, data: Any) -> Iterator[Read]:
    """The batches in `data`, one at a time: a list of prompts, a Batch, an integer array (batch, pos), or an iterable.

    Raises MethodError for none, and for what has no token numbers.
    """
    count = 0
    for each in _parts(data):
        count += 1
        yield _read(model, each)
    if not count:
        raise MethodError("expected at least one batch of text, got none", hint="an iterator is used up by one pass")


def _parts(data: Any) -> Iterable[Any]:
    if isinstance(data, str):
        return [[data]]
    if isinstance(data, Batch) or is_array(data):
        return [data]
    if isinstance(data, Sequence) and data and all(isinstance(each, str) for each in data):
        return [data[first : first + AT_ONCE] for first in range(0, len(data), AT_ONCE)]
    if isinstance(data, Iterable):
        return data
    raise MethodError(f"expected text, got {type(data).__name__}", hint="prompts, batches, or arrays of token numbers")


def _read(model: Model, given: Any) -> Read:
    if isinstance(given, str) or (isinstance(given, Sequence) and all(isinstance(each, str) for each in given)):
        given = model.batch(given)
    array = _ids(given)
    if not is_array(array) or array.ndim != 2 or numbers(array).dtype.kind not in "iu" or not array.shape[1]:
        came = f"an array of shape {tuple(array.shape)}" if is_array(array) else type(array).__name__
        raise MethodError(
            f"expected token numbers (batch, pos), got {came}", hint="labels are of what responds to tokens"
        )
    ids = numbers(array).astype(np.int64)
    lengths = given.lengths if isinstance(given, Batch) else [ids.shape[1]] * len(ids)
    return Read(given, ids, np.array(lengths, dtype=np.int64))


def _ids(given: Any) -> Any:
    return given.arguments.get("input_ids") if isinstance(given, Batch) else given
