"""What is done to a whole library, and to bundles, before anything is believed or removed."""

from pathlib import Path

import pytest
from library.orgs import CANARY, Orgs, artifacts, assessment, finding, found_circle, founded, share

from cli.desks import Desk, seated
from darklantern.assess import level_follows
from darklantern.library import restore
from darklantern.network import new_terms

pytestmark = pytest.mark.usefixtures("stays_readable")


@pytest.fixture
def orgs(tmp_path: Path) -> Orgs:
    return founded(tmp_path)


def test_a_circle_that_asks_for_no_index_is_searched_after_its_reader_says_so(orgs: Orgs) -> None:
    found_circle(orgs.aurora, new_terms("quiet", "V2", ("no-index",)))
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle="quiet", assessment=assessment(what))
    orgs.close()
    (ada,) = seated(orgs.folder, ada="aurora")
    assert "circle quiet is not searched here: `darklantern library index quiet`" in ada.says("search", given=CANARY)
    assert ada("library", "index", "quiet")["indexed"]
    assert item[:16] in ada.says("search", given=CANARY)
    none = ada.says("search", given="nowhere")
    assert "not searched here" not in none and "never synced with a relay" in none
    assert "out of the index" in ada.says("library", "index", "quiet", "--off")
    assert "nothing found" in ada.says("search", given=CANARY)


def test_a_restored_keeper_says_that_its_log_is_whole_and_is_told_what_that_means(orgs: Orgs) -> None:
    share(orgs)
    orgs.aurora.care.backup(orgs.folder / "backup")
    orgs.close()
    (orgs.folder / "aurora").rename(orgs.folder / "lost")
    restore(orgs.folder / "backup", orgs.folder / "aurora", "passphrase of ada", follows=level_follows)
    ada, bo = seated(orgs.folder, ada="aurora", bo="beacon")
    asked = ada.refuses("library", "confirm-whole", "evals")
    assert "nothing takes that back" in asked.message and "add --yes" in asked.hint
    assert ada("library", "confirm-whole", "evals", "--yes") == {"log": orgs.circle}
    assert "waits for nothing" in ada.refuses("library", "confirm-whole", "evals", "--yes").message
    ada("library", "confirm-whole", "network", "--yes")
    ada("circle", "rotate", "evals")
    assert "waits for nothing" in bo.refuses("library", "confirm-whole", "network", "--yes").message


def test_restoring_asks_about_what_is_known_to_be_a_backup(orgs: Orgs) -> None:
    orgs.aurora.care.backup(orgs.folder / "backup")
    orgs.close()
    (ada,) = seated(orgs.folder, ada="aurora")
    restoring = ["library", "restore", orgs.folder / "backup"]
    assert "never overwritten" in ada.refuses(*restoring).hint
    (orgs.folder / "aurora").rename(orgs.folder / "lost")
    (orgs.folder / "libraries" / "ada").unlink()
    assert "cannot read" in ada.refuses(*restoring[:2], orgs.folder / "nowhere").message
    assert "no backup of a library" in ada.refuses(*restoring[:2], ada.passphrase).hint
    eve = Desk("eve", orgs.folder)
    assert "passphrase does not fit" in eve.refuses(*restoring, "--yes").message
    asked = ada.refuses(*restoring)
    assert "gone for good" in asked.message and "add --yes" in asked.hint
    assert not list((orgs.folder / "libraries").iterdir()), "nothing of it is left where nobody agreed"
    assert ada(*restoring, "--yes")["library"] == str(ada.library)
    assert ada("device", "show")["active"]


def test_verifying_a_bundle_says_what_an_import_would_and_takes_in_nothing(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.close()
    ada, bo = seated(orgs.folder, ada="aurora", bo="beacon")
    bundle = orgs.folder / "bundle"
    ada("bundle", "export", bundle)
    told = bo("bundle", "verify", bundle, "--allow-clock-jump")
    assert "nothing was taken in" in bo.says("bundle", "verify", bundle, "--allow-clock-jump")
    assert bo("finding", "list") == []
    assert bo("bundle", "import", bundle, "--allow-clock-jump") == told and told["pieces"] == 2
    assert [each["id"] for each in bo("finding", "list")] == [item]
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert bo.refuses("bundle", "verify", bundle).message == bo.refuses("bundle", "import", bundle).message
    assert "check the path" in bo.refuses("bundle", "verify", orgs.folder / "nowhere").hint


def test_burying_takes_the_beginning_of_an_id_and_says_what_it_names(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.close()
    (ada,) = seated(orgs.folder, ada="aurora")
    assert "copy the id" in ada.refuses("library", "bury", "zz", "--yes").hint
    assert f"{item} in circle evals" in ada.says("library", "bury", item[:10], "--yes")
    assert ada("finding", "list") == []


def test_a_waiting_record_whose_piece_is_lost_is_dropped_once_its_user_says_so(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    lost = orgs.beacon.threads.post(item, "its piece is lost")
    after = orgs.beacon.threads.post(item, "after it")
    (name,) = orgs.beacon._desk.state.working.circle(orgs.circle).entries[lost].body.pieces
    orgs.beacon._desk.vault.blobs.discard([name])
    orgs.close()
    (bo,) = seated(orgs.folder, bo="beacon")
    assert f"the post {lost[:16]} cannot count as it is: its piece {name[:16]}" in bo.says("status")
    asked = bo.refuses("library", "drop", lost[:12])
    assert "does not come back" in asked.message and "add --yes" in asked.hint
    told = bo("library", "drop", lost[:12], "--yes")
    assert told["dropped"] == [lost] and list(told["remade"]) == [after]
    assert "lists what waits" in bo.refuses("library", "drop", lost[:12], "--yes").hint
