"""A vault opens whole, by its passphrase, for one process; or it says why not."""

import io
import os
from pathlib import Path

import pytest
from power import Disk

from darklantern.errors import RecordError, StoreError
from darklantern.records.exact import decode, encode
from darklantern.stores import RECOMMENDED, Change, Cost, create_vault, open_vault
from darklantern.stores.copying import pack_vault, unpack_vault
from darklantern.stores.passphrase import VaultHeader, database_key, new_header

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
CANARY = b"xylophonecanary"
FIRST = Change(secrets={"device": CANARY}, entries=(("log", 0, CANARY * 1000),), settings={"net": "7" * 64})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_vault(tmp_path / "vault", "a passphrase", FIRST, CHEAP)
    return tmp_path / "vault"


def test_what_was_written_at_creation_is_there(folder: Path) -> None:
    with open_vault(folder, "a passphrase") as vault:
        contents = vault.database.read()
    assert contents.secrets == {"device": CANARY}
    assert contents.entries == {"log": (CANARY * 1000,)}


def test_p21_no_file_shows_what_is_in_it(folder: Path) -> None:
    with open_vault(folder, "a passphrase"):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert CANARY not in path.read_bytes(), path
    head = (folder / "library.db").read_bytes()[:16]
    assert head != b"SQLite format 3\0"


def test_only_the_owner_may_look(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("wrong", ["A passphrase", "a passphrase ", "x"])
def test_a_wrong_passphrase_says_so(folder: Path, wrong: str) -> None:
    with pytest.raises(StoreError, match="passphrase does not fit") as caught:
        open_vault(folder, wrong)
    assert "Caps Lock" in caught.value.hint
    assert repr(wrong) not in f"{caught.value!r} {caught.value.hint}"


def test_accents_typed_on_two_systems_are_one_passphrase(tmp_path: Path) -> None:
    create_vault(tmp_path / "v", "caf\u00e9 noir", FIRST, CHEAP)
    open_vault(tmp_path / "v", "cafe\u0301 noir").close()


def test_an_empty_passphrase_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="empty"):
        create_vault(tmp_path / "v", "", FIRST, CHEAP)
    assert not list(tmp_path.iterdir())


def test_a_library_is_never_overwritten(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match="there already"):
        create_vault(folder, "another", Change(), CHEAP)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_creation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        create_vault(tmp_path / "v", "a passphrase", FIRST, CHEAP)
    assert "disk full" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_p24_a_new_vault_outlives_a_power_cut_with_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, folder = Disk(monkeypatch), tmp_path / "vault"
    create_vault(folder, "a passphrase", FIRST, CHEAP)
    assert disk.names(tmp_path).keys() == {"vault"}
    assert disk.names(folder).keys() == {path.name for path in folder.iterdir()}
    assert disk.left(folder / "header.json") == (folder / "header.json").read_bytes()


def test_p24_a_changed_passphrase_outlives_a_power_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    with open_vault(folder, "a passphrase") as vault:
        vault.change_passphrase("another", CHEAP)
    assert disk.left(folder / "header.json") == (folder / "header.json").read_bytes() and disk.early == []
    assert "header.next" not in disk.names(folder)


def test_p24_what_was_unpacked_outlives_a_power_cut_once_its_folder_is_synced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is `restoring`'s to sync, and to name."""
    with open_vault(folder, "a passphrase") as vault:
        backup = b"".join(pack_vault(vault, (), {}))
    disk, again = Disk(monkeypatch), tmp_path / "again"
    unpack_vault(io.BytesIO(backup), again)
    for name in ("header.json", "library.db"):
        assert disk.synced(again / name) == (again / name).read_bytes()


def test_a_second_opener_is_refused_at_once_and_told_who_holds_it(folder: Path) -> None:
    said = f"open in another program, process {os.getpid()}\n"
    with open_vault(folder, "a passphrase"), pytest.raises(StoreError, match=said):
        open_vault(folder, "a passphrase")
    open_vault(folder, "a passphrase").close()


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.3, 0.5, 0.9, 0.9999])
def test_a_database_that_lost_its_end_is_refused(folder: Path, share: float) -> None:
    path = folder / "library.db"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(StoreError, match="cut short"):
        open_vault(folder, "a passphrase")


def test_garbage_or_another_database_is_refused(folder: Path) -> None:
    path = folder / "library.db"
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for bad in (os.urandom(8192), b"SQLite format 3\0" + bytes(4080), bytes(flipped), b"x"):
        path.write_bytes(bad)
        with pytest.raises(StoreError):
            open_vault(folder, "a passphrase")
    path.unlink()
    with pytest.raises(StoreError, match="found none"):
        open_vault(folder, "a passphrase")


def test_a_header_that_was_touched_is_refused(folder: Path) -> None:
    path = folder / "header.json"
    header = decode(VaultHeader, path.read_bytes())
    cheaper = path.read_bytes().replace(b'"passes":1', b'"passes":2')
    for bad in (b"", b"{}", path.read_bytes()[:-1], path.read_bytes() + b" ", cheaper):
        path.write_bytes(bad)
        with pytest.raises(StoreError):
            open_vault(folder, "a passphrase")
    path.write_bytes(encode(header))
    open_vault(folder, "a passphrase").close()
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        open_vault(folder, "a passphrase")


def test_a_planted_header_cannot_ask_for_all_memory(folder: Path) -> None:
    path = folder / "header.json"
    path.write_bytes(path.read_bytes().replace(b'"memory_kib":64', b'"memory_kib":999999999'))
    with pytest.raises(StoreError, match="damaged"):
        open_vault(folder, "a passphrase")


def test_keys_depend_on_salt_and_cost() -> None:
    one, key = new_header("p", CHEAP)
    other, another = new_header("p", CHEAP)
    assert one.salt != other.salt and key != another and len(key) == 32
    assert database_key("p", one) == key
    assert RECOMMENDED.memory_kib >= 64 * 1024 and RECOMMENDED.passes >= 3


def test_p24_what_a_crash_left_half_written_is_swept(folder: Path) -> None:
    half = folder / "blobs" / "ab" / ".abc.0.partial"
    half.parent.mkdir()
    half.write_bytes(b"half")
    copies = [folder / f".library.db.0123.partial{end}" for end in ("", "-journal")]
    for copy in copies:
        copy.write_bytes(b"of a backup")
    bundle, begun = folder / "incoming" / ".bundle.0123.partial", folder / "incoming" / ("ab" * 32)
    bundle.mkdir(parents=True)
    for piece in (bundle / "piece", begun):
        piece.write_bytes(b"half")
    open_vault(folder, "a passphrase").close()
    assert not half.exists() and not bundle.exists() and not any(copy.exists() for copy in copies)
    assert begun.exists()  # where the next sync goes on


def test_values_that_hold_secrets_do_not_print(folder: Path) -> None:
    with open_vault(folder, "a passphrase") as vault:
        for value in (vault, vault.database, vault.database.read(), FIRST):
            assert CANARY.decode() not in repr(value) + str(value)
    with pytest.raises(RecordError):
        decode(VaultHeader, b"{}")
