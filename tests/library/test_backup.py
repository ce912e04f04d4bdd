"""A backup gives the library back, whole or not at all, and what comes back never forks what it does not know of."""

import io
import random
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network.world import NOW, device, person

from darklantern.assess import level_follows
from darklantern.errors import DarkLanternError, RefusedError, StoreError
from darklantern.library import Library, restore
from darklantern.library.restored import COPIED, heard, opened, waits
from darklantern.network.view import View
from darklantern.stores.archive import unpack
from library.carried import exported, imported
from library.orgs import CANARY, CHEAP, Orgs, artifacts, assessment, every_byte_of, finding, founded, reopened
from library.test_crash import child, killed_after


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def share(library: Library, title: str = f"a finding called {CANARY}") -> str:
    what = finding(title=title)
    return library.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))


def restored(orgs: Orgs, who: str, *, path: Path | None = None, bundle: bytes | None = None) -> Library:
    """The library of `who`, lost and restored from its backup in the same folder."""
    org = {"bo": "beacon", "ada": "aurora"}[who]
    getattr(orgs, org).close()
    lost = orgs.folder / org
    lost.rename(orgs.folder / f"{org} lost {random.random()}")
    backup = path or orgs.folder / "backup"
    restore(backup, lost, f"passphrase of {who}", follows=level_follows, bundle=bundle, clock=orgs.clock)
    setattr(orgs, org, reopened(lost, who, orgs.clock))
    return getattr(orgs, org)


