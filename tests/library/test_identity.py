"""The half of a library that is about who: what it is before it has a network, and what one person signs alone."""

from pathlib import Path

import msgspec
import pytest
from network.world import NOW, PLEDGE, YEAR, device, log_key, network_keys, person, roster

from darklantern.assess import level_follows
from darklantern.errors import DarkLanternError, RefusedError, StoreError
from darklantern.library import Library, create
from darklantern.library.keeping import appended
from darklantern.library.state import State
from darklantern.network import Admin, Commitment, Named, cosign, draft_roster, new_terms
from darklantern.network.cards import Holder
from darklantern.network.clock import text
from darklantern.network.drafts import Draft
from darklantern.network.invitations import Request, new_code
from darklantern.network.vouching import NOTICE
from darklantern.records.exact import encode
from darklantern.sealing import Envelope, envelope_id
from library.orgs import (
    CHEAP,
    Clock,
    Orgs,
    artifacts,
    assessment,
    carried,
    every_byte_of,
    finding,
    found_circle,
    founded,
    genesis,
    library,
    reopened,
    share,
)

DAY = 86_400


@pytest.fixture
def orgs(tmp_path: Path):
    made = founded(tmp_path)
    yield made
    made.close()


def alone(folder: Path, who: str = "cy", *, keeper: bool = False, clock: Clock | None = None) -> Library:
    return create(
        folder / who,
        f"passphrase of {who}",
        device=device(who),
        holder=Holder(org="Cairn", person=who, name=f"Dr {who}"),
        log_key=log_key("keeper") if keeper else None,
        follows=level_follows,
        clock=clock or Clock(),
        cost=CHEAP,
    )


def test_without_a_network_there_are_keys_and_nothing_else(orgs: Orgs, tmp_path: Path) -> None:
    orgs.aurora.bundles.export_to(tmp_path / "x")
    with alone(tmp_path) as made:
        assert not made.identity.is_joined
        assert made.identity.card.device == made.device and made.identity.holder.org == "Cairn"
        what = finding()
        for refused in (
            lambda: made.net,
            lambda: made.view,
            lambda: made.circles(),
            lambda: made.findings.listed(),
            lambda: made.pending,
            lambda: made.opaque,
            lambda: made.add(genesis()),
            lambda: made.members.pledge(PLEDGE, text(NOW + YEAR)),
            lambda: made.findings.share(what, artifacts(), circle="evals", assessment=assessment(what)),
            lambda: made.members.effective("evals"),
            lambda: made.members.rotate("evals"),
            lambda: made.bundles.export_to(tmp_path / "y"),
            lambda: made.bundles.import_from(tmp_path / "x"),
            lambda: made.identity.invite(),
            lambda: made.members.vouch("1" * 64),
            lambda: made.members.hand_over("1" * 64),
            lambda: made.members.remove("evals", "Aurora", "al", "x"),
            lambda: made.drafts.roster(until=NOW),
            lambda: made.drafts.manifest("Cairn"),
        ):
            with pytest.raises(RefusedError, match="no network yet"):
                refused()


def test_a_library_joins_once_for_good(tmp_path: Path) -> None:
    with alone(tmp_path) as made:
        for wrong in ("", "x", "0" * 64, "g" * 64, "a" * 63):
            with pytest.raises(RefusedError, match="expected the id"):
                made.identity.join(wrong)
        half = cosign(draft_roster(roster(), NOW), network_keys("Aurora"))
        with pytest.raises(RefusedError, match="founds no network"):
            made.identity.join(half)
        assert not made.identity.is_joined
        assert made.identity.join(genesis()) == envelope_id(genesis())
        with pytest.raises(RefusedError, match="already"):
            made.identity.join("1" * 64)
    with reopened(tmp_path / "cy", "cy", Clock()) as again:
        assert again.net == envelope_id(genesis())
        assert again.view.network.roster is None  # it waits for a bundle


def test_whoever_keeps_the_log_begins_it_by_joining(tmp_path: Path) -> None:
    with alone(tmp_path, keeper=True) as made:
        made.identity.join(genesis())
        assert made.view.network.roster == roster()
        made.bundles.export_to(tmp_path / "a.bundle")


