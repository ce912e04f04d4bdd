"""Who is in a circle, and why not."""

import hashlib
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import RecordError, RefusedError
from darklantern.network import Admin, effective, new_terms
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deciding import allows, check_carried
from darklantern.network.pledges import Pledge
from darklantern.network.states import Fork, Version
from network.test_view import resigned
from network.world import NOW, PLEDGE, YEAR, circled, device, founded, peopled, person


def reasons(world, circle: str, now: int = NOW) -> dict[str, str]:
    found = effective(world.view.network, circle, now)
    return {f"{e.person or e.org}": e.reason for e in found.excluded}


def members(world, circle: str, now: int = NOW) -> list[str]:
    found = effective(world.view.network, circle, now)
    return sorted(member.person for member in found.members)


def test_every_active_device_of_everyone_who_pledged_is_a_member() -> None:
    world = peopled()
    circle = world.circle()
    assert members(world, circle) == ["ada", "ada", "al", "bo"]
    assert reasons(world, circle) == {}


def test_p22_missing_other_or_expired_pledges_are_left_out_with_the_reason() -> None:
    world = founded()
    names = ["ada", "none", "name", "version", "text", "short"]
    world.manifest("Aurora", *(person(name) for name in names))
    world.manifest("Beacon", person("bo"))
    world.pledge("Aurora", "ada")
    world.pledge("Beacon", "bo")
    world.pledge("Aurora", "name", pledge=msgspec.structs.replace(PLEDGE, name="other"))
    world.pledge("Aurora", "version", pledge=msgspec.structs.replace(PLEDGE, version=2))
    world.pledge("Aurora", "text", pledge=msgspec.structs.replace(PLEDGE, text=hashlib.sha256(b"").hexdigest()))
    world.pledge("Aurora", "short", until=text(NOW + 10))
    circle = world.circle()
    assert members(world, circle, NOW + 9) == ["ada", "bo", "short"]
    assert members(world, circle, NOW + 10) == ["ada", "bo"]
    assert reasons(world, circle, NOW + 10) == {
        "none": "has not signed the pledge 'no-frontier'",
        "name": "has not signed the pledge 'no-frontier'",
        "version": "has signed 'no-frontier', but not its version 1",
        "text": "has signed 'no-frontier' version 1 with another text",
        "short": f"pledge 'no-frontier' expired on {text(NOW + 10)}",
    }


def test_a_pledge_counts_for_its_signers_person_only() -> None:
    world = founded()
    world.manifest("Aurora", person("ada"), person("al"))
    with pytest.raises(AssertionError, match="somebody else"):
        world.pledge("Aurora", "al", author="ada")


def test_a_pledge_with_an_impossible_date_is_refused_and_cannot_stop_later_judgements() -> None:
    world = founded()
    world.manifest("Aurora", person("ada"))
    with pytest.raises(RecordError, match="until"):
        world.pledge("Aurora", "ada", until="9999-99-99T99:99:99Z")
    data = world.sign(world.net, "pledge", Pledge(org="Aurora", person="ada", pledge=PLEDGE, until=text(NOW)), "ada")
    odd = resigned(data, "ada", lambda p: p.replace(text(NOW).encode() + b'"}', b'2026-02-30T00:00:00Z"}'))
    assert "until" in world.put(odd)
    world.pledge("Aurora", "ada")


def test_removed_persons_and_devices_are_left_out_with_the_reason() -> None:
    world = peopled()
    circle = world.circle()
    world.manifest("Aurora", person("ada"), revoked=("ada's phone",))
    found = effective(world.view.network, circle, NOW)
    assert found.ids == {device("ada").public.id, device("bo").public.id}
    assert found.explain(device("ada's phone").public.id) == "the device was revoked by manifest version 2"
    assert found.explain(device("al").public.id) == "the person is not in manifest version 2"
    assert found.explain(device("stranger").public.id) == "is in no manifest of the circle's orgs"
    assert found.explain(device("ada").public.id) == "is a member"


FORK = Fork("1" * 64, "2" * 64, 0)
BO = device("bo").public.id


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rosters": ()}, "there is no roster yet"),
        ({"roster_fork": FORK}, "two rosters claim to follow the same version"),
        ({"org_forks": {"Beacon": FORK}}, "the org signed two manifests"),
        ({"manifests": {}}, "has published no manifest of its people"),
        ({"frozen": {BO: FORK}}, "signed two records at one place"),
    ],
    ids=["no roster", "roster fork", "org fork", "no manifest", "device fork"],
)
def test_p30_whatever_is_wrong_with_a_network_an_org_or_a_device_is_said(change: dict[str, object], why: str) -> None:
    world, circle = circled()
    found = effective(replace(world.view.network, **change), circle, NOW)
    assert BO not in found.ids
    assert any(why in each.reason for each in found.excluded if each.org == "Beacon")


