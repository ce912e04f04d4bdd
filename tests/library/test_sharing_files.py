"""A finding whose artifact is a file: from one library to another, and refused before it is read."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.errors import RefusedError, SealError
from darklantern.network.items import PIECE
from library.orgs import Orgs, assessment, finding, founded

DATA = bytes(range(256)) * (2 * PIECE // 256) + b"end"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(DATA)
    return path


def share(orgs: Orgs, source: Path, stop_after: int | None = None) -> str:
    what, calls = finding(DATA), 0

    def progress(done: int, size: int) -> None:
        nonlocal calls
        calls += 1
        assert done <= size == len(DATA)
        if calls == stop_after:
            raise KeyboardInterrupt

    return orgs.aurora.findings.share(
        what, {SHA256: source}, circle="evals", assessment=assessment(what), progress=progress
    )


def pieces(orgs: Orgs) -> set[str]:
    return set(orgs.aurora._desk.vault.blobs)


def test_a_file_travels_and_is_written_at_the_other_end(orgs: Orgs, source: Path, tmp_path: Path) -> None:
    item = share(orgs, source)
    orgs.to_beacon()
    artifact = orgs.beacon.findings.open_artifact(item, SHA256)
    artifact.write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA == orgs.beacon.findings.artifact(item, SHA256)
    assert artifact.read(PIECE - 5, 10) == DATA[PIECE - 5 : PIECE + 5]
    assert artifact.problems() == orgs.beacon.care.verify() == orgs.aurora.care.verify() == ()
    with pytest.raises(SealError, match="has no artifact"):
        orgs.beacon.findings.open_artifact(item, "0" * 64)


def test_an_interrupted_share_goes_on_and_leaves_no_journal(orgs: Orgs, source: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        share(orgs, source, stop_after=2)
    before = pieces(orgs)
    assert len(before) == 2 and not orgs.aurora.findings.listed() and orgs.aurora.care.verify() == ()
    item = share(orgs, source)
    assert before < pieces(orgs)
    assert not list((orgs.aurora._desk.vault.folder / "unfinished").iterdir())
    assert orgs.aurora.findings.artifact(item, SHA256) == DATA


def test_a_share_that_is_given_up_leaves_nothing(orgs: Orgs, source: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        share(orgs, source, stop_after=2)
    orgs.aurora.findings.give_up(SHA256)
    assert not pieces(orgs)
    orgs.aurora.findings.give_up(SHA256)


def test_a_journal_that_a_crash_left_after_sharing_joins_no_two_items(orgs: Orgs, source: Path) -> None:
    """Two items with the same pieces would show whoever carries them that both hold the same file."""
    unfinished = orgs.aurora._desk.vault.folder / "unfinished"
    with pytest.raises(KeyboardInterrupt):
        share(orgs, source, stop_after=3)
    shutil.copytree(unfinished, kept := orgs.folder / "kept")
    first = share(orgs, source)
    shutil.copytree(kept, unfinished, dirs_exist_ok=True)
    before = pieces(orgs)
    second = share(orgs, source)
    assert len(pieces(orgs) - before) == 4  # a fresh copy in three pieces, and the item itself
    shutil.copytree(kept, unfinished, dirs_exist_ok=True)
    orgs.aurora.findings.give_up(SHA256)
    assert orgs.aurora.findings.artifact(first, SHA256) == orgs.aurora.findings.artifact(second, SHA256) == DATA


def test_what_the_rules_forbid_is_refused_before_the_file_is_read(orgs: Orgs, tmp_path: Path) -> None:
    what, nowhere = finding(DATA), tmp_path / "nowhere"
    with pytest.raises(RefusedError, match="assessment"):
        orgs.aurora.findings.share(what, {SHA256: nowhere}, circle="evals", assessment=None)
    with pytest.raises(RefusedError, match="1 are missing"):
        orgs.aurora.findings.share(what, {"0" * 64: nowhere}, circle="evals", assessment=assessment(what))
    assert not pieces(orgs)
