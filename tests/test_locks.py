"""One process at a time, and the next one is told which."""

import errno
import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from darklantern import locks
from darklantern.errors import StoreError
from darklantern.locks import take_lock


def held(holder: str) -> StoreError:
    return StoreError(f"held by {holder}", hint="wait")


def test_who_comes_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = take_lock(path, held)
    with pytest.raises(StoreError, match=f"held by process {os.getpid()}\n"):
        take_lock(path, held)
    os.close(lock)
    os.close(take_lock(path, held))


def test_one_that_waits_gets_it_as_soon_as_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    lock = take_lock(path, held)
    monkeypatch.setattr(locks.time, "sleep", lambda _: os.close(lock))
    os.close(take_lock(path, held, 3600))


def test_a_holder_without_a_name_holds_it_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for said in ("", "a peer's text"):
            path.write_text(said)
            with pytest.raises(StoreError, match="held by another process\n"):
                take_lock(path, held)


def test_no_lock_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    ours, theirs = multiprocessing.Pipe()
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(path, theirs))
    holder.start()
    assert ours.recv() == "held"
    with pytest.raises(StoreError, match=f"held by process {holder.pid}\n"):
        take_lock(path, held)
    holder.kill()
    holder.join()
    os.close(take_lock(path, held))


def test_a_disk_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(lock: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    with pytest.raises(StoreError, match="No locks available"):
        take_lock(tmp_path / "lock", held)
    with pytest.raises(StoreError, match="cannot write"):
        take_lock(tmp_path / "none" / "lock", held)


def test_a_symlink_is_not_followed_and_what_is_no_plain_file_is_not_locked(tmp_path: Path) -> None:
    precious, link, pipe = (tmp_path / name for name in ("precious", "link", "pipe"))
    precious.write_text("the user's own")
    link.symlink_to(precious)
    os.mkfifo(pipe)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(StoreError, match=f"a plain file to lock at {tmp_path / name}, got a symlink"):
            take_lock(tmp_path / name, held)
    with pytest.raises(StoreError, match="got no plain file"):
        take_lock(pipe, held)
    assert precious.read_text() == "the user's own"
    assert not (tmp_path / "nowhere").exists()


def _hold(path: Path, said: "multiprocessing.connection.Connection") -> None:
    take_lock(path, held)
    said.send("held")
    said.recv()