def test_everything_comes_back_and_nothing_of_it_shows(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.to_beacon()
    post = orgs.beacon.threads.post(item, "waits in the outbox")
    made = orgs.beacon.care.backup(orgs.folder / "backup")
    assert (made.pieces, made.left_out) == (3, ()) and made.bytes == (orgs.folder / "backup").stat().st_size
    assert CANARY.encode() not in (orgs.folder / "backup").read_bytes()
    assert (orgs.folder / "backup").stat().st_mode & 0o077 == 0
    assert orgs.beacon.care.restored == {} and orgs.beacon._desk.state.settings.get(COPIED) is None
    orgs.clock.now += 60
    beacon = restored(orgs, "bo")
    assert beacon.findings.open(item).finding.title == f"a finding called {CANARY}"
    assert beacon.threads.open(item).posts[0].id == post and beacon.pending == (post,)
    assert beacon.findings.artifact(item, next(iter(artifacts()))) == artifacts()[next(iter(artifacts()))]
    assert [hit.id for hit in beacon.search(CANARY)] == [item]
    assert beacon.care.verify() == () and not (orgs.folder / "beacon" / "unfinished").exists()
    assert not list(orgs.folder.glob(".*partial")) and not list((orgs.folder / "beacon").glob(".*"))


def test_a_backup_may_have_a_passphrase_of_its_own(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.aurora.care.backup(orgs.folder / "backup", passphrase="six random words")
    refused(orgs, orgs.folder / "backup", "passphrase does not fit")
    restore(orgs.folder / "backup", orgs.folder / "new", "six random words", follows=level_follows, clock=orgs.clock)
    with Library.open(orgs.folder / "new", "six random words", follows=level_follows, clock=orgs.clock) as library:
        assert library.findings.open(item) and library.care.verify() == ()
    orgs.aurora.threads.post(item, "the library itself goes on under its own key")
    orgs.aurora.close()
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    with pytest.raises(StoreError, match="empty"):
        orgs.aurora.care.backup(orgs.folder / "another", passphrase="")
    assert not (orgs.folder / "another").exists()


def test_a_library_whose_passphrase_is_in_the_keystore_gives_its_backup_one_of_its_own(orgs: Orgs) -> None:
    orgs.aurora.care.change_passphrase("random and nobody types it", cost=CHEAP, keystore="0" * 32)
    with pytest.raises(StoreError, match="lost with it") as caught:
        orgs.aurora.care.backup(orgs.folder / "backup")
    assert "--own-passphrase-file" in caught.value.hint and not (orgs.folder / "backup").exists()
    orgs.aurora.care.backup(orgs.folder / "backup", passphrase="six random words")
    restore(orgs.folder / "backup", orgs.folder / "new", "six random words", follows=level_follows, clock=orgs.clock)
    with Library.open(orgs.folder / "new", "six random words", follows=level_follows, clock=orgs.clock) as library:
        assert library.care.verify() == ()


def test_any_tar_reads_it_and_what_is_unpacked_by_hand_knows_that_it_is_a_copy(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.aurora.care.backup(orgs.folder / "backup")
    with tarfile.open(orgs.folder / "backup") as tar:
        assert [member.name for member in tar][:2] == ["header.json", "library.db"]
        tar.extractall(orgs.folder / "by hand", filter="data")
    with reopened(orgs.folder / "by hand", "ada", orgs.clock) as copy:
        assert copy.findings.open(item) and set(copy.care.restored) == {copy.net, orgs.circle}
        with pytest.raises(RefusedError, match="restored from a backup"):
            copy.threads.post(item, "as if nothing had happened")


def test_a_restored_device_signs_only_after_its_logs_keeper_has_spoken_again(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "before the backup")
    orgs.to_aurora()
    orgs.to_beacon()
    orgs.beacon.care.backup(orgs.folder / "backup")
    orgs.beacon.threads.post(item, "after the backup: the restored library does not know it")
    orgs.to_aurora()
    orgs.clock.now += 60
    stale = exported(orgs.aurora)  # newer than the backup, older than what Beacon writes now
    orgs.clock.now += 60
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "last words")
    orgs.to_aurora()
    orgs.clock.now += 60
    beacon, what = restored(orgs, "bo"), finding(title="asked before hours of sealing")
    for _ in range(2):
        assert set(beacon.care.restored) == {beacon.net, orgs.circle}
        for sign in (
            lambda: beacon.threads.post(item, "too early"),
            lambda: beacon.members.rotate("evals"),
            lambda: share(beacon, "too early"),
            lambda: beacon.findings.check(what, artifacts(), circle="evals", assessment=assessment(what)),
        ):
            with pytest.raises(RefusedError, match=r"restored from a backup.*two records at one place"):
                sign()
        assert beacon.findings.open(item)  # reading goes on
        imported(beacon, stale)
    orgs.to_beacon()
    assert beacon.care.restored == {}
    beacon.threads.post(item, "goes on")
    assert len(orgs.to_aurora().appended) == 1
    assert len(orgs.aurora.threads.open(item).posts) == 4 and orgs.aurora.opaque == ()
    beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    assert orgs.beacon.care.restored == {}


def test_p3_what_was_heard_after_one_restore_says_nothing_after_the_next() -> None:
    """A backup of a library that was itself restored holds what that one had heard."""
    log, view = "7" * 64, View("7" * 64)
    first = opened({COPIED: "{}"}, NOW)
    assert waits(view, {}, first, frozenset(), log)  # nor does a log that nobody has shown since count as new
    heard_once = heard(first, [log])
    assert waits(view, {}, heard_once, frozenset(), log) is None
    assert waits(view, {}, opened({**heard_once, COPIED: "{}"}, NOW + 60), frozenset(), log)


def test_without_the_rule_the_device_would_be_frozen(orgs: Orgs) -> None:
    """What the rule is for: here it is switched off."""
    item = share(orgs.aurora)
    orgs.to_beacon()
    orgs.beacon.care.backup(orgs.folder / "backup")
    orgs.beacon.threads.post(item, "one")
    orgs.to_aurora()
    beacon = restored(orgs, "bo")
    beacon._desk._held = replace(beacon._desk.state, settings={})
    beacon.threads.post(item, "another")
    orgs.to_aurora()
    assert device("bo").public.id in orgs.aurora.view.circle(orgs.circle).frozen


def test_a_keeper_that_was_restored_signs_no_checkpoint_before_a_person_says_that_its_logs_are_whole(
    orgs: Orgs,
) -> None:
    item = share(orgs.aurora)
    orgs.aurora.care.backup(orgs.folder / "backup")
    late = share(orgs.aurora, "after the backup")
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "waits for the keeper")
    orgs.clock.now += 60
    aurora = restored(orgs, "ada")
    heads = dict(aurora.view.heads)
    assert set(aurora.care.restored) == {aurora.net, orgs.circle}
    for sign in (lambda: share(aurora, "no"), lambda: orgs.manifest("Aurora", person("ada"))):
        with pytest.raises(RefusedError, match=r"keeps log .* itself"):
            sign()
    exported(aurora)
    assert aurora.view.heads == heads  # no checkpoint over what may be less than it signed before
    told = orgs.to_aurora()
    assert told.appended == () and "restored from a backup" in told.refused[0][1]
    assert aurora.findings.open(late) and aurora.view.heads == orgs.beacon.view.heads
    assert set(aurora.care.restored) == {aurora.net, orgs.circle}  # nobody can know that there is no more
    for log in (aurora.net, orgs.circle):
        aurora.care.confirm_whole(log)
    assert aurora.care.restored == {} and len(orgs.to_aurora().appended) == 1
    again = share(aurora, "goes on")
    orgs.to_beacon()
    assert orgs.beacon.findings.open(again) and orgs.beacon.view.forks == {} and orgs.beacon.opaque == ()


def test_p26_what_was_taken_away_since_the_backup_does_not_come_back_with_a_newer_bundle(orgs: Orgs) -> None:
    """An epoch's cut-off takes a post away, which its author had written without knowing of it."""
    item = share(orgs.aurora)
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "gonewords")
    orgs.beacon.care.backup(orgs.folder / "backup")
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    orgs.aurora.members.rotate("evals")
    bundle = orgs.folder / "bundle"
    orgs.aurora.bundles.export_to(bundle)
    beacon = restored(orgs, "bo", bundle=bundle)
    assert beacon.threads.open(item).posts == () and beacon.search("gonewords") == ()
    assert beacon.care.compaction().orphans == () and beacon.findings.open(item)


