"""From nothing to a circle with an epoch, by commands and files alone; then everything that goes wrong with people.

One network, told once: each test is a chapter and starts from a copy of what its predecessor left.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from library.orgs import CHEAP
from typer.testing import CliRunner

from cli.desks import Desk, carry, signed
from darklantern.assess import level_follows
from darklantern.cli.app import app
from darklantern.errors import RefusedError
from darklantern.library import Library, create
from darklantern.network.invitations import Welcome
from darklantern.records.exact import decode, encode
from darklantern.sealing import RelayCard, RelayKey

PEOPLE = {
    "ada": ("Aurora", "Ada Lind"),
    "al": ("Aurora", "Al Moe"),
    "bo": ("Beacon", "Bo Tanaka"),
    "cy": ("Cairn", "Cy Roth"),
}
PROMISE = "I will not use what I read here to push the capabilities frontier.\n"


@pytest.fixture(scope="module", autouse=True)
def _this_process_stays_readable():
    """The commands would turn off core files and /proc for the whole test run."""
    patch = pytest.MonkeyPatch()
    patch.setitem(create.__kwdefaults__, "cost", CHEAP)
    for module in ("library_option", "backup_commands", "open_command", "hardening"):
        patch.setattr(f"darklantern.cli.{module}.keep_secrets_in_memory", lambda: None)
    yield
    patch.undo()


def desk(who: str, folder: Path) -> Desk:
    return Desk(who, folder)


def found(folder: Path) -> None:
    """Three orgs found a network: Aurora with two persons who both sign, Beacon and Cairn with one each."""
    desks = {who: desk(who, folder) for who in PEOPLE}
    (folder / "libraries").mkdir()
    for who, (org, name) in PEOPLE.items():
        keeper = ["--keeper"] if who == "ada" else []
        desks[who]("device", "new", "--org", org, "--person", who, "--name", name, *keeper)
        desks[who]("org", "root", "org")
        if who != "al":
            desks[who]("org", "root", "network")
        desks[who]("device", "card", "--out", folder / f"{who}.card")
    ada, al, bo, cy = desks.values()
    draft, cards = folder / "roster.draft", [folder / f"{who}.card" for who in PEOPLE]
    ada("org", "found", *cards, "--name", "Lantern", "--out", draft)
    signed(draft, ada, bo)
    nets = {each("draft", "publish", draft)["net"] for each in desks.values()}
    assert len(nets) == 1
    for who, org in (("ada", "Aurora"), ("bo", "Beacon")):
        mine = [folder / f"{each}.card" for each, (of, _) in PEOPLE.items() if of == org]
        desks[who]("member", "add", *mine, "--out", folder / f"{org}.draft")
    signed(folder / "Aurora.draft", ada, al)
    signed(folder / "Beacon.draft", bo)
    for org in ("Aurora", "Beacon"):
        ada("draft", "publish", folder / f"{org}.draft")
    carry(ada, al, bo, cy)


def pledge(folder: Path) -> None:
    ada, al, bo = (desk(who, folder) for who in ("ada", "al", "bo"))
    (folder / "promise.txt").write_text(PROMISE)
    ada("pledge", "propose", "no-frontier", "--file", folder / "promise.txt")
    carry(ada, al, bo)
    for each in (ada, al, bo):
        each("pledge", "sign", "no-frontier", "--yes")
    for each in (al, bo):
        carry(each, ada)
    carry(ada, al, bo)


def circle(folder: Path) -> None:
    ada, al, bo = (desk(who, folder) for who in ("ada", "al", "bo"))
    draft = folder / "circle.draft"
    admins = ["--admin", "Aurora/ada", "--admin", "Beacon/bo"]
    orgs = ["--org", "Aurora", "--org", "Beacon"]
    words = ["--level", "V2", "--tag", "use:safety-only", "--pledge", "no-frontier"]
    ada("circle", "found", "evals", *words, *orgs, *admins, "--out", draft)
    assert draft.read_bytes().startswith(b"age-encryption.org/v1") and b"evals" not in draft.read_bytes()
    signed(draft, ada, bo)
    bo("draft", "publish", draft)
    carry(bo, ada)
    ada("circle", "rotate", "evals")
    carry(ada, al, bo)


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A copy of the story's folder as it is after that chapter."""
    told: dict[str, Path] = {}

    def after(chapter: str) -> Path:
        before = None
        for step in (found, pledge, circle):
            if step.__name__ not in told:
                folder = told[step.__name__] = tmp_path_factory.mktemp(step.__name__)
                if before:
                    shutil.copytree(before, folder, dirs_exist_ok=True)
                step(folder)
            before = told[step.__name__]
            if step.__name__ == chapter:
                break
        return Path(shutil.copytree(told[chapter], tmp_path_factory.mktemp("copy"), dirs_exist_ok=True))

    return after


