"""What goes was said before, is what nothing names or what has had its time, and never what a record needs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.errors import RefusedError, SealError
from darklantern.library import Library
from darklantern.network import new_terms
from darklantern.network.items import PIECE
from library.carried import exported, imported
from library.orgs import WEEK, Orgs, artifacts, assessment, finding, found_circle, founded, reopened
from library.test_crash import child

DATA = bytes(range(256)) * (3 * PIECE // 256)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def share(orgs: Orgs, title: str = "a finding") -> str:
    what = finding(title=title)
    return orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))


def interrupted(orgs: Orgs, after: int) -> None:
    source = orgs.folder / "weights"
    source.write_bytes(DATA)
    what, calls = finding(DATA), 0

    def progress(done: int, size: int) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        orgs.aurora.findings.share(
            what, {SHA256: source}, circle="evals", assessment=assessment(what), progress=progress
        )


def pieces(library: Library) -> set[str]:
    return set(library._desk.vault.blobs)


def epochs(library: Library, circle: str) -> list[str]:
    return [epoch.id for epoch in library.view.circle(circle).epochs]


def test_orphans_go_and_what_a_record_or_an_unfinished_sealing_names_stays(orgs: Orgs) -> None:
    item = share(orgs)
    kept = pieces(orgs.aurora)
    interrupted(orgs, after=2)
    sealed = pieces(orgs.aurora) - kept
    stray = _stray(orgs)
    planned = orgs.aurora.care.compaction()
    assert planned.orphans == (stray,) and planned.bytes == len(b"stray")
    (waiting,) = planned.unfinished
    assert (waiting.sha256, waiting.size, set(waiting.pieces)) == (SHA256, len(DATA), sealed)
    assert "1 piece of 5 bytes would go" in str(planned) and SHA256 in str(planned)
    assert stray in pieces(orgs.aurora)  # nothing has gone yet
    orgs.aurora.care.compact(planned)
    assert pieces(orgs.aurora) == kept | sealed
    assert orgs.aurora.findings.open(item) and orgs.aurora.care.verify() == ()
    orgs.aurora.findings.give_up(SHA256)
    assert pieces(orgs.aurora) == kept and orgs.aurora.care.compaction().unfinished == ()


def test_beginnings_of_pieces_that_nothing_lacks_go_and_others_stay(orgs: Orgs) -> None:
    item = share(orgs)
    lacking, *_ = orgs.aurora.view.circle(orgs.circle).entries[item].body.pieces
    orgs.aurora._desk.vault.blobs.discard([lacking])
    incoming = orgs.folder / "aurora" / "incoming"
    incoming.mkdir(exist_ok=True)
    for name in (lacking, "0" * 64):
        (incoming / name).write_bytes(b"a beginning")
    planned = orgs.aurora.care.compaction()
    assert planned.abandoned == ("0" * 64,) and planned.bytes == 11 and "1 beginnings" in str(planned)
    orgs.aurora.care.compact(planned)
    assert [path.name for path in incoming.iterdir()] == [lacking]


def _stray(orgs: Orgs) -> str:
    """A piece that a crash left between writing it and writing the record that names it."""
    from blake3 import blake3

    name = blake3(b"stray").hexdigest()
    orgs.aurora._desk.vault.blobs.add(name, b"stray")
    return name


def test_a_damaged_journal_is_listed_and_given_up_by_its_name_and_its_pieces_go(orgs: Orgs) -> None:
    share(orgs)
    kept = pieces(orgs.aurora)
    interrupted(orgs, after=2)
    (journal,) = (orgs.folder / "aurora" / "unfinished").iterdir()
    journal.write_bytes(b"no journal")
    planned = orgs.aurora.care.compaction()
    (waiting,) = planned.unfinished
    assert (waiting.sha256, waiting.journal) == (None, journal.name) and "damaged" in str(planned)
    orgs.aurora.findings.give_up(journal.name)
    assert not journal.exists()
    orgs.aurora.care.compact(orgs.aurora.care.compaction())
    assert pieces(orgs.aurora) == kept


def test_a_plan_that_time_has_passed_removes_nothing_that_is_used_by_now(orgs: Orgs) -> None:
    interrupted(orgs, after=2)
    orgs.aurora._desk.vault.unfinished.rename(orgs.folder / "aside")
    planned = orgs.aurora.care.compaction()
    assert len(planned.orphans) == 2
    (orgs.folder / "aside").rename(orgs.aurora._desk.vault.unfinished)
    what = finding(DATA)
    item = orgs.aurora.findings.share(
        what, {SHA256: orgs.folder / "weights"}, circle="evals", assessment=assessment(what)
    )
    orgs.aurora.care.compact(planned)
    assert orgs.aurora.findings.artifact(item, SHA256) == DATA


def test_a_forgotten_epoch_opens_nothing_again_not_even_after_importing_it_anew(orgs: Orgs) -> None:
    """History is `all`, so the next epoch's seed would open the forgotten one by its link."""
    old = share(orgs, "with a wordtoforget")
    post = orgs.aurora.threads.post(old, "wordtoforget in a post")
    orgs.aurora.members.rotate("evals")
    new = share(orgs, "kept")
    orgs.to_beacon()
    first, second = epochs(orgs.aurora, orgs.circle)
    everything = exported(orgs.aurora)
    planned = orgs.beacon.care.compaction([first])
    (going,) = planned.forgotten
    assert (going.number, set(going.entries), len(going.pieces)) == (1, {old, post}, 3)
    assert "will not open again on this device, which cannot be undone" in str(planned)
    assert orgs.beacon.search("wordtoforget") and orgs.beacon.findings.open(old)
    before = pieces(orgs.beacon)
    assert orgs.beacon.care.compact(planned) > 0
    for _ in range(2):
        assert pieces(orgs.beacon) == before - set(going.pieces)
        assert orgs.beacon.search("wordtoforget") == () and orgs.beacon.care.reindex() == 1
        with pytest.raises(SealError, match="seed was destroyed on this device"):
            orgs.beacon.findings.open(old)
        assert orgs.beacon.findings.open(new).finding.title == "kept"
        assert orgs.beacon.care.verify() == () and orgs.beacon.threads.open(old).posts == ()
        imported(orgs.beacon, everything)
        orgs.beacon.close()
        orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
        assert first not in orgs.beacon._desk.state.keyring.seeds and second in orgs.beacon._desk.state.keyring.seeds
    assert orgs.beacon.care.compaction([first]).forgotten == ()
    orgs.beacon.members.rotate("evals")  # it goes on sealing
    assert orgs.aurora.findings.open(old)  # and reaches nobody else


