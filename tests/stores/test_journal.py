"""A journal says after a crash what it was told before, or is refused."""

import os
from pathlib import Path

import pytest
from blake3 import blake3
from power import Disk

from darklantern.errors import StoreError
from darklantern.stores import Blobs
from darklantern.stores.journal import begin_journal, open_journal

A, B = "a" * 64, "b" * 64


def test_a_journal_comes_back_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "unfinished" / "one"
    assert open_journal(path) is None
    journal = begin_journal(path, b"begun")
    journal.mark(0, A)
    journal.finish(0, B)
    journal.close()
    with path.open("ab") as file:
        file.write(b"mark 1 aaaa")  # a line that was cut short
    again = open_journal(path)
    assert again is not None
    assert (again.begun, again.marks, again.done) == (b"begun", {0: A}, {0: B})
    again.mark(1, B)
    again.close()
    last = open_journal(path)
    assert last is not None and last.marks == {0: A, 1: B}
    last.remove()
    last.close()
    assert open_journal(path) is None


def test_p24_a_mark_outlives_a_power_cut_before_anything_is_sealed_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a mark was lost and its piece was not, other bytes could be sealed in its place under one key and nonce."""
    disk, path = Disk(monkeypatch), tmp_path / "unfinished" / "one"
    journal = begin_journal(path, b"begun")
    journal.mark(0, A)
    assert disk.left(path) == path.read_bytes()
    journal.close()
    with path.open("ab") as file:  # by a process that was killed before it synced
        file.write(b"mark 1 " + B.encode() + b"\n")
    again = open_journal(path)
    assert again is not None and again.marks == {0: A, 1: B}
    again.close()
    assert disk.left(path) == path.read_bytes()


@pytest.mark.parametrize("data", [b"", b"\n", b"mark 0 " + b"a" * 64 + b"\n", b"begin AAA\n", b"begin AAAA\n\n"])
def test_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "journal").write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        open_journal(tmp_path / "journal")


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        begin_journal(tmp_path / "file" / "journal", b"")


def test_pieces_added_one_at_a_time_stay_until_they_are_discarded(tmp_path: Path) -> None:
    blobs, data = Blobs(tmp_path / "blobs"), os.urandom(100)
    name = blake3(data).hexdigest()
    blobs.add(name, memoryview(data))
    blobs.add(name, data)
    assert blobs.get(name) == data
    with pytest.raises(StoreError, match="other bytes"):
        blobs.add(A, data)
    blobs.discard([name, A])
    assert not list(blobs)