def members(shown: dict) -> list[str]:
    return sorted(member["person"] for member in shown["members"])


def test_three_orgs_found_a_network_by_files_alone(chapters) -> None:
    folder = chapters("found")
    ada, bo, cy = (desk(who, folder) for who in ("ada", "bo", "cy"))
    assert [one["person"] for one in bo("member", "list")] == ["ada", "al", "bo"]
    shown = cy("org", "show")
    assert (shown["roster"]["threshold"], len(shown["roster"]["roots"])) == (2, 3)
    assert {org["name"]: org["threshold"] for org in shown["roster"]["orgs"]} == {"Aurora": 2, "Beacon": 1, "Cairn": 1}
    assert ada("device", "show")["active"] and not cy("device", "show")["active"]
    assert "admits the org Cairn" in ada.says("org", "show")


def test_a_circle_with_an_epoch_stands_at_the_end(chapters) -> None:
    folder = chapters("circle")
    for who in ("ada", "al", "bo"):
        shown = desk(who, folder)("circle", "show", "evals")
        assert (members(shown), shown["epoch"]) == (["ada", "al", "bo"], 1)
    cy = desk("cy", folder)
    carry(desk("ada", folder), cy)
    assert [each["name"] for each in cy("circle", "list")] == [None]
    signers = desk("bo", folder)("pledge", "list")["signed"]
    assert sorted(each["person"] for each in signers) == ["ada", "al", "bo"]
    assert PROMISE.strip() in desk("bo", folder).says("pledge", "show", "no-frontier")


def test_before_it_has_a_network_a_library_refuses_everything_else(tmp_path: Path) -> None:
    (tmp_path / "libraries").mkdir()
    new = desk("new", tmp_path)
    new("device", "new", "--org", "Aurora", "--person", "new", "--name", "New")
    for words in (
        ("member", "list"),
        ("org", "show"),
        ("org", "change", "--until", "2030-01-01"),
        ("circle", "list"),
        ("pledge", "list"),
        ("member", "invite", "--code-out", tmp_path / "code"),
        ("finding", "list"),
        ("bundle", "export", tmp_path / "x"),
        ("status",),
        ("sync",),
    ):
        assert "no network yet" in new.refuses(*words).message, words
    assert new("device", "show")["net"] is None


def test_a_draft_says_in_words_what_it_changes_and_asks(chapters) -> None:
    folder = chapters("found")
    bo, draft = desk("bo", folder), folder / "next.draft"
    bo("org", "change", "--until", "2030-01-01", "--out", draft)
    shown = bo("draft", "show", draft)
    assert any("expires on 2030-01-01T00:00:00Z, before" in line for line in shown["words"])
    assert not shown["enough"] and "0 of the 2 orgs" in shown["signed"][0]
    no = desk("bo", folder)._run("draft", "sign", draft)
    assert isinstance(no.exception, RefusedError) and "--yes" in no.exception.hint
    assert not bo("draft", "show", draft)["enough"]
    assert bo("draft", "sign", draft, "--yes")["signed"][0].endswith("(Beacon); lacking: 1 of Aurora, Cairn")
    refused = bo.refuses("draft", "publish", draft)
    assert "not signed by enough" in refused.message and "lacking: 1 of Aurora, Cairn" in refused.message
    assert "signed the draft already" in bo.refuses("draft", "sign", draft, "--yes").message
    assert "no key of this library may sign" in desk("al", folder).refuses("draft", "sign", draft, "--yes").message
    # Published twice, it is where it was.
    signed(draft, desk("cy", folder))
    first, again = (bo("draft", "publish", draft) for _ in range(2))
    assert (first["before"], again) == (False, {**first, "before": True})
    assert "nothing is changed: it waits here for a sync" in bo.says("draft", "publish", draft)
    assert "published before" in desk("ada", folder).refuses("draft", "sign", folder / "roster.draft", "--yes").message
    genesis = desk("ada", folder).says("draft", "publish", folder / "roster.draft")
    assert "it founded the network that this library belongs to" in genesis
    carry(bo, desk("ada", folder))
    assert "it is entry " in desk("ada", folder).says("draft", "publish", draft)
    # Another draft of the same version is how forks begin: whoever signs it is warned.
    other = folder / "other.draft"
    bo("org", "change", "--until", "2031-01-01", "--out", other)
    assert any("you signed another roster version 2 before" in line for line in bo("draft", "show", other)["words"])


