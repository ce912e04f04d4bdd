"""Whether a file is what its media type says: safetensors, JSON or NumPy's .npy, and neither a pickle nor code.

In: a file and a media type. Out: nothing, or an error. Only headers are interpreted, with a limit on their length, and
nothing is loaded: what is looked at may be anybody's.
"""

import ast
import codecs
import mmap
import os
import re
import warnings
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from darklantern.errors import RecordError, StoreError

_LONGEST_NPY_HEADER: Final = 10_000
"""bytes; NumPy loads no longer one"""
_LONGEST_TENSORS_HEADER: Final = 100_000_000
"""bytes; the same of safetensors"""
_MAGIC: Final = b"\x93NUMPY"
_NUMBER: Final = re.compile(r"[<>|=]?(?:([biufc])([1-9][0-9]?)|([SVU])([0-9]{1,9})|([mM])8(?:\[[0-9A-Za-z/]+\])?)")
_CHUNK: Final = 1024 * 1024


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def check_contents(file: Path, media: str) -> None:
    """Raises RecordError where a file is no such thing as its media type says, StoreError where it cannot be read."""
    called, check, hint = _CHECKS[media]
    try:
        with file.open("rb") as opened:
            check(opened, os.fstat(opened.fileno()).st_size)
    except OSError as error:
        raise StoreError(
            f"cannot read {file}: {error.strerror}", hint="expected a file there: check the path"
        ) from error
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:  # literal_eval has them all
        what = "brackets nested too deep" if isinstance(error, RecursionError | MemoryError) else str(error)[:200]
        raise RecordError(f"expected {called} in {file}, got something else: {what}", hint=hint) from error


def _check_json(file: BinaryIO, size: int) -> None:
    if not size:
        raise ValueError("it is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        msgspec.json.decode(text, type=msgspec.Raw)  # parses all of it, and makes nothing of it
    decoder = codecs.getincrementaldecoder("utf-8")()
    while chunk := file.read(_CHUNK):
        decoder.decode(chunk)
    decoder.decode(b"", final=True)


def _check_npy(file: BinaryIO, size: int) -> None:
    begin = file.read(8)
    if begin[:6] != _MAGIC or begin[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it does not begin as an .npy file does")
    length = int.from_bytes(file.read(2 if begin[6] == 1 else 4), "little")
    if length > _LONGEST_NPY_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    if len(written := file.read(length)) != length:
        raise ValueError("it ends in its header")
    with warnings.catch_warnings(action="ignore"):  # of the compiler's, which quote the file to the terminal
        header = ast.literal_eval(written.decode("latin-1" if begin[6] < 3 else "utf-8").strip())
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("a header without its dtype, order and shape")
    values = size - file.tell()
    if (expected := _item_size(header["descr"]) * _count(header["shape"])) != values:
        raise ValueError(f"{values:,} bytes of values, where its header says {expected:,}")


def _item_size(descr: Any) -> int:
    """Bytes of one value of a dtype, as a header writes it. Raises ValueError for objects, which are a pickle."""
    if isinstance(descr, list):
        return sum(_item_size(each[1]) * _count(each[2] if len(each) > 2 else ()) for each in map(_field, descr))
    found = _NUMBER.fullmatch(descr) if isinstance(descr, str) else None
    if not found:
        objects = " of objects, which are a pickle" if "O" in str(descr) else f" of unknown dtype {descr!r}"
        raise ValueError(f"values{objects}")
    _, size, text, length, moment = found.groups()
    return 8 if moment else int(length) * (4 if text == "U" else 1) if text else int(size)


def _field(field: Any) -> tuple[Any, ...]:
    if not isinstance(field, tuple) or len(field) not in (2, 3):
        raise ValueError("a dtype whose parts have no name and kind")
    return field


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or not all(type(each) is int and each >= 0 for each in shape):
        raise ValueError("a shape that is none")
    return prod(shape)


def _check_tensors(file: BinaryIO, size: int) -> None:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _LONGEST_TENSORS_HEADER):
        raise ValueError(f"it is {size:,} bytes long, and its header would be {length:,}")
    header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
    if described := header.pop("__metadata__", None):
        msgspec.json.decode(described, type=dict[str, str])
    tensors = (msgspec.json.decode(each, type=_Tensor) for each in header.values())
    end = 0
    for begin, until in sorted(tensor.data_offsets for tensor in tensors):
        if begin != end or until < begin:  # between them anything could lie
            raise ValueError(f"no tensor begins at byte {end:,} of its data")
        end = until
    if end != size - 8 - length:
        raise ValueError(f"{size - 8 - length:,} bytes of data, where its header says {end:,}")


_CHECKS: Final[Mapping[str, tuple[str, Callable[[BinaryIO, int], None], str]]] = {
    "application/safetensors": (
        "safetensors",
        _check_tensors,
        "`safetensors.torch.save_file` writes it, and so do others; a renamed checkpoint of another kind is none",
    ),
    "application/json": (
        "JSON in UTF-8",
        _check_json,
        "`python -m json.tool FILE` says where it breaks; NaN and Infinity are no JSON",
    ),
    "application/x-npy": (
        "one array of numbers or texts as .npy",
        _check_npy,
        "`numpy.save(file, array, allow_pickle=False)` writes it, and refuses what would be a pickle",
    ),
}
