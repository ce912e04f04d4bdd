"""Whatever is damaged or missing is found and named with what it belongs to, in flat memory."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darklantern.network.items import PIECE
from darklantern.stores import Blobs
from library.meeting import met
from library.orgs import Orgs, artifacts, assessment, finding, founded


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


DATA = bytes(range(256)) * (2 * PIECE // 256)


def share(orgs: Orgs) -> str:
    what = finding(DATA)
    return orgs.aurora.findings.share(what, artifacts(DATA), circle="evals", assessment=assessment(what))


def file_of(orgs: Orgs, name: str) -> Path:
    return orgs.folder / "aurora" / "blobs" / name[:2] / name


def test_a_whole_library_has_no_problem_and_progress_reaches_all_of_it(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.aurora.threads.post(item, "a post")
    seen: list[tuple[int, int]] = []
    assert orgs.aurora.care.verify(lambda done, size: seen.append((done, size))) == ()
    size = sum(file_of(orgs, name).stat().st_size for name in orgs.aurora._desk.vault.blobs)
    assert seen[-1] == (size, size) and seen == sorted(seen) and len(seen) == len(list(orgs.aurora._desk.vault.blobs))


def test_each_bad_piece_is_named_with_what_it_belongs_to(orgs: Orgs) -> None:
    item = share(orgs)
    post = orgs.aurora.threads.post(item, "a post")
    entries = orgs.aurora.view.circle(orgs.circle).entries
    first, second, *_ = entries[item].body.attached
    (words,) = entries[post].body.pieces
    file_of(orgs, first).write_bytes(b"other bytes")
    file_of(orgs, second).unlink()
    file_of(orgs, words).write_bytes(file_of(orgs, words).read_bytes()[:-1])
    stray = blake3(b"stray").hexdigest()
    file_of(orgs, stray).parent.mkdir(exist_ok=True)
    file_of(orgs, stray).write_bytes(b"not its bytes")
    found = {problem.piece: problem for problem in orgs.aurora.care.verify() if problem.piece}
    assert found.keys() == {first, second, words, stray}
    assert "is damaged on disk" in found[first].what and "is missing" in found[second].what
    assert found[first].belongs_to == (f"artifact notes.json, 1 of 3, of item {item} ({finding().title})",)
    assert "2 of 3" in found[second].belongs_to[0]
    assert found[words].belongs_to == (f"post {post}",)
    assert found[stray].belongs_to == ("nothing that counts here: compacting removes it",)
    assert any(post in str(problem) and "damaged" not in str(problem) for problem in orgs.aurora.care.verify())


def test_a_damaged_page_of_the_database_is_found_while_it_is_open(orgs: Orgs) -> None:
    item = share(orgs)
    for n in range(30):
        orgs.aurora.threads.post(item, f"post {n}" * 50)
    path = orgs.folder / "aurora" / "library.db"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert any("library.db is damaged" in problem.what for problem in orgs.aurora.care.verify())


@given(bad=st.sets(st.integers(0, 99)), gone=st.sets(st.integers(0, 99)))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_come_in_order_however_many_threads_work(bad: set[int], gone: set[int], tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    pieces = {blake3(data).hexdigest(): data for data in (b"%d" % n * (n + 1) for n in range(100))}
    names = list(pieces)
    for number, (name, data) in enumerate(pieces.items()):
        path = tmp_path / name[:2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" if number in bad else data)
        if number in gone:
            path.unlink()
    expected = ["is missing" if n in gone else "is damaged on disk" if n in bad else None for n in range(100)]
    assert list(blobs.check(names)) == expected
    assert list(blobs.check([])) == []


def test_p33_checking_large_pieces_takes_little_memory(tmp_path: Path) -> None:
    blobs, data = Blobs(tmp_path), os.urandom(PIECE)
    names = []
    for n in range(12):
        piece = n.to_bytes(8, "big") + data
        names.append(blake3(piece).hexdigest())
        blobs.add(names[-1], piece)
    tracemalloc.start()
    try:
        assert list(blobs.check(names)) == [None] * 12
        assert tracemalloc.get_traced_memory()[1] < PIECE
    finally:
        tracemalloc.stop()


def test_a_piece_that_verifying_found_damaged_comes_again_with_the_next_sync(tmp_path: Path) -> None:
    us = met(tmp_path)
    item = us.share(b"an artifact")
    us.sync()
    (name,) = us.beacon.view.circle(us.circle).entries[item].body.pieces
    path = tmp_path / "beacon" / "blobs" / name[:2] / name
    path.write_bytes(b"other bytes")
    us.sync()
    assert path.read_bytes() == b"other bytes", "no sync reads all of the store"
    (problem,) = (each for each in us.beacon.care.verify() if each.piece)
    assert "`darklantern sync` fetches it again" in str(problem)
    beacon = us.reopen("beacon")
    assert beacon.relays.preview([us.relay]).relays[us.relay.name].imported.pieces == 1
    us.sync()
    assert beacon.care.verify() == () and beacon.findings.open(item)
    assert us.reopen("beacon")._desk.lacking == {}
    us.close()
