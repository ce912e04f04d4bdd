"""Files that appear whole or not at all."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from power import Disk

from darklantern.errors import StoreError
from darklantern.files import link_named, link_unnamed, read_plain, replacing, sync_folder, write_whole


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "export"
    write_whole(path, b"first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["export"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "export", b"bytes")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        write_whole(tmp_path / "nowhere" / "export", b"bytes")


@pytest.mark.parametrize("link", [link_unnamed, link_named])
def test_a_new_file_gets_its_name_last_and_replaces_none(tmp_path: Path, link: Callable[..., object]) -> None:
    path = tmp_path / "export"

    def chunks(fails: bool) -> Iterator[bytes]:
        yield b"one "
        assert not path.exists()
        if fails:
            raise KeyboardInterrupt
        yield b"two"

    with pytest.raises(KeyboardInterrupt):
        link(path, chunks(fails=True))
    assert list(tmp_path.iterdir()) == []
    assert link(path, chunks(fails=False)) in (True, None)
    assert path.read_bytes() == b"one two" and [each.name for each in tmp_path.iterdir()] == ["export"]
    with pytest.raises(StoreError, match="File exists"):
        link(path, iter([b"three"]))
    assert path.read_bytes() == b"one two" and [each.name for each in tmp_path.iterdir()] == ["export"]


def replace_whole(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


@pytest.mark.parametrize(
    "write",
    [
        write_whole,
        replace_whole,
        lambda path, data: link_unnamed(path, [data]),
        lambda path, data: link_named(path, [data]),
    ],
    ids=["whole", "replacing", "unnamed", "named"],
)
def test_p24_what_is_written_outlives_a_power_cut_from_the_moment_the_call_returns(
    write: Callable[[Path, bytes], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    write(tmp_path / "export", b"all of it")
    assert disk.left(tmp_path / "export") == b"all of it"
    assert disk.early == []


def test_the_disk_that_loses_power_loses_what_nobody_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control for all that rests on `power`."""
    disk = Disk(monkeypatch)
    (tmp_path / "partial").write_bytes(b"bytes")
    (tmp_path / "partial").replace(tmp_path / "export")
    assert disk.left(tmp_path / "export") is None and disk.early == ["export"]
    with (tmp_path / "export").open("rb") as file:
        os.fsync(file.fileno())
    assert disk.left(tmp_path / "export") is None and disk.synced(tmp_path / "export") == b"bytes"
    sync_folder(tmp_path)
    assert disk.left(tmp_path / "export") == b"bytes"
    (tmp_path / "export").write_bytes(b"later")
    assert disk.left(tmp_path / "export") == b"bytes"


def test_only_plain_files_of_a_size_that_is_allowed_are_read(tmp_path: Path) -> None:
    plain, pipe = tmp_path / "plain", tmp_path / "pipe"
    plain.write_bytes(b"12345")
    os.mkfifo(pipe)
    assert read_plain(plain, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, at most 4 are read"):
        read_plain(plain, 4)
    for none in (pipe, tmp_path, Path(os.devnull)):
        with pytest.raises(OSError, match="it is no plain file"):
            read_plain(none, 5)
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "nowhere", 5)