def test_p30_an_expired_roster_and_a_device_that_an_admin_removed_are_said() -> None:
    world, circle = circled()
    removal = Removal(circle=circle, org="Beacon", person="bo", device=BO, reason="lost in a train")
    assert f"the roster expired on {text(NOW + YEAR)}" in reasons(world, circle, NOW + YEAR).values()
    world.add(world.sign(world.net, "removal", removal, "ada"))
    assert reasons(world, circle)["bo"] == "an admin removed the device: lost in a train"


def test_p13_an_empty_circle_has_nobody_in_it() -> None:
    world = founded()
    with pytest.raises(RefusedError, match="no accepted record"):
        world.view.circle("7" * 64)
    world.manifest("Aurora", person("ada"))
    world.manifest("Beacon", person("bo"))
    circle = world.circle()
    assert members(world, circle) == []
    with pytest.raises(RefusedError, match=r"no effective member.*has not signed"):
        world.plan(circle, "ada")


@pytest.mark.parametrize(
    "changes",
    [
        {"orgs": ()},
        {"orgs": ("Aurora", "Aurora")},
        {"orgs": ("Aurora", "Nobody")},
        {"admins": (Admin(org="Aurora", person="ada"),)},
        {"admins": (Admin(org="Aurora", person="ada"),) * 2},
        {"quorum": 1},
        {"quorum": 3},
    ],
    ids=["no org", "org twice", "unknown org", "one admin", "admin twice", "minority", "out of reach"],
)
def test_p13_a_circle_of_nobody_or_of_one_persons_making_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        peopled().circle(**changes)


@pytest.mark.parametrize(("level", "tags"), [("V0", ()), ("V2", ("use:anything",))])
def test_p13_unknown_tags_and_levels_that_cannot_be_kept_are_refused(level, tags) -> None:
    with pytest.raises(RefusedError):
        new_terms("evals", level, tags)


def test_p14_only_something_as_open_as_the_circle_fits() -> None:
    terms = new_terms("evals", "V1")
    assert [level for level in ("V0", "V1", "V2", "V3", "V4") if allows(level, terms)] == ["V0", "V1"]


@pytest.mark.parametrize("carried", [("V1", "V2"), ("V2", "V1")])
def test_p14_of_several_labels_that_others_gave_the_most_closed_binds(carried) -> None:
    wide, closed = new_terms("commons", "V1"), new_terms("evals", "V2")
    for terms in (wide, closed):
        with pytest.raises(RefusedError, match="author shared this finding at V2"):
            check_carried("V1", terms, carried)
        check_carried("V1", terms, ("V1", "V0"))
    check_carried("V2", closed, carried)


def test_a_circle_needs_a_quorum_of_its_own_admins() -> None:
    world = peopled()
    al, bo = Admin(org="Aurora", person="al"), Admin(org="Beacon", person="bo")
    with pytest.raises(Exception, match="expected signers among"):
        world.circle(admins=(al, bo))  # signed by ada and bo: a stranger spoils it
    world.manifest("Aurora", person("al"))
    with pytest.raises(Exception, match="expected signers among"):
        world.circle()  # ada is no longer anybody


@settings(max_examples=60, deadline=None)
@given(
    roster=st.frozensets(st.sampled_from(["Aurora", "Beacon"])),
    pledged=st.frozensets(st.sampled_from(["ada", "al", "bo"])),
    revoked=st.frozensets(st.sampled_from(["ada", "ada's phone", "al", "bo"])),
)
def test_p13_members_are_exactly_the_intersection(roster, pledged, revoked) -> None:
    """Whatever is missing, the set is what the sentence says, and each other candidate has a reason."""
    world, circle = circled()
    state = world.view.network
    ids = {device(name).public.id: name for name in ("ada", "ada's phone", "al", "bo")}
    body = state.rosters[-1].body
    kept = msgspec.structs.replace(body, orgs=tuple(o for o in body.orgs if o.name in roster))
    changed = msgspec.structs.replace
    manifests = {}
    for org, versions in state.manifests.items():
        people = tuple(
            changed(p, devices=tuple(d for d in p.devices if ids[d.id] not in revoked))
            for p in versions[-1].body.people
        )
        gone = tuple(sorted(id for id, name in ids.items() if name in revoked and state.devices[id].org == org))
        manifests[org] = (Version("m", changed(versions[-1].body, people=people, revoked=gone)),)
    state = replace(
        state,
        rosters=(Version("r", kept),),
        manifests=manifests,
        pledges={owner: signed for owner, signed in state.pledges.items() if owner[1] in pledged},
    )
    found = effective(state, circle, NOW)
    owner = {"ada": "ada", "ada's phone": "ada", "al": "al", "bo": "bo"}
    org = {"ada": "Aurora", "al": "Aurora", "bo": "Beacon"}
    expected = {name for name in owner if name not in revoked and owner[name] in pledged and org[owner[name]] in roster}
    assert {ids[member.id] for member in found.members} == expected
    assert {ids[e.device] for e in found.excluded if e.device} == set(owner) - expected