def test_p12_after_an_org_is_expelled_every_circle_refuses_to_seal_until_rotated(chapters) -> None:
    folder = chapters("circle")
    ada, bo, cy = (desk(who, folder) for who in ("ada", "bo", "cy"))
    carry(ada, cy)
    draft = folder / "expel.draft"
    assert "a reason" in ada.refuses("org", "change", "--expel", "Beacon", "--out", draft).message
    ada("org", "change", "--expel", "Beacon", "--reason", "sold its records", "--out", draft)
    words = ada("draft", "show", draft)["words"]
    assert any("expels the org Beacon" in line and "sold its records" in line for line in words)
    assert "Beacon is expelled, and its network root still signs rosters" in words
    signed(draft, cy, ada)
    ada("draft", "publish", draft)
    carry(ada, bo)
    shown = ada("circle", "show", "evals")
    assert members(shown) == ["ada", "al"] and any("sold its records" in each for each in shown["excluded"])
    assert "not in roster version 2" in bo.refuses("circle", "rotate", "evals").message
    ada("circle", "rotate", "evals")
    assert ada("circle", "show", "evals")["epoch"] == 2


def test_a_second_device_is_listed_vouched_for_and_given_the_past(chapters) -> None:
    folder = chapters("circle")
    ada, al, phone = (desk(who, folder) for who in ("ada", "al", "phone"))
    phone("device", "new", "--org", "Aurora", "--person", "ada", "--name", "Ada Lind")
    phone("device", "card", "--out", folder / "phone.card")
    ada("member", "add", folder / "phone.card", "--out", folder / "m.draft")
    assert any("ada: adds the device" in line for line in ada("draft", "show", folder / "m.draft")["words"])
    signed(folder / "m.draft", ada, al)
    ada("draft", "publish", folder / "m.draft")
    fingerprint = phone("device", "show")["fingerprint"]
    ada("device", "vouch", fingerprint[:9], "--yes")
    assert len(ada("device", "handover", fingerprint, "--yes")["circles"]) == 1
    ada("circle", "rotate", "evals")
    phone("draft", "publish", folder / "roster.draft")  # joins by the first roster
    carry(ada, phone)
    assert phone("device", "show")["active"]
    assert len(members(phone("circle", "show", "evals"))) == 4
    # It is lost: the org revokes it for good.
    ada("device", "revoke", fingerprint, "--out", folder / "r.draft")
    assert "import a newer bundle" in al.refuses("draft", "sign", folder / "r.draft", "--yes").hint
    carry(ada, al)
    signed(folder / "r.draft", ada, al)
    ada("draft", "publish", folder / "r.draft")
    shown = ada("circle", "show", "evals")
    assert any("revoked by manifest" in each for each in shown["excluded"])
    ada("circle", "rotate", "evals")
    again = folder / "again.draft"
    ada("member", "add", folder / "phone.card", "--out", again)
    assert "no revoked device" in ada.refuses("draft", "sign", again, "--yes").message


