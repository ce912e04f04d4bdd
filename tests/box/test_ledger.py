"""The ledger: what is reserved is spent until it is settled, over crashes, runs and hands that alter it."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.box.ledger import HEAD, LEDGER, Line, opened, read
from darklantern.errors import BoxError, StoreError
from darklantern.records.exact import encode


def spent(folder: Path) -> None:
    with opened(folder, 1000) as ledger:
        for run, worst, cost in (("a", 300, 100), ("a", 300, 300), ("b", 200, 0)):
            ledger.reserve(run, "slot", worst)
            ledger.settle(run, "said", cost)


def test_what_is_not_settled_stays_spent(tmp_path: Path) -> None:
    spent(tmp_path)
    with opened(tmp_path, 1000) as ledger:
        assert ledger.balance.left == 600 and ledger.of("a") == 400 and ledger.of("b") == 0
        ledger.reserve("b", "slot", 500)  # and the power fails
    with opened(tmp_path, 1000) as ledger:
        assert ledger.balance.left == 100 and ledger.balance.reserved == 500
        with pytest.raises(BoxError, match="bits are left"):
            ledger.reserve("b", "slot", 101)
        ledger.reserve("b", "slot", 100)
        with pytest.raises(BoxError, match="not settled"):
            ledger.reserve("b", "slot", 0)
        with pytest.raises(BoxError, match="100 reserved"):
            ledger.settle("b", "said", 101)
        ledger.settle("b", "said", 1)
    assert read(tmp_path)[1].left == 99


def test_the_budget_is_never_raised_and_one_process_holds_it(tmp_path: Path) -> None:
    spent(tmp_path)
    with pytest.raises(BoxError, match="has a budget of"), opened(tmp_path, 2000):
        pass
    with opened(tmp_path, 1000), pytest.raises(StoreError, match="is held by process"), opened(tmp_path, 1000):
        pass


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_it_can_be_changed(tmp_path_factory: pytest.TempPathFactory, place: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("project")
    spent(folder)
    path = folder / LEDGER
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    with pytest.raises(BoxError, match="was altered"), opened(folder, 1000):
        pass


@pytest.mark.parametrize("keep", [0, 1, 3, 5, 6])
def test_lines_cannot_be_cut_off(tmp_path: Path, keep: int) -> None:
    spent(tmp_path)
    path = tmp_path / LEDGER
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))
    with pytest.raises(BoxError, match="lines, and"), opened(tmp_path, 1000):
        pass
    path.unlink()
    with pytest.raises(BoxError, match="7 lines, and 0"), opened(tmp_path, 1000):
        pass


def test_a_line_that_was_half_written_was_never_shown_for(tmp_path: Path) -> None:
    spent(tmp_path)
    path = tmp_path / LEDGER
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"previous":"')
    assert read(tmp_path)[1].left == 600 and path.read_bytes() != whole
    with opened(tmp_path, 1000) as ledger:
        assert ledger.balance.left == 600 and path.read_bytes() == whole


def test_a_crash_between_line_and_head_is_no_alteration(tmp_path: Path) -> None:
    spent(tmp_path)
    head = (tmp_path / HEAD).read_bytes()
    with opened(tmp_path, 1000) as ledger:
        ledger.reserve("c", "slot", 7)
    (tmp_path / HEAD).write_bytes(head)
    with opened(tmp_path, 1000) as ledger:
        assert ledger.balance.left == 593
        ledger.reserve("c", "slot", 7)
        ledger.settle("c", "said", 7)
    (tmp_path / HEAD).write_bytes(head)
    with pytest.raises(BoxError, match="was altered"), opened(tmp_path, 1000):
        pass
    (tmp_path / HEAD).unlink()
    with pytest.raises(BoxError, match="names no lines"), opened(tmp_path, 1000):
        pass


def test_nobody_gives_a_reservation_back_after_a_crash(tmp_path: Path) -> None:
    with opened(tmp_path, 1000) as ledger:
        ledger.reserve("a", "slot", 500)  # and the supervisor is killed
        previous = ledger.head
    forged = Line(previous=previous.hash, number=previous.lines, kind="settle", run="a", what="said", microbits=0)
    with (tmp_path / LEDGER).open("ab") as file:
        file.write(encode(forged) + b"\n")
    assert read(tmp_path)[1].left == 500
    with opened(tmp_path, 1000) as ledger:
        assert ledger.balance.left == 500
        ledger.reserve("a", "slot", 1)
        ledger.settle("a", "said", 1)
    assert read(tmp_path)[1].left == 499


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_reserves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=True)
    try:
        with opened(disk / "project", 1000) as ledger:
            (disk / "filler").write_bytes(b"x" * 4096)
            with pytest.raises(StoreError):
                for _ in range(100):
                    left = ledger.balance.left
                    ledger.reserve("a", "slot", 1)
                    ledger.settle("a", "said", 0)
            before = ledger.balance
        (disk / "filler").unlink()
        with opened(disk / "project", 1000) as ledger:
            assert ledger.balance.left in (left, left - 1) and before.left in (left, left - 1)
            ledger.reserve("a", "slot", 5)
    finally:
        subprocess.run(["umount", disk], check=True)