def test_what_was_missing_at_the_backup_is_told_and_may_be_missing_afterwards_and_nothing_else(orgs: Orgs) -> None:
    item = share(orgs.aurora)
    share(orgs.aurora, "whole")
    (gone,) = orgs.aurora.view.circle(orgs.circle).entries[item].body.attached
    orgs.aurora._desk.vault.blobs.discard([gone])
    made = orgs.aurora.care.backup(orgs.folder / "backup")
    assert made.left_out == (gone,)
    aurora = restored(orgs, "ada")
    assert [problem.piece for problem in aurora.care.verify()] == [gone]
    data = (orgs.folder / "backup").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        last = tar.getmembers()[-1]
    (orgs.folder / "shorter").write_bytes(data[: last.offset] + bytes(1024))
    refused(orgs, orgs.folder / "shorter", "lacks 1 of the pieces")


def refused(orgs: Orgs, path: Path, match: str, passphrase: str = "passphrase of ada") -> None:
    before = sorted(orgs.folder.iterdir())
    with pytest.raises(DarkLanternError, match=match):
        restore(path, orgs.folder / "new", passphrase, follows=level_follows, clock=orgs.clock)
    assert sorted(orgs.folder.iterdir()) == before


def test_a_backup_that_is_cut_or_altered_anywhere_restores_nothing(orgs: Orgs) -> None:
    share(orgs.aurora)
    orgs.aurora.care.backup(orgs.folder / "backup")
    data = (orgs.folder / "backup").read_bytes()
    chance, bad = random.Random(6), orgs.folder / "bad"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        heads = [member.offset for member in tar]
    cuts = [0, 1, 512, len(data) - 1, len(data) - 512, *heads, *(chance.randrange(len(data)) for _ in range(15))]
    flips = [*(head + chance.randrange(512) for head in heads for _ in range(6)), len(data) - 1]
    flips += [chance.randrange(len(data)) for _ in range(40)]
    for what in ([data[:cut] for cut in cuts], [flipped(data, at) for at in flips], [data + b"\0", data + data]):
        for each in what:
            bad.write_bytes(each)
            refused(orgs, bad, ".")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def test_names_that_lead_elsewhere_and_links_are_refused(orgs: Orgs) -> None:
    for name, kind in (("../evil", b"0"), ("/etc/evil", b"0"), ("blobs/aa/evil", b"0"), ("library.db", b"2")):
        with tarfile.open(orgs.folder / "bad", "w", format=tarfile.GNU_FORMAT) as tar:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = kind, 0o600, "/etc/passwd" if kind == b"2" else ""
            tar.addfile(info)
        refused(orgs, orgs.folder / "bad", "expected header.json, library.db or a piece")


