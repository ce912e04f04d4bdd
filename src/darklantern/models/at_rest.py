"""Recordings at rest: a folder of arrays, one file each, and an index that makes them one. No index, no recording.

In: a recording, or values as they come. Out: a folder that holds all of it or is refused, and the recording again.
"""

import json
import os
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from darklantern.errors import MissingExtraError, SiteError, StoreError
from darklantern.files import write_whole
from darklantern.models import array_files
from darklantern.models.dtypes import dtype_name
from darklantern.models.recording import Recording
from darklantern.models.shim import backend, framework_of
from darklantern.models.sites import Site, parse

INDEX = "recording.json"
_BEGUN = "begun"
"""stands in a folder until its recording is whole"""
_FORMAT = "darklantern-recording-1"
_FRAMEWORKS = ("torch", "jax", "numpy")


def load_recording(folder: str | PathLike[str], framework: str | None = None) -> Recording:
    """The recording that was written to `folder`. It has no output.

    Its arrays are of the framework that wrote them, or of `framework`: torch, jax or numpy. torch's and NumPy's are
    mapped from the files, not read; JAX maps no files, so that all of its arrays are read and copied at once.
    Raises SiteError for a folder that holds none, or not all of it; MissingExtraError without the framework.
    """
    path = Path(folder)
    if framework not in (None, *_FRAMEWORKS):
        raise SiteError(f"expected torch, jax or numpy as framework, got {framework!r}", hint='framework="numpy"')
    if not (path / INDEX).is_file():
        raise _none_in(path)
    try:
        index = json.loads((path / INDEX).read_text())
        if index["format"] != _FORMAT:
            raise ValueError(f"format {index['format']!r}")
        rows = [_row(path, row, framework) for row in index["values"]]
        if not rows:
            raise ValueError("no values")
        return Recording(rows, None, _tokens(index["tokens"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise SiteError(
            f"{path} does not hold a whole recording: {error}", hint="record again into an empty folder"
        ) from error


def _none_in(path: Path) -> SiteError:
    """What a folder without an index is instead of a recording."""
    if not path.is_dir():
        return SiteError(
            f"there is no folder {path}", hint="record(..., to=folder) or recording.save(folder) makes one"
        )
    inside = sorted(each.parent.name for each in path.glob(f"*/{INDEX}"))
    if inside:
        count, several = len(inside), len(inside) > 1
        said = f"recording{'s' * several}, {inside[0]}{f' … {inside[-1]}' * several}"
        return SiteError(
            f"{path} does not hold a whole recording: it holds {count} {said}",
            hint=f"load each: load_recording({str(path / inside[0])!r})",
        )
    why = "the run that wrote it did not end" if (path / _BEGUN).exists() else f"it has no {INDEX}"
    return SiteError(f"{path} does not hold a whole recording: {why}", hint="record again into an empty folder")


def _row(path: Path, row: Any, framework: str | None) -> tuple[Site, Any, tuple[str, ...]]:
    try:
        site = parse(row["site"])
    except SiteError as error:
        raise ValueError(error.message) from error
    axes, wrote = tuple(map(str, row["axes"])), row.get("framework", "torch")
    if wrote not in _FRAMEWORKS:
        raise ValueError(f"{site} was written by {wrote!r}")
    array = _array(path / Path(row["file"]).name, framework or wrote, asked=framework is not None)
    if array.ndim != len(axes):
        raise ValueError(f"{site} has {array.ndim} axes in its file and {len(axes)} in the index")
    return replace(site, native=row.get("native", "")), array, axes


def _array(file: Path, framework: str, asked: bool) -> Any:
    try:
        if framework != "numpy":
            backend(framework)
    except MissingExtraError as error:
        if asked:
            raise
        hint = f'{error.hint}, or load_recording(folder, framework="numpy")'
        raise MissingExtraError(f"{file.parent} was written from {framework}, which is not installed", hint) from error
    return array_files.mapped(file, framework)


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
    written = Folder(Path(folder))
    try:
        written.finished(recording)
    except BaseException:
        written.dropped()
        raise


class Folder:
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
        self._files: dict[int, tuple[str, Any, str]] = {}
        """by the mapped array's identity: the file's name, the array, and the framework of what was written"""

    def write(self, value: Any) -> Any:
        """`value`, mapped from the file that it is written to: JAX's as NumPy's array, as JAX maps no files."""
        name, framework = f"{len(self._files):06}.safetensors", framework_of(value)
        try:
            array_files.write(value, self.path / name)
        except KeyError as error:  # a dtype that the format has no name for
            smaller = "to(torch.complex64)" if framework == "torch" else 'astype("complex64")'
            raise StoreError(
                f"cannot write {dtype_name(value)}: safetensors files have no such dtype",
                hint=f"reduce= to one that they have, as in reduce=lambda value: value.array.{smaller}",
            ) from error
        except (SafetensorError, OSError) as error:
            raise StoreError(f"cannot write {self.path / name}: {error}", hint="is the disk full?") from error
        mapped = array_files.mapped(self.path / name, "torch" if framework == "torch" else "numpy")
        self._files[id(mapped)] = name, mapped, framework
        return mapped

    def finished(self, recording: Recording) -> Recording:
        """`recording` with all its values mapped from files here, and the index that makes them one."""
        rows, held = [], []
        for value in recording.values():
            array = value.array
            if id(array) not in self._files:  # put together from several calls or steps
                array = self.write(array)
            native = {"native": value.site.native} if value.site.native else {}
            file, _, framework = self._files[id(array)]
            whose = {"site": str(value.site), "axes": list(value.axes), "framework": framework}
            rows.append({**whose, "file": file, **native})
            held.append((value.site, array, value.axes))
        index = {"format": _FORMAT, "tokens": recording.tokens, "values": rows}
        try:
            for unused in {name for name, _, _ in self._files.values()} - {row["file"] for row in rows}:
                (self.path / unused).unlink()
            write_whole(self.path / INDEX, json.dumps(index, indent=1).encode())
            (self.path / _BEGUN).unlink()
        except OSError as error:
            raise StoreError(f"cannot write {self.path / INDEX}: {error}", hint="is the disk full?") from error
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
