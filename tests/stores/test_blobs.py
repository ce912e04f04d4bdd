"""Pieces are there whole, under the name of their bytes, or not at all."""

from pathlib import Path

import pytest
from blake3 import blake3
from power import Disk

from darklantern.errors import StoreError
from darklantern.stores import Blobs
from darklantern.stores.blobs import pick
from darklantern.stores.incoming import Incoming


def named(*pieces: bytes) -> dict[str, bytes]:
    return {blake3(piece).hexdigest(): piece for piece in pieces}


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


def test_pieces_come_back_by_name(blobs: Blobs) -> None:
    pieces = named(b"one", b"two", b"")
    with blobs.put(pieces) as written:
        written.keep()
    assert set(blobs) == set(pieces)
    assert pick(blobs, [*pieces, "0" * 64]) == pieces
    assert blobs.get("0" * 64) is None
    assert next(iter(pieces)) in blobs and "0" * 64 not in blobs


def put(blobs: Blobs, incoming: Incoming, name: str, data: bytes) -> None:
    with blobs.put({name: data}) as written:
        written.keep()


def add(blobs: Blobs, incoming: Incoming, name: str, data: bytes) -> None:
    blobs.add(name, data)


def give(blobs: Blobs, incoming: Incoming, name: str, data: bytes) -> None:
    """As from a bundle."""
    with incoming.staged() as staged:
        staged.add(name, data)
        with staged.given([name], blobs) as written:
            written.keep()


def take(blobs: Blobs, incoming: Incoming, name: str, data: bytes) -> None:
    """As from a relay."""
    with incoming.piece(name, len(data)) as begun:
        begun.take(memoryview(data))
        assert begun.finish(blobs)
    blobs.settle([name])


@pytest.mark.parametrize("store", [put, add, give, take])
def test_p24_a_stored_piece_outlives_a_power_cut(store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of its folder, which was new."""
    disk, folder = Disk(monkeypatch), tmp_path / "blobs"
    folder.mkdir()
    ((name, data),) = named(b"one").items()
    store(Blobs(folder), Incoming(tmp_path / "incoming"), name, data)
    assert disk.left(folder / name[:2] / name) == data and disk.early == []
    assert name[:2] in disk.names(folder)


def test_pieces_are_taken_back_when_what_names_them_fails(blobs: Blobs) -> None:
    with blobs.put(named(b"old")) as written:
        written.keep()
    with pytest.raises(RuntimeError), blobs.put(named(b"old", b"new")):
        raise RuntimeError
    assert set(blobs) == set(named(b"old"))


def test_a_piece_under_another_name_is_refused_and_takes_the_others_along(blobs: Blobs) -> None:
    with pytest.raises(StoreError, match="other bytes"), blobs.put(named(b"good") | {"0" * 64: b"bad"}):
        pass
    assert not set(blobs)


def test_a_damaged_piece_is_an_error_until_it_is_put_again(blobs: Blobs, tmp_path: Path) -> None:
    pieces = named(b"one")
    (name,) = pieces
    with blobs.put(pieces) as written:
        written.keep()
    (tmp_path / name[:2] / name).write_bytes(b"eno")
    assert blobs.damaged() == (name,)
    assert pick(blobs, pieces) == {}
    with pytest.raises(StoreError, match="damaged on disk"):
        blobs.get(name)
    with blobs.put(pieces) as written:
        written.keep()
    assert blobs.damaged() == () and blobs.get(name) == b"one"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a" * 63, "A" * 64, "a" * 64 + "\n", "/" * 64])
def test_no_name_points_outside_the_folder(blobs: Blobs, name: str) -> None:
    with pytest.raises(StoreError, match="expected the BLAKE3"):
        blobs.get(name)


def test_a_folder_that_is_gone_is_made_again_or_said_to_be_in_the_way(tmp_path: Path) -> None:
    with Blobs(tmp_path / "blobs").put(named(b"one")):
        assert (tmp_path / "blobs").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"), Blobs(tmp_path / "file").put(named(b"one")):
        pass