def test_root_keys_are_made_here_and_older_ones_sign_on(tmp_path: Path) -> None:
    with alone(tmp_path) as made:
        network, org = made.identity.add_root("network"), made.identity.add_root("org")
        assert len({network.id, org.id, made.device.signing.id}) == 3
        assert (made.identity.card.network_root, made.identity.card.org_root) == (network, org)
        later = made.identity.add_root("network")
        assert made.identity.card.network_root == later != network
    with reopened(tmp_path / "cy", "cy", Clock()) as again:
        assert again.identity.roots == {"network": later, "org": org}
        mine = (*roster().roots[:2], msgspec.structs.replace(roster().roots[2], key=network))
        draft = draft_roster(roster(roots=mine), NOW)
        signed = again.drafts.sign(again.drafts.from_bytes(_file(draft)))
        assert [signer.keyid for signer in signed.envelope.signers] == [network.id]


def _file(envelope: Envelope) -> bytes:
    return encode(Draft(envelope=envelope)) + b"\n"


def test_p21_root_keys_and_codes_are_in_no_file_in_the_clear(orgs: Orgs) -> None:
    orgs.aurora.identity.add_root("org")
    code, _ = orgs.aurora.identity.invite()
    held = every_byte_of(orgs.folder)
    assert code.secret not in held and code.spoken().encode() not in held
    assert code.spoken() not in repr(orgs.aurora._desk.held.own)


def test_p31_a_wrong_code_burns_the_invitation_for_good(orgs: Orgs, tmp_path: Path) -> None:
    code, invitation = orgs.aurora.identity.invite()
    with alone(tmp_path, "joiner") as joiner:
        right = joiner.identity.answer(code, invitation)
    wrong = Request(invitation=invitation.id, card=right.card, mac=bytes(32))
    with pytest.raises(RefusedError, match="burnt"):
        orgs.aurora.identity.accept(wrong)
    for _ in range(2):
        with pytest.raises(RefusedError, match="or is burnt"):
            orgs.aurora.identity.accept(right)
        orgs.aurora.close()
        orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)


def test_an_invitation_serves_once_and_expires(orgs: Orgs, tmp_path: Path) -> None:
    code, invitation = orgs.aurora.identity.invite()
    clock = Clock()
    with alone(tmp_path, "joiner", clock=clock) as joiner:
        with pytest.raises(RefusedError, match="does not belong"):
            joiner.identity.answer(new_code(), invitation)
        request = joiner.identity.answer(code, invitation)
        welcome = orgs.aurora.identity.accept(request)
        with pytest.raises(RefusedError, match="is used"):
            orgs.aurora.identity.accept(request)
        assert joiner.identity.welcomed(welcome) == orgs.aurora.net
        with pytest.raises(RefusedError, match="waits for no welcome"):
            joiner.identity.welcomed(welcome)
        with pytest.raises(RefusedError, match="already"):
            joiner.identity.answer(code, invitation)
    code, invitation = orgs.aurora.identity.invite()
    clock.now += 15 * DAY
    with alone(tmp_path, "late", clock=clock) as late, pytest.raises(RefusedError, match="expired"):
        late.identity.answer(code, invitation)


def test_a_welcome_for_somebody_else_joins_nothing(orgs: Orgs, tmp_path: Path) -> None:
    answers = []
    for who in ("one", "two"):
        code, invitation = orgs.aurora.identity.invite()
        joiner = alone(tmp_path, who)
        answers.append((joiner, orgs.aurora.identity.accept(joiner.identity.answer(code, invitation))))
    (one, _), (two, theirs) = answers
    with pytest.raises(RefusedError, match="does not answer this library's request"):
        one.identity.welcomed(theirs)
    assert not one.identity.is_joined
    assert two.identity.welcomed(theirs)
    for joiner in (one, two):
        joiner.close()


def test_a_first_manifest_can_be_signed_before_the_first_bundle(tmp_path: Path) -> None:
    with alone(tmp_path) as made:
        made.identity.join(genesis())
        draft = made.drafts.manifest("Cairn", add=[made.identity.card])
        assert "0 of the 2 persons of Cairn" in str(made.drafts.tallies(draft)[0])
        with pytest.raises(RefusedError, match="no key of this library"):
            made.drafts.sign(draft)