def test_the_epochs_whose_retention_has_ended_go_and_no_others(orgs: Orgs) -> None:
    found_circle(orgs.aurora, new_terms("short", "V2"), retention=WEEK, rotation=52 * WEEK)
    what = finding(title="for a week")
    item = orgs.aurora.findings.share(what, artifacts(), circle="short", assessment=assessment(what))
    orgs.clock.now += 10
    orgs.aurora.members.rotate("short")
    later = orgs.aurora.findings.share(what, artifacts(), circle="short", assessment=assessment(what))
    share(orgs)
    orgs.aurora.members.rotate("evals")
    orgs.clock.now += WEEK - 1
    assert orgs.aurora.care.compaction().forgotten == ()
    orgs.clock.now += 1
    (going,) = orgs.aurora.care.compaction().forgotten
    assert (going.number, going.entries) == (1, (item,))
    assert orgs.aurora.care.compaction(()).forgotten == ()
    orgs.aurora.care.compact(orgs.aurora.care.compaction())
    assert orgs.aurora.findings.open(later) and orgs.aurora.care.compaction().forgotten == ()
    with pytest.raises(SealError, match="destroyed on this device"):
        orgs.aurora.findings.open(item)


def test_the_newest_epoch_and_an_unknown_one_are_not_forgotten(orgs: Orgs) -> None:
    item = share(orgs)
    (newest,) = epochs(orgs.aurora, orgs.circle)
    with pytest.raises(RefusedError, match="the circle seals to it"):
        orgs.aurora.care.compaction([newest])
    with pytest.raises(RefusedError, match="no epoch"):
        orgs.aurora.care.compaction(["7" * 64])
    assert orgs.aurora.findings.open(item)


def test_space_goes_back_to_the_disk_and_no_seed_stays_in_the_file(orgs: Orgs) -> None:
    item = share(orgs)
    for n in range(40):
        orgs.aurora.threads.post(item, f"word{n} " * 3000)
    orgs.aurora.members.rotate("evals")
    share(orgs, "kept")
    path = orgs.folder / "aurora" / "library.db"
    size = path.stat().st_size
    freed = orgs.aurora.care.compact(orgs.aurora.care.compaction(epochs(orgs.aurora, orgs.circle)[:1]))
    assert path.stat().st_size < size and freed > size - path.stat().st_size
    assert not any("epoch " + epochs(orgs.aurora, orgs.circle)[0] == name for name in secrets(orgs.aurora))
    assert orgs.aurora.care.verify() == ()


def secrets(library: Library) -> set[str]:
    return set(library._desk.vault.database.read().secrets)


COMPACT = """
import os, sys
from pathlib import Path
from library.orgs import Clock, reopened
from darklantern.stores.blobs import Blobs
aurora = reopened(Path(sys.argv[1]), "ada", Clock())
Blobs.discard = lambda self, names: os._exit(9)
aurora.care.compact(aurora.care.compaction([sys.argv[2]]))
"""


def test_p24_a_crash_between_the_seed_and_its_pieces_leaves_orphans_and_no_seed(orgs: Orgs) -> None:
    share(orgs)
    orgs.aurora.members.rotate("evals")
    kept = share(orgs, "kept")
    first, _ = epochs(orgs.aurora, orgs.circle)
    orgs.aurora.close()
    process = child(COMPACT, orgs.folder / "aurora", first)
    process.communicate(timeout=60)
    assert process.returncode == 9
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert f"epoch {first}" not in secrets(orgs.aurora)
    planned = orgs.aurora.care.compaction()
    assert len(planned.orphans) == 2
    orgs.aurora.care.compact(planned)
    assert orgs.aurora.care.verify() == () and orgs.aurora.findings.open(kept)