def test_one_admin_removes_and_a_quorum_restores(chapters) -> None:
    folder = chapters("circle")
    ada, bo = (desk(who, folder) for who in ("ada", "bo"))
    no = bo._run("circle", "remove", "evals", "Aurora/al", "--reason", "left")
    assert isinstance(no.exception, RefusedError)
    bo("circle", "remove", "evals", "Aurora/al", "--reason", "left the project", "--yes")
    carry(bo, ada)
    shown = ada("circle", "show", "evals")
    assert members(shown) == ["ada", "bo"]
    ada("circle", "rotate", "evals")
    (removal,) = shown["removals"]
    draft = folder / "restore.draft"
    assert "circle restore" in ada.refuses("circle", "add", "evals", "Aurora/al", "--out", draft).hint
    assert "names 0" in ada.refuses("circle", "restore", "evals", "Beacon/bo", "--out", draft).message
    ada("circle", "restore", "evals", removal[:12], "--out", draft)
    assert any("undoes the removal" in line for line in ada("draft", "show", draft)["words"])
    ada("circle", "restore", "evals", "Aurora/al", "--out", draft)
    assert any("undoes the removal" in line for line in ada("draft", "show", draft)["words"])
    signed(draft, ada, bo)
    ada("draft", "publish", draft)
    assert members(ada("circle", "show", "evals")) == ["ada", "al", "bo"]
    assert (
        "no admin"
        in desk("al", folder).refuses("circle", "remove", "evals", "Beacon/bo", "--reason", "x", "--yes").message
    )


def test_a_circle_changes_by_its_quorum(chapters) -> None:
    folder = chapters("circle")
    ada, bo, draft = desk("ada", folder), desk("bo", folder), folder / "change.draft"
    assert "something to change" in ada.refuses("circle", "change", "evals", "--out", draft).message
    ada("circle", "change", "evals", "--admin", "Aurora/al", "--freshness", "12h", "--out", draft)
    words = ada("draft", "show", draft)["words"]
    assert "admin al of Aurora" in words and any("12 hours" in line for line in words)
    assert desk("cy", folder).refuses("draft", "show", draft)
    signed(draft, ada, bo)
    ada("draft", "publish", draft)
    assert len(ada("circle", "show", "evals")["circle"]["admins"]) == 3


def test_people_are_added_to_a_circle_that_names_them_one_by_one(chapters) -> None:
    folder = chapters("circle")
    ada, bo, draft = desk("ada", folder), desk("bo", folder), folder / "add.draft"
    assert "all of Aurora" in ada.refuses("circle", "add", "evals", "Aurora/al", "--out", draft).message
    people = ["--person", "Aurora/ada", "--person", "Beacon/bo", "--admin", "Aurora/ada", "--admin", "Beacon/bo"]
    ada("circle", "found", "few", "--level", "V2", "--pledge", "no-frontier", *people, "--out", draft)
    ada("draft", "publish", signed(draft, ada, bo))
    assert "names them already" in ada.refuses("circle", "add", "few", "Beacon/bo", "--out", draft).message
    ada("circle", "add", "few", "Aurora/al", "--out", draft)
    assert any("al of Aurora" in line for line in ada("draft", "show", draft)["words"])
    carry(ada, bo)
    ada("draft", "publish", signed(draft, ada, bo))
    assert members(ada("circle", "show", "few")) == ["ada", "al", "bo"]


def test_pledges_are_withdrawn_renewed_and_broken(chapters) -> None:
    folder = chapters("circle")
    ada, al, bo = (desk(who, folder) for who in ("ada", "al", "bo"))
    al("pledge", "withdraw", "no-frontier", "--yes")
    carry(al, ada)
    assert members(ada("circle", "show", "evals")) == ["ada", "bo"]
    al("pledge", "sign", "no-frontier", "--yes")
    carry(al, ada)
    assert members(ada("circle", "show", "evals")) == ["ada", "al", "bo"]
    draft = folder / "breach.draft"
    ada("pledge", "breach", "Beacon/bo", "no-frontier", "--reason", "trained on it", "--out", draft)
    assert "in all its versions" in ada("draft", "show", draft)["words"][0]
    signed(draft, bo)  # the root of their own org is enough
    ada("draft", "publish", draft)
    assert any("broke the pledge" in each for each in ada("circle", "show", "evals")["excluded"])
    (broken,) = ada("pledge", "list")["broken"]
    back = ["--reason", "was somebody else", "--withdraws", broken["id"][:12], "--out", draft]
    ada("pledge", "breach", "Beacon/bo", "no-frontier", *back)
    carry(ada, bo)
    signed(draft, bo)
    ada("draft", "publish", draft)
    assert members(ada("circle", "show", "evals")) == ["ada", "al", "bo"]
    (folder / "second.txt").write_text(PROMISE + "Nor will I train on it.\n")
    assert ada("pledge", "propose", "no-frontier", "--file", folder / "second.txt")["version"] == 2
    assert (
        "--reference"
        in ada.refuses("pledge", "propose", "x", "--file", folder / "second.txt", "--basis", "nda").message
    )
    assert "propose it" in ada.refuses("pledge", "sign", "no-such", "--yes").hint