def test_signing_the_same_version_twice_is_warned_of_after_reopening_too(orgs: Orgs) -> None:
    first = orgs.aurora.drafts.circle("evals", freshness=DAY)
    second = orgs.aurora.drafts.circle("evals", freshness=2 * DAY)
    orgs.aurora.drafts.sign(first)
    assert not any("WARNING" in line for line in orgs.aurora.drafts.words(first))
    orgs.aurora.close()
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert any("WARNING: you signed another" in line for line in orgs.aurora.drafts.words(second))


def test_a_network_fork_is_settled_by_a_draft(orgs: Orgs) -> None:
    versions = orgs.aurora.view.network.rosters
    with pytest.raises(RefusedError, match="no fork to settle"):
        orgs.aurora.drafts.roster(settle=True)
    for until in (2, 3):
        body = msgspec.structs.replace(
            versions[0].body, version=2, previous=versions[0].id, until=text(NOW + until * YEAR)
        )
        envelope = cosign(draft_roster(body, NOW, orgs.aurora.net), network_keys("Aurora", "Beacon"))
        if until == 2:
            orgs.aurora.add(envelope)
        else:
            orgs.aurora._desk.step(_appended(orgs.aurora, envelope))
    fork = orgs.aurora.view.network.roster_fork
    assert fork is not None
    draft = orgs.aurora.drafts.roster(settle=True)
    assert any(fork.second in line for line in orgs.aurora.drafts.words(draft))
    signed = msgspec.structs.replace(draft, envelope=cosign(draft.envelope, network_keys("Aurora", "Cairn")))
    orgs.aurora.drafts.publish(signed)
    assert orgs.aurora.view.network.roster_fork is None


def _appended(made: Library, envelope: Envelope) -> State:
    return appended(made._desk.held, made.net, encode(envelope))


# One person alone


def test_a_second_device_gets_the_past_from_the_first(orgs: Orgs) -> None:
    orgs.aurora.drafts.add_terms(
        circle := found_circle(orgs.aurora, terms := new_terms("closed past", "V2"), history="none"), terms
    )
    orgs.aurora.members.rotate(circle)
    orgs.manifest("Aurora", person("ada", "ada", "ada's tablet"), person("al"))
    tablet = device("ada's tablet").public.id
    with pytest.raises(RefusedError, match="no active device"):
        orgs.aurora.members.hand_over(device("bo").public.id)
    assert circle in orgs.aurora.members.hand_over(tablet)
    orgs.aurora.members.rotate(circle)
    with library(orgs.folder / "tablet", "ada's tablet", orgs.clock) as second:
        carried(orgs.aurora, second)
        epochs = [epoch.id for epoch in second.view.circle(circle).epochs]
        assert len(epochs) == 2 and set(epochs) <= second._desk.held.keyring.seeds.keys()


