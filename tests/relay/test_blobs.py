"""What every store of blobs does, a folder and S3 (OpenStack Swift) alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from power import Disk

from darklantern.errors import RefusedError, StoreError
from darklantern.relay.stores import Blobs, open_blobs
from darklantern.relay.stores.blobs import is_whole

MIB = 1 << 20
LARGE = bytes(range(256)) * (20 * MIB // 256) + b"tail"  # three parts of a multipart upload
ABSENT = "0" * 64


def name_of(data: bytes) -> str:
    return blake3(data).hexdigest()


def put(blobs: Blobs, data: bytes, max_bytes: int = 1 << 40) -> str:
    name = name_of(data)
    assert blobs.put(name, (data[at : at + 100_000] for at in range(0, len(data), 100_000)), max_bytes) == len(data)
    return name


@pytest.mark.parametrize("data", [b"", b"x", LARGE[: 8 * MIB], LARGE[: 8 * MIB + 1], LARGE], ids=len)
def test_bytes_come_back_whole_and_in_ranges(blobs: Blobs, data: bytes) -> None:
    name = put(blobs, data)
    assert blobs.size(name) == len(data)
    assert b"".join(blobs.read(name)) == data
    assert is_whole(blobs, name)
    middle = len(data) // 2
    for start, stop in ((0, 0), (0, 1), (middle, None), (middle, min(middle + 300_000, len(data))), (len(data), None)):
        if start <= len(data) and (stop or 0) <= len(data):
            assert b"".join(blobs.read(name, start, stop)) == data[start:stop]


def test_a_range_that_is_not_within_is_refused_before_the_first_byte(blobs: Blobs) -> None:
    name = put(blobs, b"0123456789")
    for start, stop in ((0, 11), (11, None), (5, 4), (-1, 3)):
        with pytest.raises(StoreError, match="within 10 bytes"):
            blobs.read(name, start, stop)


def test_a_blob_deleted_before_its_first_byte_is_an_error(blobs: Blobs) -> None:
    pieces = blobs.read(put(blobs, b"soon gone"))
    assert blobs.delete(name_of(b"soon gone"))
    with pytest.raises(StoreError):
        next(pieces)


def test_what_is_not_here(blobs: Blobs) -> None:
    assert blobs.size(ABSENT) is None
    assert not blobs.delete(ABSENT)
    assert not is_whole(blobs, ABSENT)
    with pytest.raises(StoreError, match="not here"):
        blobs.read(ABSENT)


def test_names_are_sorted_and_go_with_their_blob(blobs: Blobs) -> None:
    names = [put(blobs, f"blob {number}".encode()) for number in range(12)]
    assert list(blobs.names()) == sorted(names)
    assert blobs.delete(names[0])
    assert blobs.size(names[0]) is None
    assert list(blobs.names()) == sorted(names[1:])


def test_the_same_blob_twice_is_one(blobs: Blobs) -> None:
    assert put(blobs, b"same") == put(blobs, b"same")
    assert list(blobs.names()) == [name_of(b"same")]


@pytest.mark.parametrize("name", ["", "../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63])
def test_a_name_that_is_no_hash_is_refused(blobs: Blobs, name: str) -> None:
    for call in (blobs.size, blobs.delete, blobs.read, lambda name: blobs.put(name, [b""], 1)):
        with pytest.raises(StoreError, match="BLAKE3"):
            call(name)


@pytest.mark.parametrize("data", [b"small", LARGE], ids=len)
def test_other_bytes_than_the_name_says_are_never_there(blobs: Blobs, data: bytes) -> None:
    with pytest.raises(StoreError, match="other bytes"):
        blobs.put(name_of(data), [data[:-1], b"!"], 1 << 40)
    assert_nothing(blobs)
    whole = put(blobs, data)
    with pytest.raises(StoreError, match="other bytes"):
        blobs.put(whole, [b"instead"], 1 << 40)
    assert is_whole(blobs, whole)


@pytest.mark.parametrize("limit", [3, 10 * MIB])
def test_too_large_is_refused_as_soon_as_it_is(blobs: Blobs, limit: int) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(MIB)

    with pytest.raises(RefusedError, match=f"at most {limit} bytes"):
        blobs.put(ABSENT, endless(), limit)
    assert_nothing(blobs)
    put(blobs, b"abc", max_bytes=3)


@pytest.mark.parametrize("sent", [0, 1, 12], ids="{} MiB sent".format)
def test_an_upload_that_is_cut_off_leaves_nothing(blobs: Blobs, sent: int) -> None:
    def cut() -> Iterator[bytes]:
        for at in range(sent):
            yield LARGE[at * MIB : (at + 1) * MIB]
        raise ConnectionResetError("the device went away")

    with pytest.raises(ConnectionResetError):
        blobs.put(name_of(LARGE), cut(), 1 << 40)
    assert_nothing(blobs)
    put(blobs, LARGE)


def test_the_sweep_spares_what_is_young_and_what_is_whole(blobs: Blobs) -> None:
    name = put(blobs, b"whole")

    def swept_meanwhile() -> Iterator[bytes]:
        yield LARGE
        assert blobs.sweep(3600) == 0

    assert blobs.put(name_of(LARGE), swept_meanwhile(), 1 << 40) == len(LARGE)
    assert blobs.sweep(0) == 0
    assert list(blobs.names()) == sorted([name, name_of(LARGE)])


def assert_nothing(blobs: Blobs) -> None:
    assert list(blobs.names()) == []
    assert blobs.sweep(0) == 0


def test_a_damaged_blob_is_found(tmp_path: Path) -> None:
    blobs = open_blobs(f"file://{tmp_path}/with%20space")
    name = put(blobs, b"whole")
    path = tmp_path / "with space" / name[:2] / name
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"wrong")
    assert not is_whole(blobs, name)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "file:relative",
        "file://host/x",
        "s3://",
        "s3://key:secret@bucket",
        "s3://bucket?acl=public",
        "s3://bucket?endpoint=host",
    ],
)
def test_other_urls_are_refused_and_no_key_is_quoted(url: str) -> None:
    with pytest.raises(StoreError, match="expected") as caught:
        open_blobs(url)
    assert "secret" not in caught.value.message + caught.value.hint


def test_p24_a_blob_in_a_folder_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 says when it has one; a folder has it once the call returns."""
    disk = Disk(monkeypatch)
    blobs = open_blobs(f"file://{tmp_path / 'blobs'}")
    name = put(blobs, b"some bytes")
    assert disk.left(tmp_path / "blobs" / name[:2] / name) == b"some bytes" and disk.early == []
    assert name[:2] in disk.names(tmp_path / "blobs") and "blobs" in disk.names(tmp_path)
    blobs.delete(name)
    assert name not in disk.names(tmp_path / "blobs" / name[:2])
    blobs.close()