def test_what_is_proposed_signed_or_withdrawn_twice_is_so_once(chapters) -> None:
    folder = chapters("circle")
    al, bo = desk("al", folder), desk("bo", folder)
    sign = ["pledge", "sign", "no-frontier", "--yes"]
    waiting = lambda: len(al("status")["logs"][0]["waiting"])  # noqa: E731
    before = waiting()
    (signed_to,) = {each["until"] for each in al("pledge", "list")["signed"] if each["person"] == "al"}
    assert al(*sign) == {"id": None, "until": signed_to}
    assert "nothing is changed; --until renews it" in al.says(*sign)
    assert waiting() == before
    renewed = al(*sign, "--until", "2031-01-01")
    assert renewed["id"] and al(*sign, "--until", "2031-01-01") == {**renewed, "id": None}
    al("pledge", "withdraw", "no-frontier", "--yes")
    assert al("pledge", "withdraw", "no-frontier", "--yes")["id"] is None
    assert waiting() == before + 2
    again = ["pledge", "propose", "no-frontier", "--file", folder / "promise.txt"]
    assert "version 1 is this very text already" in bo.refuses(*again).message
    (folder / "other.txt").write_text("Nor will I sell it.\n")
    assert "then people can sign it" in bo.says("pledge", "propose", "no-sale", "--file", folder / "other.txt")
    early = bo.refuses("pledge", "sign", "no-sale", "--yes")
    assert "waits here for the keeper" in early.message and "darklantern sync" in early.hint
    assert "already" in bo.refuses("pledge", "propose", "no-sale", "--file", folder / "other.txt").message
    ada = desk("ada", folder)
    carry(bo, ada)
    assert "have not signed" in ada.refuses("pledge", "withdraw", "no-sale", "--yes").message


def test_somebody_joins_by_an_invitation(chapters) -> None:
    folder = chapters("circle")
    ada, bo, ben = (desk(who, folder) for who in ("ada", "bo", "ben"))
    ben("device", "new", "--org", "Beacon", "--person", "ben", "--name", "Ben Ito")
    bo("member", "invite", "--out", folder / "invitation", "--code-out", folder / "code")
    wrong = folder / "wrong"
    wrong.write_text(folder.joinpath("code").read_text().replace("-", "")[:-1] + "0")
    join = ["device", "join", folder / "invitation", "--out", folder / "request", "--code-file"]
    if wrong.read_text() != (folder / "code").read_text().replace("-", "").strip():
        assert "no invitation code" in ben.refuses(*join, wrong).message
    answered = ben(*join, folder / "code")
    out = ["--out", folder / "m.draft", "--welcome", folder / "welcome"]
    accepted = bo("member", "accept", folder / "request", *out)
    assert accepted["comparison"] == answered["comparison"]
    assert "never given here, is used" in bo.refuses("member", "accept", folder / "request", *out).message
    assert ben("device", "join", folder / "welcome")["net"] == bo("org", "show")["net"]
    signed(folder / "m.draft", bo)
    bo("draft", "publish", folder / "m.draft")
    carry(bo, ada)
    carry(ada, ben)
    assert ben("device", "show")["active"]
    code = (folder / "code").read_text().strip()
    for file in ("invitation", "request", "welcome", "m.draft"):
        assert code.encode() not in (folder / file).read_bytes()


