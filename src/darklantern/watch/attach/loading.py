"""Batches of a dataset that can be drawn again from anywhere: what a rollback needs of a loader, and no more."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex, cast

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError


class Rewindable:
    """Batches of a map-style dataset in a seeded order; `rewindable` makes it.

    Its state is (epoch, batches drawn of it). Each epoch's order is drawn from the seed and the epoch's number alone,
    so that any state can be gone to at once, whatever was drawn before.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        seed: int,
        collate: Callable[[list[Any]], Any],
        drop_last: bool,
        shuffle: bool,
        epochs: int,
    ) -> None:
        self.dataset, self.batch_size, self.seed, self.epochs = dataset, batch_size, seed, epochs
        self._collate, self._drop_last, self._shuffle = collate, drop_last, shuffle
        self._epoch = self._drawn = 0
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __repr__(self) -> str:
        drawn = f"{self._drawn} of {self._in_epoch} in epoch {self._epoch}"
        return f"batches of {self.batch_size} of {type(self.dataset).__name__}: {drawn}"

    def __len__(self) -> int:
        """Batches of one pass from its beginning."""
        return self._in_epoch * self.epochs

    def __iter__(self) -> Iterator[Any]:
        """What is left of the pass, batch by batch. The next pass has epochs of their own order."""
        end = (self._epoch // self.epochs + 1) * self.epochs
        while self._epoch < end:
            batch = self._collate([self.dataset[int(index)] for index in self._indices()])
            self._drawn += 1  # before the batch goes out: what it says then is where the next one begins
            if self._drawn == self._in_epoch:
                self._epoch, self._drawn = self._epoch + 1, 0
            yield batch

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON values, with what the order follows from."""
        return {"epoch": self._epoch, "drawn": self._drawn, **self._made}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken. Raises WatchError for one of another dataset, seed or batch size."""
        other = {name: (state.get(name), mine) for name, mine in self._made.items() if state.get(name) != mine}
        if other:
            said = ", ".join(f"{name} {theirs} there and {mine} here" for name, (theirs, mine) in other.items())
            raise WatchError(
                f"the state is of other batches: {said}", hint="build the loader as it was built when it was taken"
            )
        self._epoch, self._drawn = int(state["epoch"]), int(state["drawn"])

    state_dict = state
    load_state_dict = restore

    @property
    def _made(self) -> dict[str, Any]:
        return {
            "examples": len(self.dataset),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "drop_last": self._drop_last,
            "shuffle": self._shuffle,
            "epochs": self.epochs,
        }

    @property
    def _in_epoch(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + bool(rest and not self._drop_last)

    def _indices(self) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != self._epoch:
            count = len(self.dataset)
            order = np.random.default_rng([self.seed, self._epoch]).permutation(count)
            self._order = self._epoch, order if self._shuffle else np.arange(count)
        return self._order[1][self._drawn * self.batch_size :][: self.batch_size]


def rewindable(
    dataset: Any,
    *,
    batch_size: int,
    seed: int = 0,
    collate: Callable[[list[Any]], Any] | None = None,
    drop_last: bool = False,
    shuffle: bool = True,
    epochs: int = 1,
) -> Rewindable:
    """Batches of `dataset` that a watch can rewind, so that a loop of your own has a rollback.

        loader = darklantern.rewindable(dataset, batch_size=32, epochs=3)
        w = darklantern.watch(model, state=(optimizer, loader), trusted=rows, signals=[...])
        for batch in w.over(loader):
            ...

    `dataset` has a length and takes whole numbers. Each epoch is a permutation drawn from (`seed`, epoch). One pass
    over the loader is `epochs` epochs, with nothing of the loop's own between them: `Watch.over` says what holds for a
    loop around it. `collate` makes a batch of a list of examples; without it arrays, tensors and
    numbers are stacked, also in tuples and mappings. Examples are drawn in this process: one that `dataset[i]` makes at
    random is the same after a rollback if it is made from Python's, NumPy's or torch's own streams, which go back too.
    Raises WatchError for a dataset without a length, or an empty pass.
    """
    if not callable(getattr(dataset, "__getitem__", None)) or not callable(getattr(dataset, "__len__", None)):
        raise WatchError(
            f"expected a dataset with a length and examples by number, got {type(dataset).__name__}",
            hint="a stream cannot be rewound: give your loader state() and restore(state)",
        )
    wrong = [f"{name} ≥ 1" for name, value in (("batch_size", batch_size), ("epochs", epochs)) if not _is_count(value)]
    if wrong:
        raise WatchError(f"expected {', '.join(wrong)}, got {batch_size} and {epochs}", hint="both are whole numbers")
    made = Rewindable(dataset, batch_size, seed, collate or stacked, drop_last, shuffle, epochs)
    if not len(made):
        raise WatchError(
            f"{len(dataset)} examples make no batch of {batch_size}", hint="a smaller batch_size, or drop_last=False"
        )
    return made


def stacked(examples: list[Any]) -> Any:
    """Examples as one batch: tensors by torch's own collation, the rest as NumPy arrays. Raises WatchError."""
    torch = sys.modules.get("torch")
    first = examples[0]
    if torch is not None and any(isinstance(leaf, torch.Tensor) for leaf in _leaves(first)):
        return torch.utils.data.default_collate(examples)
    return _arrays(examples)


def _arrays(examples: Sequence[Any]) -> Any:
    first = examples[0]
    if isinstance(first, Mapping):
        return {name: _arrays([each[name] for each in examples]) for name in first}
    if isinstance(first, tuple):
        return tuple(_arrays(part) for part in zip(*examples, strict=True))
    try:
        made = np.stack([np.asarray(each) for each in examples])
    except ValueError as error:
        raise WatchError(
            f"these examples cannot be stacked: {error}", hint="collate=lambda examples: ..., which pads them, say"
        ) from error
    if made.dtype.kind not in "uifbc":
        raise WatchError(
            f"expected examples of numbers, got {type(first).__name__}",
            hint="collate=lambda examples: ... makes a batch of what your dataset holds",
        )
    return made


def _leaves(example: Any) -> Iterator[Any]:
    if isinstance(example, Mapping):
        example = list(example.values())
    if isinstance(example, list | tuple):
        for part in example:
            yield from _leaves(part)
    else:
        yield example


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and int(cast(SupportsIndex, value)) >= 1
