"""What probes noted at a run's first look, as a file: who goes on with the run holds later looks against it.

In: notes that are made of arrays, numbers, tuples, lists, maps and dataclasses. Out: an .npz of their arrays alone;
what they are parts of is never read from it, but taken from the notes that the same probes make anew.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from io import BytesIO
from typing import Any, Final

import numpy as np

from darklantern.watch.examples import Array
from darklantern.watch.probes import Probe

FIRST: Final = "first.npz"
MOST: Final = 1 << 26
"""bytes that notes may take"""


def matters(probe: Probe) -> bool:
    """Whether a probe holds later looks against what it noted at the first, and may be shown."""
    held_out = any(signal.held_out for signal in probe.signals)
    return probe.against_first and type(probe).note is not Probe.note and not held_out


def pack(notes: Mapping[int, Any]) -> bytes:
    """Notes by their probes' numbers; those that no file can hold are left out, and all where they take too much."""
    held: dict[str, Any] = {}
    for number, note in notes.items():
        try:
            held |= {f"{number}.{at}": leaf for at, leaf in enumerate(_leaves(note))}
        except TypeError:
            continue
    if sum(leaf.nbytes for leaf in held.values()) > MOST:
        return b""
    data = BytesIO()
    np.savez(data, **held)
    return data.getvalue()


def unpack(data: bytes, likenesses: Mapping[int, Any]) -> dict[int, Any]:
    """The notes in `data`, each made like the one of its number; those that don't fit it are left out."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            if sum(each.file_size for each in file.infolist()) > 2 * MOST:
                return {}
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            held = dict(arrays)
    except (ValueError, OSError, EOFError, LookupError, MemoryError, zipfile.BadZipFile):
        return {}
    found = {}
    for number, note in likenesses.items():
        own = [name for name in held if name.partition(".")[0] == str(number)]
        leaves = [held.get(f"{number}.{at}") for at in range(len(own))]
        try:
            rest = iter(leaves)
            made = _like(note, rest)
        except (TypeError, ValueError, StopIteration):
            continue
        if own and not list(rest):
            found[number] = made
    return found


def _leaves(note: Any) -> Iterator[Array]:
    if note is None:
        return
    if isinstance(note, np.ndarray | np.generic | bool | int | float):
        leaf = np.asarray(note)
        if leaf.dtype.hasobject:
            raise TypeError("an array of objects")
        yield leaf
    elif isinstance(note, tuple | list):
        for part in note:
            yield from _leaves(part)
    elif isinstance(note, dict):
        for key in note:
            yield from _leaves(note[key])
    elif is_dataclass(note) and not isinstance(note, type):
        for each in fields(note):
            yield from _leaves(getattr(note, each.name))
    else:
        raise TypeError(f"a {type(note).__name__}")


def _like(note: Any, leaves: Iterator[Any]) -> Any:
    """What `note` is, of other arrays. Raises ValueError, TypeError or StopIteration where they don't fit."""
    if note is None:
        return None
    if isinstance(note, np.ndarray | np.generic | bool | int | float):
        leaf, own = next(leaves), np.asarray(note)
        if leaf is None or leaf.shape != own.shape or leaf.dtype != own.dtype:
            raise ValueError("another array")
        return leaf if isinstance(note, np.ndarray) else type(note)(leaf[()])
    if isinstance(note, tuple | list):
        parts = [_like(part, leaves) for part in note]
        return type(note)(*parts) if hasattr(note, "_fields") else type(note)(parts)
    if isinstance(note, dict):
        return {key: _like(value, leaves) for key, value in note.items()}
    if is_dataclass(note) and not isinstance(note, type):
        return replace(note, **{each.name: _like(getattr(note, each.name), leaves) for each in fields(note)})
    raise TypeError(f"a {type(note).__name__}")