def test_recovery_waits_for_72_hours_and_says_until_when(chapters) -> None:
    folder = chapters("circle")
    ada, al, bo, lost = (desk(who, folder) for who in ("ada", "al", "bo", "al's new one"))
    lost("device", "new", "--org", "Aurora", "--person", "al", "--name", "Al Moe")
    lost("device", "card", "--out", folder / "new.card")
    old = al("device", "show")["fingerprint"]
    ada("device", "revoke", old, "--out", folder / "r.draft")
    signed(folder / "r.draft", ada, al)
    ada("draft", "publish", folder / "r.draft")
    ada("member", "add", folder / "new.card", "--out", folder / "m.draft")
    signed(folder / "m.draft", ada)
    carry(ada, al)
    signed(folder / "m.draft", al)
    ada("draft", "publish", folder / "m.draft")
    lost("draft", "publish", folder / "roster.draft")
    carry(ada, lost)
    (id,) = [each["id"] for each in ada("circle", "list")]
    lost("device", "recover", id[:16])
    carry(lost, ada)
    carry(ada, bo)
    refused = bo.refuses("device", "vouch", lost("device", "show")["fingerprint"], "--yes")
    assert "vouching is possible from 2" in refused.message and "by another channel" in refused.hint
    assert "no notice of it" in bo.refuses("device", "vouch", ada("device", "show")["fingerprint"], "--yes").message


def test_p35_a_card_with_one_key_in_two_roles_is_refused(chapters) -> None:
    folder = chapters("found")
    card = json.loads((folder / "bo.card").read_bytes())
    card["org_root"] = card["network_root"]
    (folder / "two.card").write_text(json.dumps(card, separators=(",", ":")))
    refused = desk("bo", folder).refuses("member", "add", folder / "two.card", "--out", folder / "x.draft")
    assert "one key in two roles" in refused.message


def test_the_roster_rotates_roots_changes_thresholds_and_lists_relays(chapters) -> None:
    folder = chapters("found")
    ada, bo, cy = (desk(who, folder) for who in ("ada", "bo", "cy"))
    before = bo("device", "show")["roots"]
    assert before["network"] in desk("bo", folder)._run("org", "root", "network").output
    assert "add --yes" in bo.refuses("org", "root", "network").hint
    bo("org", "root", "network", "--yes")
    bo("device", "card", "--out", folder / "bo.card")
    assert bo("device", "show")["roots"]["org"] == before["org"] != bo("device", "show")["roots"]["network"]
    relay = RelayKey.generate()
    card = RelayCard(public=relay.public, urls=("https://10.0.0.1:7447",), certificate=b"not a real one")
    (folder / "relay.card").write_bytes(encode(card) + b"\n")
    draft = folder / "next.draft"
    change = ["org", "change", "--root", folder / "bo.card", "--org-threshold", "Aurora=1", "--out", draft]
    ada(*change, "--relay", f"Aurora/north={folder / 'relay.card'}")
    words = ada("draft", "show", draft)["words"]
    assert any("network root of Beacon: " in line and before["network"] not in line for line in words)
    assert f"network root of Beacon: {before['network']}: no longer signs for the network" in words
    assert "Aurora: 1 of 2 persons must sign its manifests" in words
    assert any(relay.public.fingerprint in line and "10.0.0.1" in line for line in words)
    signed(draft, bo, cy)
    ada("draft", "publish", draft)
    carry(ada, bo)
    assert bo("org", "show")["roster"]["relays"][0]["name"] == "north"
    # From here on one of Aurora's roots is enough, and whoever joins is told of the relay.
    ada("member", "remove", "Aurora/al", "--out", folder / "m.draft")
    signed(folder / "m.draft", ada)
    ada("draft", "publish", folder / "m.draft")
    assert [one["person"] for one in ada("member", "list")] == ["ada", "bo"]
    ben = desk("ben", folder)
    ben("device", "new", "--org", "Beacon", "--person", "ben", "--name", "Ben Ito")
    ada("member", "invite", "--out", folder / "invitation", "--code-out", folder / "code")
    ben("device", "join", folder / "invitation", "--out", folder / "request", "--code-file", folder / "code")
    out = ["--out", folder / "m.draft", "--welcome", folder / "welcome"]
    ada("member", "accept", folder / "request", *out)
    ben("device", "join", folder / "welcome")
    assert decode(Welcome, (folder / "welcome").read_bytes()).relays == (card,)
    with Library.open(ben.library, "passphrase of ben", follows=level_follows) as library:
        assert library.relays.known == {relay.public.id: card}
    for wrong, why in (
        (["--org-threshold", "Aurora"], "ORG=N"),
        (["--org-threshold", "Aurora=x"], "ORG=N"),
        (["--relay", "north"], "ORG/NAME=FILE"),
        (["--until", "tomorrow"], "a day"),
        (["--keeper", folder / "bo.card"], "no log key"),
        (["--root", folder / "relay.card"], "got the card of a relay"),
        (["--settle"], "no fork to settle"),
        ([], "something to change"),
    ):
        assert why in ada.refuses("org", "change", *wrong, "--out", draft).message, wrong


