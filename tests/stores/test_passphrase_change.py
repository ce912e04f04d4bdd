"""A passphrase changes whole or not at all: whenever it is interrupted, one of the two opens everything."""

from pathlib import Path

import pytest

from darklantern.errors import StoreError
from darklantern.stores import Change, Cost, create_vault, open_vault
from darklantern.stores.database import Database
from darklantern.stores.vault import read_headers

CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
DEARER = Cost(memory_kib=128, passes=2, lanes=1)
FIRST = Change(secrets={"device": b"xylophonecanary"}, settings={"net": "7" * 64})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_vault(tmp_path / "vault", "old", FIRST, CHEAP)
    return tmp_path / "vault"


def opens(folder: Path, passphrase: str) -> bool:
    try:
        with open_vault(folder, passphrase) as vault:
            return vault.database.read().secrets == dict(FIRST.secrets)
    except StoreError:
        return False


def test_the_new_passphrase_opens_at_the_new_cost_and_the_old_one_does_not(folder: Path) -> None:
    before = (folder / "library.db").read_bytes()
    with open_vault(folder, "old") as vault:
        vault.change_passphrase("new", DEARER)
        assert vault.database.read().secrets == dict(FIRST.secrets)
    assert (opens(folder, "old"), opens(folder, "new")) == (False, True)
    (header,) = read_headers(folder)
    assert header.cost == DEARER
    pages = range(0, len(before), 4096)
    after = (folder / "library.db").read_bytes()
    assert not any(before[at : at + 4096] == after[at : at + 4096] for at in pages)  # every page is another


def test_the_same_passphrase_at_another_cost(folder: Path) -> None:
    with open_vault(folder, "old") as vault:
        vault.change_passphrase("old", DEARER)
    assert opens(folder, "old")
    assert read_headers(folder)[0].cost == DEARER


@pytest.mark.parametrize("passphrase", ["new", "old"], ids=["another", "the same"])
def test_interrupted_before_the_pages_change_the_old_one_opens(
    folder: Path, passphrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "rekey", _fails)
    with open_vault(folder, "old") as vault, pytest.raises(StoreError, match="power cut"):
        vault.change_passphrase(passphrase, DEARER)
    assert len(read_headers(folder)) == 2
    if passphrase == "new":
        assert not opens(folder, "new")
    assert opens(folder, "old")
    assert [header.cost for header in read_headers(folder)] == [CHEAP]


def test_interrupted_after_the_pages_changed_the_new_one_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darklantern.stores.vault._promote", _fails)
    with open_vault(folder, "old") as vault, pytest.raises(StoreError, match="power cut"):
        vault.change_passphrase("new", DEARER)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="was being changed") as caught:
        open_vault(folder, "old")
    assert caught.value.hint == "use the new passphrase"
    assert opens(folder, "new")
    assert [header.cost for header in read_headers(folder)] == [DEARER]


def test_an_empty_passphrase_changes_nothing(folder: Path) -> None:
    with open_vault(folder, "old") as vault, pytest.raises(StoreError, match="empty"):
        vault.change_passphrase("", DEARER)
    assert opens(folder, "old")


def _fails(*_: object) -> None:
    raise StoreError("power cut", hint="")
