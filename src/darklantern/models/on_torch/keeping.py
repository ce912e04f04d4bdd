"""Where captured values go: left where they lie, to another device, to disk, or reduced first."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from darklantern.errors import SiteError, StoreError
from darklantern.files import write_whole
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Site, parse

Reduce = Callable[[Value], Any]
"""a captured value → what is kept of it: a Value, or a tensor"""
Tokens = Sequence[Sequence[str]] | None
Keeper = Callable[[Site, Tensor, tuple[str, ...], Tokens], tuple[Tensor, tuple[str, ...]]]
_INDEX = "recording.json"
_FORMAT = "darklantern-recording-1"


def keeper(to: str | PathLike[str] | None, reduce: Reduce | None) -> Keeper | None:
    """What `record` does with each value as it is captured; None for nothing special."""
    if to is None and reduce is None:
        return None
    folder = None if to is None or is_device(to) else _Folder(Path(to))

    def keep(site: Site, value: Tensor, axes: tuple[str, ...], tokens: Tokens) -> tuple[Tensor, tuple[str, ...]]:
        if reduce is not None:
            value, axes = _reduced(reduce(_value(site, value, axes, tokens)), site, value, axes)
        if folder is not None:
            return folder.keep(site, value, axes, tokens), axes
        return (value if to is None else value.to(str(to))), axes

    return keep


def is_device(to: str | PathLike[str] | None) -> bool:
    """Whether `to` names a device, such as cpu or cuda:1; a folder of that name is written ./cpu."""
    try:
        return to is None or torch.device(str(to)) is not None
    except RuntimeError:
        return False


def numbered(to: str | PathLike[str] | None, number: int) -> Path | None:
    return None if to is None else Path(to) / f"{number:06}"


def load_recording(folder: str | PathLike[str]) -> Recording:
    """The recording that was written to `folder`, its arrays mapped from there, not read. It has no output.

    Raises SiteError for a folder that holds none, or not all of it.
    """
    path = Path(folder)
    try:
        index = json.loads((path / _INDEX).read_text())
        if index["format"] != _FORMAT:
            raise ValueError(f"format {index['format']!r}")
        rows: list[tuple[Site, Tensor, tuple[str, ...]]] = [
            (
                replace(parse(row["site"]), native=row.get("native", "")),
                _mapped(path / row["file"]),
                tuple(row["axes"]),
            )
            for row in index["values"]
        ]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SiteError(
            f"{path} does not hold a whole recording: {error}", hint="record again into an empty folder"
        ) from error
    return Recording(rows, None, index["tokens"])


def save(recording: Recording, folder: str | PathLike[str]) -> None:
    """Write `recording` to a new folder, for `load_recording`. Raises SiteError for one that is not empty."""
    if not len(recording):
        raise SiteError("this recording holds no values", hint="record some sites")
    held = _Folder(Path(folder))
    for value in recording.values():
        held.keep(value.site, torch.as_tensor(value.array), value.axes, recording.tokens)


class _Folder:
    """Writes one file a value, and an index that names only files that are whole."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise SiteError(f"{path} is not empty", hint="record into a new folder, so that nothing is overwritten")
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def keep(self, site: Site, value: Tensor, axes: tuple[str, ...], tokens: Tokens) -> Tensor:
        name = f"{len(self.rows):06}.safetensors"
        try:
            save_file({"value": value.detach().contiguous().cpu()}, self.path / name)
        except (SafetensorError, OSError) as error:
            raise StoreError(f"cannot write {self.path / name}: {error}", hint="is the disk full?") from error
        native = {"native": site.native} if site.native else {}
        self.rows.append({"site": str(site), "axes": list(axes), "file": name, **native})
        index = {"format": _FORMAT, "tokens": tokens, "values": self.rows}
        write_whole(self.path / _INDEX, json.dumps(index, indent=1).encode())
        return _mapped(self.path / name)


def _mapped(path: Path) -> Tensor:
    with safe_open(path, framework="pt") as file:
        found: Tensor = file.get_tensor("value")
        return found


def _value(site: Site, array: Tensor, axes: tuple[str, ...], tokens: Tokens) -> Value:
    """A captured value, as its recording would hold it."""
    return next(iter(Recording([(site, array, axes)], None, tokens).values()))


def _reduced(made: Any, site: Site, value: Tensor, axes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    if isinstance(made, Value):
        return made.array.clone(), made.axes
    if not isinstance(made, Tensor):
        raise SiteError(
            f"reduce must return a Value or a tensor at {site}, got {type(made).__name__}",
            hint='value.mean("pos"), say',
        )
    return made.clone(), axes if made.ndim == value.ndim else tuple(f"axis{i}" for i in range(made.ndim))
