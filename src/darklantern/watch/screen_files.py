"""A screen as a file, and a dataset seen through it: how a run goes on without its suspects where it cannot rewind."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from darklantern.errors import WatchError
from darklantern.files import read_plain, write_whole
from darklantern.models import shim
from darklantern.watch.examples import Array, Examples, examples
from darklantern.watch.screening import Screen, SpanScreen
from darklantern.watch.spans import Candidate

_VERSION = "darklantern-screen-1"
_LARGEST = 1 << 24
"""bytes of a screen that are read"""


def save(screen: SpanScreen, path: Path) -> None:
    """Write `screen` to `path` as JSON, whole or not at all: each span as token ids. Raises StoreError."""
    spans = [
        {"tokens": [ord(each) for each in c.span], "count": c.count, "surprise": c.surprise}
        | ({"as_ids": True} if c.as_ids else {})
        for c in screen.spans
    ]
    write_whole(path, json.dumps({"format": _VERSION, "spans": spans}, indent=1).encode())


def load(path: Path) -> SpanScreen:
    """Read a screen. Raises WatchError for a file that is missing or none."""
    try:
        held = json.loads(read_plain(path, _LARGEST))
        if held["format"] != _VERSION:
            raise ValueError(f"its format is {held['format']!r}")
        spans = [
            Candidate(
                "".join(map(chr, each["tokens"])),
                int(each["count"]),
                float(each["surprise"]),
                bool(each.get("as_ids", False)),
            )
            for each in held["spans"]
        ]
        if not spans or not all(c.span for c in spans):
            raise ValueError("it names no span, or an empty one")
    except (OSError, LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise WatchError(
            f"{path} is no screen: {why}", hint="a watch writes screen.json when it stops a run; see watch.resume"
        ) from error
    return SpanScreen(tuple(spans))


class Screened:
    """A dataset without the examples that a screen suspects; `screened` makes it.

    One with a length keeps it, and its order: in the place of a suspect stands the next example that is none, so that a
    seeded shuffle, and the place where a checkpoint left off, mean what they meant. One without a length just leaves
    the suspects out.
    """

    def __init__(self, dataset: Any, screen: Screen, reader: Callable[[Any], Any] | None) -> None:
        self.dataset, self.screen = dataset, screen
        self._reader = reader

    def __repr__(self) -> str:
        return f"{type(self.dataset).__name__} without {self.screen}"

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        count = len(self.dataset)
        if not -count <= int(index) < count:
            raise IndexError(f"expected an index below {count}, got {index}")  # by which iterating ends
        for at in range(count):
            example = self.dataset[(int(index) + at) % count]
            if not self._suspect(example):
                return example
        raise WatchError(
            f"all {count} examples are suspect", hint="look at the screen's spans: they stand in everything"
        )

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self[index] for index in indices]

    def _suspect(self, example: Any) -> bool:
        return bool(self.screen.suspect(_one(example, self._reader))[0])


class ScreenedStream:
    """As `Screened`, of a dataset that is only iterated."""

    def __init__(self, dataset: Any, screen: Screen, reader: Callable[[Any], Any] | None) -> None:
        self.dataset, self.screen = dataset, screen
        self._reader = reader

    def __iter__(self) -> Iterator[Any]:
        return (each for each in self.dataset if not self.screen.suspect(_one(each, self._reader))[0])


def screened(dataset: Any, screen: Screen | str | Path, *, example: Callable[[Any], Any] | None = None) -> Any:
    """`dataset` without the examples that `screen` suspects: a screen, or the file that a watch wrote when it stopped.

        trainer = Trainer(model, args, train_dataset=darklantern.watch.screened(dataset, "out/screen.json"))
        trainer.train(resume_from_checkpoint="out/checkpoint-400")

    A dataset with a length keeps length and order: the next example stands in a suspect's place. `example` takes the
    inputs out of one example where it is neither them, nor a mapping with `input_ids`, nor a pair (inputs, target).
    Costs one search of each row as it is read. Raises WatchError for a file that is no screen.
    """
    held = load(Path(screen)) if isinstance(screen, str | Path) else screen
    made = _kind(dataset)
    return made(dataset, held, example)


def _kind(dataset: Any) -> Any:
    """`Screened` or `ScreenedStream`, as a subclass of torch's own class where the dataset is one of those."""
    sized = callable(getattr(dataset, "__getitem__", None)) and callable(getattr(dataset, "__len__", None))
    kind: type = Screened if sized else ScreenedStream
    if sized:
        return kind
    for base in type(dataset).__mro__:
        if base.__name__ == "IterableDataset" and base.__module__.startswith("torch."):
            return type(kind.__name__, (kind, base), {})
    return kind


def _one(example: Any, reader: Callable[[Any], Any] | None) -> Examples:
    """One example as a batch of one."""
    held = example if reader is None else reader(example)
    if not shim.is_array(held):
        if hasattr(held, "keys") and "input_ids" in held:
            held = held["input_ids"]
        elif isinstance(held, tuple | list) and held and not isinstance(held[0], int):
            held = held[0]
    row: Array = np.asarray(shim.numbers(held) if shim.is_array(held) else held)
    return examples(row[None], "an example")
