"""What is done to a whole library, and to bundles, before anything is believed or removed."""

from pathlib import Path

import pytest
from library.carried import exported
from library.orgs import CANARY, Orgs, artifacts, assessment, finding, found_circle, founded, share

from cli.desks import Desk, seated
from darklantern.assess import level_follows
from darklantern.errors import RefusedError
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
    with pytest.raises(RefusedError, match="signing now") as signing:
        ada("circle", "rotate", "evals")
    assert signing.value.hint is not None and signing.value.hint.startswith("`darklantern sync` with the log's keeper")
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
    bundle, raw = orgs.folder / "a.bundle", orgs.folder / "raw"
    ada("bundle", "export", bundle)
    raw.write_bytes(bytes(range(1, 256)) * 40)
    restoring = ["library", "restore", orgs.folder / "backup"]
    assert "never overwritten" in ada.refuses(*restoring).hint
    (orgs.folder / "aurora").rename(orgs.folder / "lost")
    (orgs.folder / "libraries" / "ada").unlink()
    assert "cannot read" in ada.refuses(*restoring[:2], orgs.folder / "nowhere").message
    assert "no backup of a library" in ada.refuses(*restoring[:2], ada.passphrase).hint
    assert "expected a backup of a library, got a bundle" in ada.refuses(*restoring[:2], bundle).message
    other = ada.refuses(*restoring[:2], raw).message
    assert "got something that is no file's header" in other and other.isprintable()
    eve = Desk("eve", orgs.folder)
    assert "passphrase does not fit" in eve.refuses(*restoring, "--yes").message
    asked = ada.refuses(*restoring)
    assert "gone for good" in asked.message and "add --yes" in asked.hint
    assert not list((orgs.folder / "libraries").iterdir()), "nothing of it is left where nobody agreed"
    told = ada.says(*restoring, "--yes")
    assert "signs nothing yet: " in told and "next: `darklantern sync` with the log's keeper" in told
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


def test_what_waits_where_its_author_was_removed_is_dropped_with_a_warning(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    first, then = (orgs.beacon.threads.post(item, text) for text in ("too late", "later still"))
    exported(orgs.beacon)  # from here on others may hold them
    orgs.aurora.members.remove(orgs.circle, "Beacon", "bo", "moved on")
    with pytest.raises(RefusedError, match="others may hold it"):
        orgs.beacon.care.drop_waiting([first, then])
    orgs.to_beacon()
    orgs.close()
    (bo,) = seated(orgs.folder, bo="beacon")
    alone = bo.refuses("library", "drop", first, "--yes")
    assert "1 record of this device follow" in alone.message and then[:16] in alone.hint
    told = bo.says("library", "drop", first, then, "--yes")
    assert "left this library before: others may hold it" in told and "dropped" in told
    assert "lists what waits" in bo.refuses("library", "drop", then, "--yes").hint
    why = bo.says("explain", "Beacon/bo", "evals")
    assert "its rules admit neither them nor their org" in bo.says("explain", "Cairn/first", "evals")
    assert "bo of Beacon is no member of circle evals now" in why and "removed the person: moved on" in why


def test_what_was_taken_back_is_told_by_whom_and_when(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    post = orgs.aurora.threads.post(item, "a slip")
    orgs.to_beacon()
    orgs.close()
    ada, bo = seated(orgs.folder, ada="aurora", bo="beacon")
    for each in (item, post):
        ada("library", "bury", each, "--yes")
    bundle = orgs.folder / "bundle"
    ada("bundle", "export", bundle)
    told = bo.says("bundle", "import", bundle, "--allow-clock-jump")
    assert "1 finding was taken back" in told and "1 post was taken back" in told
    gone = bo.refuses("open", item[:12])
    assert f"the finding {item[:16]} was taken back on 20" in gone.message and "by ada of Aurora" in gone.message
    assert f"the post {post[:16]} was taken back on 20" in bo.refuses("library", "bury", post[:12], "--yes").message
    assert "taken back" not in bo.says("bundle", "import", bundle, "--allow-clock-jump")
    assert "with which 0 begin" in bo.refuses("open", "00000000").message
