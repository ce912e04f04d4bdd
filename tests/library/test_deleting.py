"""What is taken back is dropped wherever the request arrives, and who has not said so is listed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from darklantern.errors import RefusedError, StoreError
from darklantern.library import Library
from darklantern.library.sharing import seal_again
from darklantern.network.items import Posting
from darklantern.records.posts import Post
from library.orgs import CANARY, Orgs, artifacts, assessment, every_byte_of, finding, founded, reopened
from library.test_backup import restored


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def share(library: Library, title: str = f"called {CANARY}") -> str:
    what = finding(title=title)
    return library.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))


def pieces(library: Library) -> set[str]:
    return set(library._desk.vault.blobs)


def test_p26_a_tombstone_removes_pieces_plaintext_and_index_rows_wherever_it_arrives(orgs: Orgs) -> None:
    kept, item = share(orgs.aurora, "kept"), share(orgs.aurora)
    before = pieces(orgs.aurora)
    orgs.to_beacon()
    assert pieces(orgs.beacon) == before and len(orgs.beacon.search(CANARY)) == 2
    orgs.aurora.bury(item)
    orgs.to_beacon()
    for library in (orgs.aurora, orgs.beacon):
        assert [each.id for each in library.findings.listed()] == [kept]
        assert [hit.item for hit in library.search(CANARY)] == [kept]  # its evidence names it
        assert len(pieces(library)) == len(before) - 2
        for ask in (library.findings.open, library.threads.open, library.findings.versions, library.findings.links):
            with pytest.raises(RefusedError, match="taken back"):
                ask(item)
        assert library.care.verify() == () and library.care.compaction(()).orphans == ()
    orgs.to_aurora()
    assert orgs.aurora.opaque == orgs.beacon.opaque == ()


def test_p26_whoever_names_the_pieces_of_another_and_takes_that_back_takes_nothing_away(orgs: Orgs) -> None:
    """Names of pieces are public: any member can write a record that names somebody else's, and bury it."""
    item = share(orgs.aurora)
    orgs.to_beacon()
    theirs, state = pieces(orgs.beacon), orgs.beacon._desk.state
    posting = Posting(content=Post(thread=item, text="mine now"))
    said = seal_again(state, posting, orgs.circle, "V2", sorted(theirs), orgs.clock.now)
    orgs.beacon._desk.step(said[0], said[2])
    orgs.to_aurora()
    orgs.beacon.bury(said[1])
    orgs.to_aurora()
    orgs.to_beacon()
    for library in (orgs.aurora, orgs.beacon):
        assert pieces(library) == theirs and library.threads.open(item).posts == ()
        assert library.findings.open(item).finding.title and library.care.verify() == ()


def test_receipts_come_by_themselves_and_missing_ones_are_listed(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.to_beacon()
    orgs.aurora.bury(item)
    (dropped,) = orgs.aurora.care.report().dropped
    assert (dropped.id, dropped.kind, dropped.asked) == (item, "item", ("ada of Aurora",))
    assert [reader.person for reader in dropped.receipts] == ["ada"]
    assert [reader.person for reader in dropped.missing] == ["bo"]
    orgs.to_beacon()
    assert len(orgs.beacon.pending) == 1  # its receipt waits for the keeper
    orgs.to_aurora()
    (dropped,) = orgs.aurora.care.report().dropped
    assert {reader.person for reader in dropped.receipts} == {"ada", "bo"} and dropped.missing == ()
    orgs.to_beacon()
    state = every_byte_of(orgs.folder / "beacon")
    orgs.to_beacon()
    assert orgs.beacon.pending == () and every_byte_of(orgs.folder / "beacon") == state  # said once


def test_somebody_elses_goes_only_once_a_quorum_of_admins_has_asked(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.to_beacon()
    post = orgs.beacon.threads.post(item, f"{CANARY} in a post")
    orgs.to_aurora()
    orgs.aurora.bury(post)
    assert [each.id for each in orgs.aurora.threads.open(item).posts] == [
        post
    ] and orgs.aurora.care.report().dropped == ()
    orgs.to_beacon()
    orgs.beacon.bury(post)  # its own author
    assert orgs.beacon.threads.open(item).posts == ()
    orgs.to_aurora()
    assert orgs.aurora.threads.open(item).posts == () and len(orgs.aurora.care.report().dropped[0].asked) == 2


def test_p26_a_restored_backup_drops_it_again(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.to_beacon()
    orgs.beacon.care.backup(orgs.folder / "backup")
    orgs.aurora.bury(item)
    bundle = orgs.folder / "newer"
    orgs.aurora.bundles.export_to(bundle)
    beacon = restored(orgs, "bo", bundle=bundle)
    assert beacon.findings.listed() == () and beacon.search(CANARY) == () and pieces(beacon) == set()
    with pytest.raises(RefusedError, match="taken back"):
        beacon.findings.open(item)


def test_what_a_crash_left_of_something_dropped_is_an_orphan(orgs: Orgs, monkeypatch: pytest.MonkeyPatch) -> None:
    item = share(orgs.aurora)
    left = pieces(orgs.aurora)
    monkeypatch.setattr("darklantern.stores.blobs.Blobs.discard", lambda self, names: None)
    orgs.aurora.bury(item)
    monkeypatch.undo()
    orgs.aurora.close()
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert set(orgs.aurora.care.compaction().orphans) == left
    orgs.aurora.care.compact(orgs.aurora.care.compaction())
    assert pieces(orgs.aurora) == set()


def test_burying_nothing_or_twice_is_refused(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    with pytest.raises(RefusedError, match="not in this library"):
        orgs.aurora.bury("7" * 64)
    orgs.aurora.bury(item)
    with pytest.raises(RefusedError, match="taken back"):
        orgs.aurora.bury(item)


def test_one_receipt_says_that_all_was_dropped_and_is_written_once(orgs: Orgs) -> None:
    items = [share(orgs.aurora, f"number {number}") for number in range(3)]
    orgs.to_beacon()
    for item in items:
        orgs.aurora.bury(item)
    for _ in range(2):  # while it waits, it is not written again
        orgs.to_beacon()
        assert len(orgs.beacon.pending) == 1
    orgs.to_aurora()
    assert all(dropped.missing == () for dropped in orgs.aurora.care.report().dropped)


def test_no_receipt_is_written_while_a_piece_is_still_here(orgs: Orgs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk does not let go of it; once it does, the next sync or import says so."""
    item = share(orgs.aurora)
    blobs = type(orgs.aurora._desk.vault.blobs)

    def refuse(self: object, names: Iterable[str]) -> None:
        if list(names):
            raise StoreError("cannot remove: the disk is read-only", hint="check it")

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "discard", refuse)
        orgs.aurora.bury(item)
        (dropped,) = orgs.aurora.care.report().dropped
        assert [reader.person for reader in dropped.missing] == ["ada", "bo"] and pieces(orgs.aurora)
    orgs.to_beacon()
    orgs.to_aurora()
    (dropped,) = orgs.aurora.care.report().dropped
    assert not dropped.missing and not pieces(orgs.aurora)
