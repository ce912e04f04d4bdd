"""What a file that travels takes the place of: only what could be made again."""

import shutil
from pathlib import Path

import pytest
from library.orgs import founded

from cli.desks import Desk, seated, signed
from darklantern.cli.handing_out import check_new, hand_out, hand_out_new
from darklantern.errors import StoreError

pytestmark = pytest.mark.usefixtures("stays_readable")


@pytest.fixture
def desks(tmp_path: Path) -> tuple[Desk, Desk]:
    """Ada's, at Aurora, and Bo's, at Beacon."""
    orgs = founded(tmp_path)
    orgs.aurora.members.rotate("evals")
    orgs.to_beacon()
    orgs.close()
    ada, bo = seated(tmp_path, ada="aurora", bo="beacon")
    return ada, bo


def test_a_draft_that_others_have_signed_stays_until_it_is_published(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    draft = ada.folder / "circle.draft"
    change = ["circle", "change", "evals", "--freshness", "2d", "--out", draft]
    bo(*change)
    ada(*change)
    signed(draft, ada)
    ada(*change)  # its own signature can be given again
    signed(draft, bo)
    before = draft.read_bytes()
    refused = ada.refuses(*change)
    assert "nobody else has signed" in refused.message and "name another file" in refused.hint
    assert draft.read_bytes() == before
    signed(draft, ada)
    ada("draft", "publish", draft)
    ada("circle", "change", "evals", "--freshness", "3d", "--out", draft)
    assert draft.read_bytes() != before


def test_a_signed_draft_goes_into_another_file_only_over_itself(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    draft, copy = ada.folder / "circle.draft", ada.folder / "copy.draft"
    ada("circle", "change", "evals", "--freshness", "2d", "--out", draft)
    shutil.copy(draft, copy)
    signed(draft, ada)
    bo("draft", "sign", draft, "--out", copy, "--yes")
    assert len(bo("draft", "show", copy)["signed"]) == 2
    notes = ada.folder / "notes.txt"
    notes.write_text("mine")
    bo.refuses("draft", "sign", draft, "--out", notes, "--yes")
    assert notes.read_text() == "mine"


def test_a_card_takes_the_place_of_ones_own_alone(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    card = ada.folder / "ada.card"
    ada("device", "card", "--out", card)
    before = card.read_bytes()
    ada("device", "card", "--out", card)
    assert "something else than a card of this device" in bo.refuses("device", "card", "--out", card).message
    assert card.read_bytes() == before
    card.write_text("a finding")
    ada.refuses("device", "card", "--out", card)
    assert card.read_text() == "a finding"


def test_what_is_given_once_replaces_nothing_and_is_not_used_up_by_that(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    folder = ada.folder
    (new,) = seated(folder, ben="ben")
    (folder / "libraries" / "ben").unlink()
    refused = new.refuses("device", "new", "--org", "Aurora", "--person", "Ben Ito", "--name", "Ben Ito")
    assert "without white space" in refused.message and not new.library.exists()
    new("device", "new", "--org", "Aurora", "--person", "ben", "--name", "Ben Ito")
    there = folder / "there"
    there.write_text("mine")
    one = folder / "one"
    assert "another file" in ada.refuses("member", "invite", "--out", one, "--code-out", one).message
    invite = ["member", "invite", "--out", folder / "invitation", "--code-out"]
    ada.refuses(*invite, there)
    assert not (folder / "invitation").exists()
    ada(*invite, folder / "code")
    ada.refuses(*invite, folder / "other code")
    join = ["device", "join", folder / "invitation", "--code-file", folder / "code", "--out"]
    new.refuses(*join, there)
    new(*join, folder / "request")
    accept = ["member", "accept", folder / "request", "--out", folder / "m.draft", "--welcome"]
    assert "is there already" in ada.refuses(*accept, there).message
    ada.refuses("member", "accept", folder / "request", "--out", there, "--welcome", folder / "welcome")
    both = ada.refuses("member", "accept", folder / "request", "--out", folder / "m", "--welcome", folder / "m")
    assert "expected another file for each" in both.message
    ada(*accept, folder / "welcome")
    assert new("device", "join", folder / "welcome")["net"] == ada("org", "show")["net"]
    assert there.read_text() == "mine"


def test_what_a_library_holds_is_written_over_older_holdings_alone(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    file = ada.folder / "holdings"
    for _ in range(2):
        ada("bundle", "holdings", file)
    file.write_text("a welcome")
    assert "something else than what a library held" in ada.refuses("bundle", "holdings", file).message
    assert file.read_text() == "a welcome"


def test_a_new_file_takes_no_name_that_came_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "welcome"
    check_new(file)
    file.write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        hand_out_new(file, b"theirs")
    assert file.read_text() == "mine"
    (tmp_path / "elsewhere").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="is there already"):
        hand_out_new(tmp_path / "elsewhere", b"theirs")
    hand_out_new(tmp_path / "new", b"theirs")
    assert (tmp_path / "new").read_bytes() == b"theirs"


def test_what_says_that_it_replaces_does(tmp_path: Path) -> None:
    hand_out(tmp_path / "file", b"one")
    hand_out(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