def test_whom_to_trust_is_shown_by_fingerprints_to_compare(chapters) -> None:
    folder = chapters("found")
    ada, bo, cy = (desk(who, folder) for who in ("ada", "bo", "cy"))
    cards = [folder / f"{who}.card" for who in ("ada", "bo", "cy")]
    shown = [each("device", "card", "--out", folder / f"{each.who}.card") for each in (ada, bo, cy)]
    fingerprints = [each["fingerprint"] for each in shown]
    said = ada.says("org", "found", *cards, "--name", "Other", "--out", folder / "x")
    assert all(f": {each}\n" in said for each in fingerprints) and "card of Bo Tanaka (bo of Beacon): " in said
    told = ada("org", "found", *cards, "--name", "Other", "--out", folder / "x")
    assert [each["fingerprint"] for each in told["cards"]] == fingerprints
    assert fingerprints[1] in bo.says("member", "add", folder / "bo.card", "--out", folder / "x")
    assert "cards" not in ada("member", "remove", "Aurora/al", "--out", folder / "m")
    assert "compare the fingerprints with their holders" in ada.says("draft", "sign", folder / "m", "--yes")


def test_a_card_that_would_change_nothing_is_refused(chapters) -> None:
    folder = chapters("found")
    ada, al, cy = (desk(who, folder) for who in ("ada", "al", "cy"))
    cards = [folder / f"{who}.card" for who in PEOPLE]
    words = ["org", "found", "--name", "Other", "--out", folder / "x"]
    assert "card of Bo Tanaka (bo of Beacon) is there twice" in ada.refuses(*words, *cards, folder / "bo.card").message
    al("org", "root", "network")
    al("device", "card", "--out", folder / "al.card")
    refused = ada.refuses(*words, *cards)
    assert "Ada Lind (ada of Aurora) and of Al Moe (al of Aurora)" in refused.message
    assert "two names" in refused.hint
    bare = desk("ben", folder)
    bare("device", "new", "--org", "Beacon", "--person", "ben", "--name", "Ben Ito")
    bare("device", "card", "--out", folder / "ben.card")
    assert "names no root" in cy.refuses("org", "change", "--root", folder / "ben.card", "--out", folder / "x").message
    assert not (folder / "x").exists()


def test_a_name_that_nobody_has_is_refused_with_those_like_it(chapters) -> None:
    folder = chapters("circle")
    ada = desk("ada", folder)
    for words, what, meant in (
        (["--org", "Aurorra", "--admin", "Aurora/ada"], "'Aurorra'", "mean Aurora?"),
        (["--org", "Aurora", "--admin", "Aurora/adda"], "'Aurora/adda', which names nobody", "mean Aurora/ada"),
        (["--org", "Aurora", "--admin", "BO"], "'BO', which names nobody", "mean Beacon/bo?"),
        (["--org", "Aurora", "--admin", "Aurora/ada", "--pledge", "no-frontiers"], "'no-frontiers'", "no-frontier?"),
    ):
        refused = ada.refuses("circle", "found", "x", "--level", "V2", *words, "--out", folder / "x.draft")
        assert what in refused.message and meant in refused.hint, refused.hint
    change = ["circle", "change", "evals", "--out", folder / "x.draft"]
    assert "mean Beacon?" in ada.refuses(*change, "--without-org", "Beacn").hint
    assert "mean Cairn?" in ada.refuses(*change, "--org", "cairn").hint
    assert "mean evals?" in ada.refuses("circle", "show", "eval").hint
    assert not (folder / "x.draft").exists()
    nobody = ada.refuses("explain", "Beacon/boo", "0000")
    assert "'Beacon/boo', which names nobody" in nobody.message and "mean Beacon/bo?" in nobody.hint
    assert "did you mean" not in ada.refuses("explain", "Zenith/zoe", "0000").hint
    assert "no log that is here has it" in ada.says("explain", "Beacon/bo", "0000")
    assert "cy of Cairn cannot" in ada.says("explain", "Cairn/cy", "0000")  # holds a root; Cairn has no manifest


