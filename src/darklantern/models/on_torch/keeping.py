"""Where captured values go: left where they lie, to another device, to disk, or reduced first."""

import difflib
import json
import os
import re
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
_INDEX = "recording.json"
_BEGUN = "begun"
"""stands in a folder until its recording is whole"""
_DEVICES = ("cpu", "cuda", "mps", "xpu")
_FORMAT = "darklantern-recording-1"


class Keeper:
    """What a run does with each value as it is captured, and with its recording when it is whole."""

    def __init__(self, to: str | PathLike[str] | None, reduce: Reduce | None) -> None:
        self._device = _usable(str(to)) if to is not None and is_device(to) else None
        self._folder = None if to is None or is_device(to) else _Folder(Path(to))
        self._reduce = reduce

    def keep(self, site: Site, value: Tensor, axes: tuple[str, ...], tokens: Tokens) -> tuple[Tensor, tuple[str, ...]]:
        """What is kept of a captured value."""
        if self._reduce is not None:
            value, axes = _reduced(self._reduce(_value(site, value, axes, tokens)), site, value, axes)
        if self._folder is not None:
            return self._folder.write(value), axes
        return (value if self._device is None else value.to(self._device)), axes

    def finished(self, recording: Recording) -> Recording:
        """The recording, now that it is whole."""
        return recording if self._folder is None else self._folder.finished(recording)

    def dropped(self) -> None:
        """The run failed, and there will be no recording."""
        if self._folder is not None:
            self._folder.dropped()


def keeper(to: str | PathLike[str] | None, reduce: Reduce | None) -> Keeper | None:
    """What `record` does with each value as it is captured; None for nothing special."""
    return None if to is None and reduce is None else Keeper(to, reduce)


def is_device(to: str | PathLike[str] | None) -> bool:
    """Whether `to` names a device, such as cpu or cuda:1; a folder of that name is written ./cpu.

    Raises SiteError for a bare word that is nearly a device's name: it would become a folder, on disk.
    """
    try:
        return to is None or torch.device(str(to)) is not None
    except RuntimeError:
        if isinstance(to, str) and (meant := _nearly(to)):
            raise SiteError(
                f"to={to!r} is no device", hint=f"did you mean {meant}? For a folder of that name, ./{to}"
            ) from None
        return False


def _nearly(word: str) -> str | None:
    """The device that a word without a slash is nearly the name of."""
    found = re.fullmatch(r"([a-z]+)[:_ -]?\d*", word.lower())
    if not found:
        return None
    name = found[1]
    if name in ("gpu", "nvidia"):
        return "cuda"
    swapped = (device for device in _DEVICES if sorted(device) == sorted(name))
    return next(swapped, None) or next(iter(difflib.get_close_matches(name, ["cuda"], cutoff=0.75)), None)


