"""Checkpoints on a disk: which there are, at which steps, and what each one's bytes hash to.

In: a folder of a training run. Out: its checkpoints in the order of their steps. Nothing is loaded here; see
`on_torch.checkpoints`.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from darklantern.errors import SnapshotError

FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
WHOLE = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""what marks a folder as one checkpoint, as transformers writes it"""
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: a file, or a folder with `model.safetensors`."""

    step: int
    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold its weights."""
        if not self.path.is_dir():
            return (self.path,)
        found = next((self.path / name for name in WHOLE if (self.path / name).is_file()), None)
        if found is None:
            raise SnapshotError(
                f"{self.path} holds none of {', '.join(WHOLE)}", hint="is it the folder of one checkpoint?"
            )
        if found.suffix != ".json":
            return (found,)
        return tuple(self.path / name for name in _shards(found))

    def sha256(self) -> str:
        """Of the bytes of its files: reads all of them."""
        digest = hashlib.sha256()
        try:
            for path in self.files:
                with path.open("rb") as file:
                    digest.update(f"{path.stat().st_size}\0".encode())
                    while block := file.read(1 << 20):
                        digest.update(block)
        except OSError as error:
            raise SnapshotError(f"cannot read {self.path}: {error.strerror or error}", hint="copy it again") from error
        return digest.hexdigest()


def checkpoints(given: Path | str | Sequence[Path | str]) -> tuple[Checkpoint, ...]:
    """Those in a folder, or those given, by step: a snapshot's own, else the last number in its name.

    Raises SnapshotError for none, for a name without a number, and for two of one step.
    """
    if isinstance(given, Path | str):
        folder = Path(given)
        if not folder.is_dir():
            raise SnapshotError(f"{folder} is no folder", hint="give the folder that holds a run's checkpoints")
        paths = [path for path in sorted(folder.iterdir()) if _is_one(path)]
        if not paths:
            raise SnapshotError(
                f"{folder} holds no checkpoints: neither files that end in {', '.join(FILES)} nor folders with "
                f"{WHOLE[0]}",
                hint="give the folder that holds them; sub-folders are not searched",
            )
    else:
        paths = [Path(path) for path in given]
    found = sorted((Checkpoint(_step(path), path) for path in paths), key=lambda each: each.step)
    twice = [two.path.name for one, two in pairwise(found) if one.step == two.step]
    if twice:
        raise SnapshotError(
            f"two checkpoints stand at one step, {twice[0]} is one of them",
            hint="give a list of the ones that you mean, or rename them: step-000100.safetensors",
        )
    return tuple(found)


def _is_one(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in WHOLE)
    return path.suffix in FILES and not path.name.startswith(".")


def _step(path: Path) -> int:
    if path.suffix == ".safetensors" and path.is_file() and (said := _meta(path).get("step")) is not None:
        with_step = str(said)
        if with_step.isdecimal():
            return int(with_step)
    numbers = _NUMBER.findall(path.stem if path.is_file() else path.name)
    if not numbers:
        raise SnapshotError(
            f"nothing in the name {path.name!r} says at which step it was taken",
            hint="names end in the step: step-000100.safetensors, checkpoint-100",
        )
    return int(numbers[-1])


def _meta(path: Path) -> dict[str, object]:
    """What a safetensors file says of itself, without its tensors."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > 100_000_000:
                return {}
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        return {}  # whoever loads it says what is wrong with it
    meta = header.get("__metadata__") if isinstance(header, dict) else None
    return meta if isinstance(meta, dict) else {}


def _shards(index: Path) -> list[str]:
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({str(name) for name in named})
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise SnapshotError(f"{index} does not say which files it is of: {error}", hint="copy it again") from error
    if any(Path(name).name != name for name in names):
        raise SnapshotError(f"{index} names files outside of its folder", hint="it was altered; copy it again")
    return names