def test_p32_a_backup_takes_no_memory_for_what_it_says_that_it_holds() -> None:
    class Small(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None and 0 <= size <= 1 << 20
            return super().read(size)

    info = tarfile.TarInfo("library.db")
    info.size, info.mode = 1 << 40, 0o600
    with pytest.raises(StoreError, match="got the end"):
        for member in unpack(Small(info.tobuf(tarfile.GNU_FORMAT) + bytes(1000))):
            assert sum(map(len, member.chunks))


def test_what_is_no_backup_or_in_the_way_says_so(orgs: Orgs) -> None:
    share(orgs.aurora)
    orgs.aurora.care.backup(orgs.folder / "backup")
    refused(orgs, orgs.folder / "backup", "passphrase does not fit", passphrase="another")
    refused(orgs, orgs.folder / "nothing", "No such file")
    with pytest.raises(StoreError, match="there already"):
        orgs.aurora.care.backup(orgs.folder / "backup")
    with pytest.raises(StoreError, match="never overwritten"):
        restore(orgs.folder / "backup", orgs.folder / "aurora", "passphrase of ada", follows=level_follows)
    with tarfile.open(orgs.folder / "live", "w", format=tarfile.GNU_FORMAT) as tar:  # copied from under the library
        for name in ("header.json", "library.db"):
            data = (orgs.folder / "aurora" / name).read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
    data = (orgs.folder / "live").read_bytes()
    end = len(data.rstrip(b"\0"))
    (orgs.folder / "live").write_bytes(data[: end + (-end % 512)] + bytes(1024))
    refused(orgs, orgs.folder / "live", "in use|damaged")


def test_a_backup_that_fails_leaves_no_file(orgs: Orgs, monkeypatch: pytest.MonkeyPatch) -> None:
    share(orgs.aurora)
    before = every_byte_of(orgs.folder)
    with pytest.raises(StoreError):
        orgs.aurora.care.backup(orgs.folder / "no such folder" / "backup")
    monkeypatch.setattr("darklantern.stores.blobs.Blobs.get", lambda self, name: None)
    with pytest.raises(StoreError, match="went while"):
        orgs.aurora.care.backup(orgs.folder / "backup")
    monkeypatch.undo()
    assert every_byte_of(orgs.folder) == before


BACKUPS = """
import sys
from pathlib import Path
from library.orgs import Clock, reopened
aurora = reopened(Path(sys.argv[1]), "ada", Clock())
print("ready", flush=True)
for n in range(10_000):
    path = Path(sys.argv[2]) / str(n)
    aurora.care.backup(path)
    print(path, flush=True)
"""


@pytest.mark.slow
def test_p24_kill_minus_nine_while_backing_up_leaves_whole_backups_and_a_whole_library(orgs: Orgs) -> None:
    share(orgs.aurora)
    orgs.aurora.close()
    chance, made = random.Random(24), set[str]()
    for turn in range(4):
        out = orgs.folder / f"turn-{turn}"
        out.mkdir()
        said = killed_after(child(BACKUPS, orgs.folder / "aurora", out), chance.uniform(0.01, 0.3))
        assert len(said) <= len(list(out.iterdir()))  # what was said to be there is there
        for path in out.iterdir():
            made.add(path.name)
            with tarfile.open(path) as tar:  # whoever has a name is whole
                assert len(tar.getmembers()) == 4
        orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
        assert orgs.aurora.care.verify() == () and orgs.aurora.care.restored == {}
        assert not list((orgs.folder / "aurora").glob(".library.db*"))
        orgs.aurora.close()
    assert made
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)


ACTS = st.lists(st.sampled_from(["post", "backup", "lose", "to aurora", "to beacon", "wait"]), min_size=4, max_size=14)


@pytest.mark.slow
@given(acts=ACTS)
@settings(deadline=None, max_examples=25)
def test_no_order_of_backups_losses_and_syncs_freezes_a_device(
    acts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Records that Beacon's library refuses to sign are not signed; all others stand in the log, each once.

    A loss takes what had not left the device; what had left is in Aurora's log when the sync is done.
    """
    orgs = founded(tmp_path_factory.mktemp("orgs"))
    item = share(orgs.aurora)
    orgs.to_beacon()
    path = orgs.folder / "backup 0"
    orgs.beacon.care.backup(path)
    for number, act in enumerate(acts, 1):
        orgs.clock.now += 1
        if act == "post":
            try:
                orgs.beacon.threads.post(item, f"post {number}")
            except RefusedError as error:
                assert orgs.circle in orgs.beacon.care.restored and "restored" in error.message
        elif act == "backup":
            path = orgs.folder / f"backup {number}"
            orgs.beacon.care.backup(path)
        elif act == "lose":
            restored(orgs, "bo", path=path)
        elif act == "to aurora":
            orgs.to_aurora()
        elif act == "to beacon":
            orgs.to_beacon()
    assert orgs.aurora.view.circle(orgs.circle).frozen == {} and orgs.aurora.opaque == ()
    orgs.close()
