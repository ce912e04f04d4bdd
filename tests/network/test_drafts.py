"""Drafts: what the next version is, what it says in words, who may sign it, and when it is signed by enough."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError, RefusedError, SealError, SignatureError
from darklantern.network import Breach, Commitment, Expelled, Terms, cosign, new_terms
from darklantern.network.authoring import drafted
from darklantern.network.cards import Card, Holder
from darklantern.network.changing import first_roster, majority, next_circle, next_manifest, next_roster
from darklantern.network.circles import Circle, Named
from darklantern.network.clock import text
from darklantern.network.drafts import Draft, check_fits, is_signed, read_draft, tallies, write_draft
from darklantern.network.manifests import OrgManifest
from darklantern.network.reading import Body
from darklantern.network.rosters import Relay, Roster
from darklantern.network.states import NetworkState
from darklantern.network.wording import words
from darklantern.records.exact import encode
from darklantern.records.record import NOBODY, Kind
from darklantern.sealing import RelayCard, RelayKey, decode_envelope
from network.test_out import expelled
from network.world import (
    NOW,
    ORGS,
    PLEDGE,
    YEAR,
    World,
    circled,
    device,
    founded,
    key,
    log_key,
    network_keys,
    org_keys,
    peopled,
    roster,
)


def card(org: str, who: str, **keys: object) -> Card:
    return Card(holder=Holder(org=org, person=who, name=f"Dr {who}"), device=device(who).public, **keys)


def draft(world: World, kind: Kind, body: Body, terms: Terms | None = None, net: str | None = None) -> Draft:
    return Draft(envelope=drafted(net or world.net, kind, body, NOW), terms=terms)


def with_keys(made: Draft, keys: list) -> Draft:
    return msgspec.structs.replace(made, envelope=cosign(made.envelope, keys))


def rosters(world: World):
    return world.view.network.rosters[-1]


def test_a_first_roster_takes_majorities_of_those_whose_cards_came() -> None:
    cards = [
        card("Aurora", "ada", org_root=key("r1").public, network_root=key("n1").public),
        card("Aurora", "al", org_root=key("r2").public),
        card("Aurora", "an", org_root=key("r3").public),
        card("Beacon", "bo", org_root=key("r4").public, network_root=key("n2").public),
        card("Cairn", "cy", network_root=key("n3").public),
    ]
    made = first_roster("net", cards, log=log_key("keeper").public, until=NOW + YEAR, now=NOW)
    assert (made.threshold, [org.name for org in made.orgs]) == (2, ["Aurora", "Beacon"])
    assert [org.threshold for org in made.orgs] == [2, 1]
    assert {root.org for root in made.roots} == set(ORGS)
    other = first_roster(
        "net", cards, log=log_key("keeper").public, until=NOW, now=NOW, threshold=3, thresholds={"Aurora": 3}
    )
    assert (other.threshold, other.orgs[0].threshold) == (3, 3)


@given(count=st.integers(1, 1000))
def test_two_majorities_share_somebody(count: int) -> None:
    assert count < 2 * majority(count) <= count + 2


def test_p11_a_draft_is_signed_by_enough_at_a_threshold_of_distinct_orgs_and_not_before() -> None:
    world = founded()
    state = world.view.network
    body = next_roster(rosters(world), now=NOW, until=NOW + 2 * YEAR)
    made = draft(world, "roster", body)
    check_fits(world.net, state, made)
    assert not is_signed(state, made)
    one = with_keys(made, network_keys("Aurora"))
    assert not is_signed(state, one)
    assert [tally.signed for tally in tallies(state, one)] == [("Aurora",), ("Aurora",)]
    said = "the 2 orgs of roster version 1 that it needs have signed"
    assert [str(tallies(state, each)[0]) for each in (made, one)] == [
        f"0 of {said}; lacking: 2 of Aurora, Beacon, Cairn",
        f"1 of {said} (Aurora); lacking: 1 of Beacon, Cairn",
    ]
    two = with_keys(one, network_keys("Cairn"))
    assert is_signed(state, two)
    assert world.add(two.envelope)
    with pytest.raises(SignatureError):
        tallies(state, with_keys(made, [key("a stranger")]))


def test_p6_a_draft_of_a_version_that_is_there_is_never_signed() -> None:
    """Whoever signs a second version 2 helps a fork; it is refused before it is signed, not when it is published."""
    world = founded()
    body = next_roster(rosters(world), now=NOW, until=NOW + 2 * YEAR)
    world.add(with_keys(draft(world, "roster", body), network_keys("Aurora", "Cairn")).envelope)
    with pytest.raises(RefusedError, match="version 3 after"):
        check_fits(world.net, world.view.network, draft(world, "roster", body))
    skipped = msgspec.structs.replace(body, version=4)
    with pytest.raises(RefusedError) as caught:
        check_fits(world.net, world.view.network, draft(world, "roster", skipped))
    assert "newer bundle" in caught.value.hint
    with pytest.raises(RefusedError, match="another network"):
        check_fits(world.net, world.view.network, draft(world, "roster", body, net="1" * 64))


def test_before_there_is_a_network_only_a_first_roster_is_signed() -> None:
    world = peopled()
    nothing = NetworkState()
    made = draft(world, "roster", roster(), net=NOBODY)
    check_fits(NOBODY, nothing, made)
    assert is_signed(nothing, with_keys(made, network_keys("Aurora", "Beacon")))
    body = next_manifest("Aurora", None, add=[card("Aurora", "ada")])
    with pytest.raises(RefusedError, match="expected the first roster"):
        check_fits(NOBODY, nothing, draft(world, "org", body))


def test_admitting_expelling_and_rotating_roots() -> None:
    world = founded()
    last = rosters(world)
    dawn = card("Dawn", "di", org_root=key("dawn").public, network_root=key("network dawn").public)
    with pytest.raises(RefusedError, match="a reason"):
        next_roster(last, now=NOW, admit=[dawn])
    made = next_roster(last, now=NOW, admit=[dawn], expel=["Beacon"], retire=["Beacon"], reason="met in Porto")
    assert [org.name for org in made.orgs] == ["Aurora", "Cairn", "Dawn"]
    assert {root.org for root in made.roots} == {"Aurora", "Cairn", "Dawn"}
    assert made.expelled == (Expelled(name="Beacon", time=text(NOW), reason="met in Porto"),)
    renewed = card("Cairn", "first", org_root=key("cairn anew").public, network_root=key("network cairn anew").public)
    rotated = next_roster(last, now=NOW, roots=[renewed])
    assert next(root.key for root in rotated.roots if root.org == "Cairn") == renewed.network_root
    cairn = rotated.org("Cairn")
    assert cairn and {root.person for root in cairn.roots} == {"first", "second"} and cairn.threshold == 2
    assert (cairn.admitted, cairn.reason) == (text(NOW), "met in Lisbon")
    for wrong in ({"expel": ["Nowhere"]}, {"retire": ["Nowhere"]}, {"roots": [dawn]}, {"thresholds": {"Nowhere": 1}}):
        with pytest.raises(RefusedError, match=r"got (Nowhere|Dawn)"):
            next_roster(last, now=NOW, reason="x", **wrong)
    with pytest.raises(RefusedError, match="which it has"):
        next_roster(last, now=NOW, reason="x", admit=[renewed])


def test_relays_come_in_are_replaced_and_leave_with_their_org() -> None:
    last = rosters(founded())
    made = next_roster(last, now=NOW, relays=[RELAY])
    assert made.relays == (RELAY,)
    assert any(RELAY.card.public.fingerprint in line and "10.0.0.1" in line for line in words(made, last.body))
    listed = replace(last, body=made)
    moved = msgspec.structs.replace(RELAY, card=msgspec.structs.replace(RELAY.card, urls=("https://10.0.0.2:7447",)))
    assert next_roster(listed, now=NOW, relays=[moved]).relays == (moved,)
    assert next_roster(listed, now=NOW, without_relays=["north"]).relays == ()
    assert next_roster(listed, now=NOW, expel=["Aurora"], reason="x").relays == ()
    with pytest.raises(RefusedError, match="got south"):
        next_roster(listed, now=NOW, without_relays=["south"])


def test_manifests_grow_shrink_and_revoke() -> None:
    world = peopled()
    last = world.view.network.manifests["Aurora"][-1]
    tablet = msgspec.structs.replace(card("Aurora", "ada"), device=device("ada's tablet").public)
    phone, fresh = device("ada's phone").public, device("ada's tablet").public
    made = next_manifest("Aurora", last, add=[tablet], revoke=[phone.id], remove=["al"])
    assert [person.id for person in made.people] == ["ada"]
    assert [each.id for each in made.people[0].devices] == [device(n).public.id for n in ("ada", "ada's tablet")]
    assert made.revoked == (phone.id,)
    check_fits(world.net, world.view.network, draft(world, "org", made))
    said = words(made, last.body)
    assert f"ada: revokes the device {phone.fingerprint}, for good" in said
    assert "removes the person al, called Dr al; nothing of theirs counts any more" in said
    assert f"ada: adds the device {fresh.fingerprint}" in said
    for wrong in ({"revoke": ["1" * 64]}, {"remove": ["nobody"]}, {"add": [card("Beacon", "bo")]}):
        with pytest.raises(RefusedError):
            next_manifest("Aurora", last, **wrong)


def test_a_manifest_is_signed_by_persons_and_a_breach_by_either() -> None:
    world = peopled()
    state = world.view.network
    body = next_manifest("Aurora", world.view.network.manifests["Aurora"][-1], remove=["al"])
    made = draft(world, "org", body)
    assert not is_signed(state, with_keys(made, org_keys("Aurora")[:1]))
    assert is_signed(state, with_keys(made, org_keys("Aurora")))
    breach = Breach(org="Aurora", person="al", pledge="no-frontier", time=text(NOW), reason="told a friend")
    said = draft(world, "breach", breach)
    assert not is_signed(state, with_keys(said, [*network_keys("Aurora"), *org_keys("Aurora")[:1]]))
    assert is_signed(state, with_keys(said, org_keys("Aurora")))
    assert is_signed(state, with_keys(said, network_keys("Aurora", "Cairn")))
    assert "told a friend" in words(breach)[-1]


def test_a_circles_draft_opens_for_its_admins_alone() -> None:
    world, circle = circled()
    state = world.view.network
    body = next_circle(circle, state.circles[circle][-1], freshness=3600)
    made = draft(world, "circle", body, world.terms[circle])
    data = write_draft(made, state)
    assert b"evals" not in data and b"safety-only" not in data
    for admin in ("ada", "ada's phone", "bo"):
        assert read_draft(data, device(admin).receiving) == made
    with pytest.raises(SealError, match="sealed to its admins"):
        read_draft(data, device("al").receiving)
    assert is_signed(state, with_keys(made, [device("ada's phone").signing, device("bo").signing]))
    (tally, _) = tallies(state, with_keys(made, [device("ada's phone").signing]))
    assert str(tally).endswith("have signed (ada of Aurora); lacking: bo of Beacon")
    assert not is_signed(state, with_keys(made, [device("ada's phone").signing, device("ada").signing]))
    assert "secret not shown" in repr(made) and "evals" not in repr(made)


def test_p12_a_draft_opens_for_no_admin_of_an_expelled_org_and_counts_none() -> None:
    world, circle = circled()
    expelled(world, "Beacon")
    state = world.view.network
    made = draft(world, "circle", next_circle(circle, state.circles[circle][-1], freshness=3600), world.terms[circle])
    data = write_draft(made, state)
    assert read_draft(data, device("ada").receiving) == made
    with pytest.raises(SealError):
        read_draft(data, device("bo").receiving)
    with pytest.raises(SignatureError):
        tallies(state, with_keys(made, [device("ada").signing, device("bo").signing]))


def test_a_draft_with_other_terms_than_its_record_names_is_not_read() -> None:
    world, circle = circled()
    body = world.view.rules(circle)
    for terms in (None, new_terms("other", "V1")):
        lie = encode(draft(world, "circle", body, terms))
        with pytest.raises(RefusedError, match="not those that its record names"):
            read_draft(lie, device("ada").receiving)
    with_terms = draft(world, "roster", roster(), new_terms("x", "V1"))
    with pytest.raises(RefusedError):
        read_draft(encode(with_terms), device("ada").receiving)


@pytest.mark.parametrize("data", [b"", b"{}", b"age-encryption.org/v1\n", encode(roster())])
def test_what_is_no_draft_is_refused(data: bytes) -> None:
    with pytest.raises(DarkLanternError):
        read_draft(data, device("ada").receiving)


def test_one_device_records_are_no_drafts() -> None:
    world = peopled()
    commitment = Commitment(name="x", version=1, basis="honour", text="I will.")
    alone = decode_envelope(world.sign(world.net, "commitment", commitment, "ada"))
    with pytest.raises(RefusedError, match="never drafted"):
        tallies(world.view.network, Draft(envelope=alone))


ROSTER = roster()


def changes_of(body: object) -> set[str]:
    return set(type(body).__struct_fields__) - {"v", "version", "previous", "circle", "terms"}


RELAY = Relay(
    name="north",
    org="Aurora",
    card=RelayCard(public=RelayKey.generate().public, urls=("https://10.0.0.1:7447",), certificate=b"x"),
)

OTHER: dict[str, object] = {
    # Another value for every field of every body that several sign.
    "name": "renamed",
    "settles": "2" * 64,
    "until": text(NOW + 2 * YEAR),
    "threshold": 3,
    "roots": ROSTER.roots[:1],
    "orgs": (),
    "log": log_key("another").public,
    "moving": log_key("a third").public,
    "expelled": (Expelled(name="X", time=text(NOW), reason="why"),),
    "org": None,
    "people": (),
    "revoked": ("3" * 64,),
    "pledges": (msgspec.structs.replace(PLEDGE, version=2),),
    "admins": (),
    "quorum": 1,
    "history": "none",
    "freshness": 3601,
    "witnesses": 2,
    "relays": (RELAY,),
    "rotation": 86_400,
    "retention": 86_401,
    "countersigned": True,
    "restored": ("4" * 64,),
}
UNSAID = {"final", "org"}  # `final` goes with `log`, which is said; a manifest's org is in each of its sentences


def bodies() -> list[Roster | OrgManifest | Circle]:
    world, circle = circled()
    named = (Named(org="Aurora", person="al"),)
    rules = msgspec.structs.replace(world.view.rules(circle), people=named)
    return [ROSTER, world.view.network.manifests["Aurora"][-1].body, rules]


@pytest.mark.parametrize("body", bodies(), ids=lambda body: type(body).__name__)
def test_no_field_can_change_without_a_word(body) -> None:
    same = words(body, body)
    for field in changes_of(body) - UNSAID:
        changed = msgspec.structs.replace(body, **{field: OTHER[field]})
        assert set(words(changed, body)) - set(same), f"{field} changes in silence"
    assert len(same) == 1, "nothing changed, and something is said"


@pytest.mark.parametrize("body", bodies(), ids=lambda body: type(body).__name__)
def test_the_first_version_is_said_whole(body) -> None:
    said = "\n".join(words(body))
    match body:
        case Roster():
            for root in body.roots:
                assert root.key.fingerprint in said
            for org in body.orgs:
                assert all(root.key.fingerprint in said for root in org.roots) and org.reason in said
        case OrgManifest():
            assert all(each.fingerprint in said for person in body.people for each in person.devices)
        case Circle():
            assert "admin ada of Aurora" in said and "7 days" in said and "all people of Beacon" in said


def test_a_rotated_key_of_one_person_is_told_with_both_fingerprints() -> None:
    last = rosters(founded())
    renewed = card("Cairn", "first", org_root=key("cairn anew").public)
    said = words(next_roster(last, now=NOW, roots=[renewed]), last.body)
    assert any(
        key("cairn anew").fingerprint in line and f"before first: {key('Cairn first').fingerprint}" in line
        for line in said
    )
