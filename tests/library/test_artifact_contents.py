"""What a file must hold to go along as an artifact: what its media type says, never a pickle."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from darklantern.errors import RecordError, StoreError
from darklantern.library.artifact_contents import check_contents

NPY, TENSORS, JSON = "application/x-npy", "application/safetensors", "application/json"
PAIR = np.dtype([("step", "<i8"), ("name", "<U5"), ("spread", "<f4", (2, 3))])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.asfortranarray(np.ones((2, 3), np.complex64)),
        np.array(1.5),
        np.zeros((0, 4), np.int8),
        np.array(["one", "three"]),
        np.array([b"bytes", b""]),
        np.array([True, False]),
        np.array(["2026-11-22"], "M8[D]"),
        np.zeros(3, PAIR),
        np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        np.zeros(2, np.longdouble),
    ],
)
def test_what_numpy_writes_without_a_pickle_is_npy(tmp_path: Path, array: np.ndarray) -> None:
    file = tmp_path / "array.npy"
    np.save(file, array, allow_pickle=False)
    check_contents(file, NPY)
    data = file.read_bytes()
    for other in (data[:-1], data + b"\0"):
        file.write_bytes(other)
        with pytest.raises(RecordError):
            check_contents(file, NPY)


def test_safetensors_and_json_are_what_others_write(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for tensors in ({}, {"a": np.ones((2, 3), np.float32), "empty": np.zeros(0), "b": np.ones(5, np.int8)}):
        file.write_bytes(save(tensors, metadata={"of": "a test"}))
        check_contents(file, TENSORS)
    for value in ({"a": [1, 2.5, None, "é"]}, [], 0, "text"):
        file.write_text(json.dumps(value, ensure_ascii=False, indent=1))
        check_contents(file, JSON)


def npy(header: str, values: bytes = b"", version: bytes = b"\1\0") -> bytes:
    length = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + length + header.encode() + values


def tensors(header: object, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


def tensor(begin: int, end: int) -> dict[str, object]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


PICKLE = pickle.dumps({"weights": [1, 2, 3]})


@pytest.mark.parametrize(
    ("media", "data"),
    [
        *((media, data) for media in (NPY, TENSORS, JSON) for data in (b"", PICKLE, b"import os\n", b"\xff" * 99)),
        (NPY, npy("{'descr': '|O', 'fortran_order': False, 'shape': ()}", PICKLE)),
        (NPY, npy("{'descr': [('a', '<i8'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}", b"\0" * 16)),
        (NPY, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}")),
        (NPY, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}", b"\0" * 4)),
        (NPY, npy("{'descr': '<f4', 'fortran_order': False, 'shape': 1}", b"\0" * 4)),
        (NPY, npy("{'descr': [('a',)], 'fortran_order': False, 'shape': ()}")),
        (NPY, npy("{'descr': '<f4', 'shape': ()}", b"\0" * 4)),
        (NPY, npy("{[]: 1}")),
        (NPY, npy("'\\\x1b'")),
        (NPY, npy("__import__('os').getpid()")),
        (NPY, npy("(" * 9000)),
        (NPY, npy("[" * 2000 + "]" * 2000)),
        (NPY, npy("-" * 9000 + "1")),
        (NPY, npy("{'descr': '|i1', 'fortran_order': False, 'shape': ()}".ljust(10_001), b"\0", b"\2\0")),
        (NPY, npy("{'descr': '|i1', 'fortran_order': False, 'shape': ()}", b"\0", b"\4\0")),
        (TENSORS, tensors({"a": tensor(0, 5)}, b"1234")),
        (TENSORS, tensors({"a": tensor(0, 4)}, b"1234" + PICKLE)),
        (TENSORS, tensors({"a": tensor(0, 2), "b": tensor(3, 4)}, b"1234")),
        (TENSORS, tensors({"a": tensor(0, 4), "b": tensor(2, 4)}, b"1234")),
        (TENSORS, tensors({"a": tensor(4, 0)}, b"1234")),
        (TENSORS, tensors({"a": tensor(0, 4) | {"code": "x"}}, b"1234")),
        (TENSORS, tensors({"__metadata__": {"a": 1}})),
        (TENSORS, tensors([1, 2])),
        (TENSORS, (10**9).to_bytes(8, "little") + b"{}"),
        (JSON, b'{"a": NaN}'),
        (JSON, b'{"a": 1} trailing'),
        (JSON, b'{"a": "\xff"}'),
        (JSON, b"[" * 1_000_000),
    ],
)
def test_what_only_bears_the_name_is_refused(tmp_path: Path, media: str, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(RecordError, match="got something else") as refused:
        check_contents(file, media)
    assert refused.value.hint and len(refused.value.message) < 1000


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none"):
        check_contents(tmp_path / "none", JSON)