def _usable(device: str) -> str:
    """`device`, after a try: torch built without it says so with an AssertionError, one that is not there otherwise."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise SiteError(
            f"to={device!r}: this torch has no such device here: {str(error).splitlines()[0]}",
            hint=f'to="cpu" keeps values in memory; for a folder of that name, ./{device}',
        ) from error
    return device


def numbered(to: str | PathLike[str] | None, number: int) -> Path | None:
    return None if to is None else Path(to) / f"{number:06}"


def load_recording(folder: str | PathLike[str]) -> Recording:
    """The recording that was written to `folder`, its arrays mapped from there, not read. It has no output.

    Raises SiteError for a folder that holds none, or not all of it.
    """
    path = Path(folder)
    if not (path / _INDEX).is_file():
        raise _none_in(path)
    try:
        index = json.loads((path / _INDEX).read_text())
        if index["format"] != _FORMAT:
            raise ValueError(f"format {index['format']!r}")
        rows = [_row(path, row) for row in index["values"]]
        if not rows:
            raise ValueError("no values")
        return Recording(rows, None, _tokens(index["tokens"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError, SiteError) as error:
        raise SiteError(
            f"{path} does not hold a whole recording: {error}", hint="record again into an empty folder"
        ) from error


def _none_in(path: Path) -> SiteError:
    """What a folder without an index is instead of a recording."""
    if not path.is_dir():
        return SiteError(
            f"there is no folder {path}", hint="record(..., to=folder) or recording.save(folder) makes one"
        )
    inside = sorted(each.parent.name for each in path.glob(f"*/{_INDEX}"))
    if inside:
        count, several = len(inside), len(inside) > 1
        said = f"recording{'s' * several}, {inside[0]}{f' … {inside[-1]}' * several}"
        return SiteError(
            f"{path} does not hold a whole recording: it holds {count} {said}",
            hint=f"load each: load_recording({str(path / inside[0])!r})",
        )
    why = "the run that wrote it did not end" if (path / _BEGUN).exists() else f"it has no {_INDEX}"
    return SiteError(f"{path} does not hold a whole recording: {why}", hint="record again into an empty folder")


def _row(path: Path, row: Any) -> tuple[Site, Tensor, tuple[str, ...]]:
    site, array, axes = parse(row["site"]), _mapped(path / Path(row["file"]).name), tuple(map(str, row["axes"]))
    if array.ndim != len(axes):
        raise ValueError(f"{site} has {array.ndim} axes in its file and {len(axes)} in the index")
    return replace(site, native=row.get("native", "")), array, axes


def _tokens(given: Any) -> list[list[str]] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(each, list) for each in given):
        raise ValueError(f"tokens are {type(given).__name__}")
    return [[str(token) for token in each] for each in given]


def save(recording: Recording, folder: str | PathLike[str]) -> None:
    """Write `recording` to a new folder, for `load_recording`. Raises SiteError for one that is not empty."""
    if not len(recording):
        raise SiteError("this recording holds no values", hint="record some sites")
    written = _Folder(Path(folder))
    try:
        written.finished(recording)
    except BaseException:
        written.dropped()
        raise


class _Folder:
    """Writes one file a value, and, once all of a recording is there, an index: no index, no recording."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
            others = not _created(path / _BEGUN)
            if not others and [each.name for each in path.iterdir()] != [_BEGUN]:
                (path / _BEGUN).unlink()
                others = True
        except OSError as error:
            raise StoreError(f"cannot write to {path}: {error}", hint="is it a folder, and yours to write?") from error
        if others:
            raise SiteError(f"{path} is not empty", hint="record into a new folder, so that nothing is overwritten")
        self.path = path
        self._files: dict[int, tuple[str, Tensor]] = {}
        """by the mapped tensor's identity: the file's name, and the tensor"""

    def write(self, value: Tensor) -> Tensor:
        """`value`, mapped from the file that it is written to."""
        name = f"{len(self._files):06}.safetensors"
        try:
            save_file({"value": value.detach().contiguous().cpu()}, self.path / name)
        except KeyError as error:  # a dtype that the format has no name for
            raise StoreError(
                f"cannot write {str(value.dtype).removeprefix('torch.')}: safetensors files have no such dtype",
                hint="reduce= to one that they have, as in reduce=lambda value: value.array.to(torch.complex64)",
            ) from error
        except (SafetensorError, OSError) as error:
            raise StoreError(f"cannot write {self.path / name}: {error}", hint="is the disk full?") from error
        mapped = _mapped(self.path / name)
        self._files[id(mapped)] = name, mapped
        return mapped

    def finished(self, recording: Recording) -> Recording:
        """`recording` with all its values mapped from files here, and the index that makes them one."""
        rows, held = [], []
        for value in recording.values():
            array = torch.as_tensor(value.array)
            if id(array) not in self._files:  # put together from several calls or steps
                array = self.write(array)
            native = {"native": value.site.native} if value.site.native else {}
            file, _ = self._files[id(array)]
            rows.append({"site": str(value.site), "axes": list(value.axes), "file": file, **native})
            held.append((value.site, array, value.axes))
        index = {"format": _FORMAT, "tokens": recording.tokens, "values": rows}
        try:
            for unused in {name for name, _ in self._files.values()} - {row["file"] for row in rows}:
                (self.path / unused).unlink()
            write_whole(self.path / _INDEX, json.dumps(index, indent=1).encode())
            (self.path / _BEGUN).unlink()
        except OSError as error:
            raise StoreError(f"cannot write {self.path / _INDEX}: {error}", hint="is the disk full?") from error
        return Recording(held, recording.output, recording.tokens, recording.missed)

    def dropped(self) -> None:
        """There will be no recording: what was written of it goes."""
        for each in (*self.path.glob("*.safetensors"), self.path / _BEGUN):
            each.unlink(missing_ok=True)


def _created(path: Path) -> bool:
    """Whether this call made the file: of two at once, one did."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _mapped(path: Path) -> Tensor:
    with safe_open(path, framework="pt") as file:
        found: Tensor = file.get_tensor("value")
        return found


def _value(site: Site, array: Tensor, axes: tuple[str, ...], tokens: Tokens) -> Value:
    """A captured value, as its recording would hold it."""
    return next(iter(Recording([(site, array, axes)], None, tokens).values()))


def _reduced(made: Any, site: Site, value: Tensor, axes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    if isinstance(made, Value):
        if made.site.select != site.select:
            raise SiteError(
                f"reduce took a part, {made.site}, which would go by the name of all of {site}",
                hint=f"record {made.site} itself",
            )
        return made.array.clone(), made.axes
    if not isinstance(made, Tensor):
        raise SiteError(
            f"reduce must return a Value or a tensor at {site}, got {type(made).__name__}",
            hint='value.mean("pos"), say',
        )
    return made.clone(), axes if made.ndim == value.ndim else tuple(f"axis{i}" for i in range(made.ndim))