def test_a_file_of_another_kind_is_told_what_it_is_and_what_takes_it(chapters) -> None:
    folder = chapters("circle")
    bo, cy = desk("bo", folder), desk("cy", folder)
    bo("bundle", "export", folder / "all.bundle")
    bo("seal", folder / "promise.txt", "--to", "Aurora/ada", "--out", folder / "promise.age")
    bo("bundle", "holdings", folder / "held")
    bo("member", "invite", "--out", folder / "invitation", "--code-out", folder / "code")
    CliRunner().invoke(app, ["finding", "new", str(folder / "finding.toml")])
    out = ["--out", folder / "out"]
    for words, came, takes in (
        (
            ["draft", "sign", folder / "bo.card", "--yes"],
            "expected a draft or a sealed file, got the card of a",
            "org f",
        ),
        (["draft", "show", folder / "all.bundle"], "got a bundle", "bundle import"),
        (
            ["member", "add", folder / "all.bundle", *out],
            "expected the card of a device, got a bundle",
            "bundle import",
        ),
        (["member", "add", folder / "roster.draft", *out], "got a draft", "draft publish"),
        (
            ["bundle", "import", folder / "roster.draft"],
            "expected a bundle or a sealed file, got a draft",
            "draft show",
        ),
        (["bundle", "verify", folder / "held"], "got what a library holds", "bundle export --holdings"),
        (
            ["device", "join", folder / "bo.card"],
            "expected an invitation or a welcome, got the card of a dev",
            "member a",
        ),
        (
            ["member", "accept", folder / "invitation"],
            "expected a request, got an invitation",
            "device join",
        ),
        (["relay", "add", folder / "bo.card"], "expected the card of a relay, got the card of a device", "member add"),
        (["relay", "add", folder / "promise.age"], "got a sealed file", "open FILE"),
        (["open", folder / "bo.card"], "expected a sealed file, got the card of a device", "member add"),
        (["open", folder / "finding.toml"], "got a form for a finding", "darklantern share"),
        (
            ["share", folder / "bo.card", "--circle", "evals"],
            "expected a form for a finding or a finding, got",
            "member",
        ),
    ):
        refused = bo.refuses(*words)
        assert came in refused.message and takes in refused.hint, refused
    assert not (folder / "out").exists()
    # What is none of ours is not guessed at; and a circle's draft is sealed to its admins.
    assert "got another file" in bo.refuses("device", "join", folder / "promise.txt").message
    sealed = cy.refuses("draft", "show", folder / "circle.draft")
    assert "sealed to its admins: this device is none of theirs" in sealed.message


def test_files_that_are_not_what_they_should_be_are_refused(chapters) -> None:
    folder = chapters("found")
    bo = desk("bo", folder)
    for words in (
        ("draft", "sign", folder / "bo.card", "--yes"),
        ("draft", "publish", folder / "bo.card"),
        ("device", "join", folder / "bo.card"),
        ("member", "accept", folder / "bo.card"),
        ("member", "add", folder / "roster.draft", "--out", folder / "x"),
        ("member", "add", folder / "nowhere", "--out", folder / "x"),
        ("member", "add", folder / "bo.card", "--out", folder),
        ("member", "remove", "nobody", "--out", folder / "x"),
        ("device", "revoke", "ZZZZ", "--out", folder / "x"),
        ("device", "vouch", "", "--yes"),
        ("circle", "show", "nothing"),
        ("member", "invite"),
    ):
        bo.refuses(*words)
    assert not (folder / "x").exists()