def closed(orgs: Orgs) -> str:
    """Named people with one compared device each; al is an admin too."""
    orgs.manifest("Aurora", person("ada", "ada"), person("al"))
    people = tuple(
        Named(org=org, person=who, devices=(device(who).public.id,))
        for org, who in (("Aurora", "ada"), ("Beacon", "bo"), ("Aurora", "al"))
    )
    admins = (Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo"))
    terms = new_terms("few", "V3")
    strict = {"countersigned": True, "rotation": 30 * DAY, "retention": 90 * DAY, "history": "none"}
    return found_circle(orgs.aurora, terms, orgs=(), people=people, admins=admins, **strict)


def test_recovery_takes_a_notice_72_hours_and_a_quorum(orgs: Orgs) -> None:
    circle = closed(orgs)
    # Al has lost their device. The org lists a new one, which gives notice.
    orgs.manifest("Aurora", person("ada"), person("al", "al's new one"), revoked=("al",))
    new = device("al's new one").public.id
    with library(orgs.folder / "new", "al's new one", orgs.clock) as lost:
        carried(orgs.aurora, lost)
        lost.members.give_notice(circle)
        carried(lost, orgs.aurora)
        lost.members.pledge(PLEDGE, text(NOW + YEAR))
        carried(lost, orgs.aurora)
    orgs.to_beacon()
    (notice,) = orgs.beacon.members.notices()
    assert (notice.device, notice.person, notice.after) == (new, "al", text(NOW + NOTICE))
    with pytest.raises(RefusedError, match="no notice"):
        orgs.beacon.members.vouch_for("1" * 64)
    for admin in (orgs.aurora, orgs.beacon):
        orgs.clock.now = NOW + NOTICE - 1
        with pytest.raises(RefusedError, match=f"possible from {text(NOW + NOTICE)}"):
            admin.members.vouch_for(notice.id)
    # A fresh checkpoint in between makes nobody wait anew: the first that covered the notice is remembered.
    orgs.clock.now = NOW + NOTICE
    orgs.to_beacon()
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    orgs.beacon.members.vouch_for(notice.id)
    orgs.to_aurora()
    assert new not in orgs.aurora.members.effective(circle).ids  # one of two is no quorum
    orgs.aurora.members.vouch_for(notice.id)
    assert new in orgs.aurora.members.effective(circle).ids
    orgs.aurora.members.rotate(circle)


def test_p10_a_revoked_device_can_neither_vouch_nor_remove_nor_pledge(orgs: Orgs) -> None:
    orgs.manifest("Aurora", person("ada"), person("al"))
    orgs.manifest("Beacon", person("bo", "bo's new one"), revoked=("bo",))
    orgs.to_beacon()
    new = device("bo's new one").public.id
    for act in (
        lambda: orgs.beacon.members.vouch(new),
        lambda: orgs.beacon.members.remove("evals", "Aurora", "al", "spite"),
        lambda: orgs.beacon.members.pledge(PLEDGE, text(NOW + YEAR)),
        lambda: orgs.beacon.members.propose(Commitment(name="x", version=1, basis="honour", text="y")),
        lambda: orgs.beacon.members.give_notice(orgs.circle),
        lambda: orgs.beacon.members.rotate("evals"),
    ):
        before = orgs.beacon.pending
        with pytest.raises(DarkLanternError):
            act()
        assert orgs.beacon.pending == before


def test_one_vouches_for_ones_own_other_device_only(orgs: Orgs) -> None:
    circle = closed(orgs)
    orgs.manifest("Aurora", person("ada", "ada", "ada's tablet"), person("al"))
    for other, why in ((device("bo").public.id, "no active device of this"), (orgs.aurora.device.id, "very device")):
        with pytest.raises(RefusedError, match=why):
            orgs.aurora.members.vouch(other)
    tablet = device("ada's tablet").public.id
    assert tablet not in orgs.aurora.members.effective(circle).ids
    with pytest.raises(RefusedError, match="nothing to hand over"):
        orgs.aurora.members.hand_over(tablet)
    orgs.aurora.members.vouch(tablet)
    assert tablet in orgs.aurora.members.effective(circle).ids


def test_removal_makes_the_next_seal_rotate(orgs: Orgs) -> None:
    share(orgs)
    orgs.aurora.members.remove("evals", "Beacon", "bo", "left the project")
    assert {member.org for member in orgs.aurora.members.effective("evals").members} == {"Aurora"}
    orgs.aurora.members.rotate("evals")
    orgs.to_beacon()
    with pytest.raises(RefusedError, match="an admin removed the person"):
        orgs.beacon.members.rotate("evals")


def test_p22_a_pledge_is_renewed_and_withdrawn(orgs: Orgs) -> None:
    mine = lambda: {member.person for member in orgs.aurora.members.effective("evals").members}  # noqa: E731
    orgs.aurora.members.withdraw(PLEDGE)
    assert mine() == {"bo"}
    orgs.aurora.members.pledge(PLEDGE, text(NOW + YEAR))
    assert mine() == {"ada", "bo"}


def test_a_commitment_is_proposed_once_under_a_version_that_is_free(orgs: Orgs) -> None:
    first = Commitment(name="no-frontier", version=2, basis="honour", text="I will not.")
    assert orgs.aurora.members.propose(first) == first.terms
    for version in (2, 3):
        with pytest.raises(RefusedError, match="version 2 is this very text already"):
            orgs.aurora.members.propose(msgspec.structs.replace(first, version=version))
    with pytest.raises(RefusedError, match="expected version 3"):
        orgs.aurora.members.propose(msgspec.structs.replace(first, text="I may."))
    orgs.aurora.members.propose(msgspec.structs.replace(first, version=3, text="I may."))
    orgs.aurora.members.propose(msgspec.structs.replace(first, version=4))  # what was said before may be said again
    waiting = msgspec.structs.replace(first, name="other")
    orgs.beacon.members.propose(waiting)
    assert orgs.beacon.members.proposed("other") == (waiting,)
    with pytest.raises(RefusedError, match="this very text already"):
        orgs.beacon.members.propose(waiting)


def test_what_one_has_signed_is_known_before_it_is_in_the_log(orgs: Orgs) -> None:
    assert orgs.beacon.members.pledged(PLEDGE) == text(NOW + YEAR)
    orgs.beacon.members.pledge(PLEDGE, text(NOW + 2 * YEAR))
    assert orgs.beacon.members.pledged(PLEDGE) == text(NOW + 2 * YEAR)
    orgs.beacon.members.withdraw(PLEDGE)
    assert orgs.beacon.members.pledged(PLEDGE) == text(NOW)
    assert orgs.beacon.members.pledged(msgspec.structs.replace(PLEDGE, version=9)) is None


def test_the_passphrase_changes_and_the_library_is_the_same(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.aurora.care.change_passphrase("another passphrase", cost=CHEAP)
    orgs.aurora.threads.post(item, "written after the change")
    orgs.aurora.close()
    with pytest.raises(StoreError, match="does not fit"):
        reopened(orgs.folder / "aurora", "ada", orgs.clock)
    orgs.aurora = Library.open(orgs.folder / "aurora", "another passphrase", follows=level_follows, clock=orgs.clock)
    assert [post.text for post in orgs.aurora.threads.open(item).posts] == ["written after the change"]


def test_both_logs_move_to_another_library(orgs: Orgs) -> None:
    """Each by a draft with the last checkpoint of the old keeper, and published where it moves to."""
    share(orgs)
    orgs.to_beacon()
    orgs.beacon.close()
    create(
        orgs.folder / "new keeper",
        "passphrase of al",
        net=orgs.aurora.net,
        device=device("al"),
        log_key=log_key("another"),
        follows=level_follows,
        clock=orgs.clock,
        cost=CHEAP,
    ).close()
    with reopened(orgs.folder / "new keeper", "al", orgs.clock) as keeper:
        carried(orgs.aurora, keeper)
        key = log_key("another").public
        admins = [device("ada").signing, device("bo").signing]
        for said in ("announces that the circle's log moves to", "the circle's log moves to whoever holds the key"):
            circle = orgs.aurora.drafts.circle("evals", keeper=key)
            assert any(said in line for line in orgs.aurora.drafts.words(circle))
            orgs.aurora.drafts.publish(msgspec.structs.replace(circle, envelope=cosign(circle.envelope, admins)))
        announced = orgs.aurora.drafts.roster(keeper=key)
        made = cosign(announced.envelope, network_keys("Aurora", "Cairn"))
        orgs.aurora.drafts.publish(msgspec.structs.replace(announced, envelope=made))
        orgs.aurora.close()
        orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
        carried(orgs.aurora, keeper)
        roster_draft = keeper.drafts.roster(keeper=key)
        made = cosign(roster_draft.envelope, network_keys("Aurora", "Cairn"))
        keeper.drafts.publish(msgspec.structs.replace(roster_draft, envelope=made))
        assert keeper.view.log_key(keeper.net) == keeper.view.log_key(orgs.circle) == key
    with reopened(orgs.folder / "new keeper", "al", orgs.clock) as keeper:
        carried(keeper, orgs.aurora)
        assert orgs.aurora.view.network.roster == keeper.view.network.roster
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
