"""Whose a device is: what an org's roots may say about their people, and what they may not."""

import msgspec
import pytest

from darklantern.errors import RefusedError
from darklantern.network import NetworkRoot, OrgManifest, Person, cosign, draft_manifest
from darklantern.records.exact import encode
from darklantern.sealing import Envelope
from network.test_rosters import successor
from network.world import NOW, World, device, founded, key, log_key, org_keys, peopled, person, roster


def signed(world: World, *people: Person, keys: list[str] | None = None, **changes: object) -> bytes:
    org = str(changes.get("org", "Aurora"))
    old = world.view.network.manifests.get(org, ())
    body = OrgManifest(org=org, version=len(old) + 1, previous=old[-1].id if old else None, people=people)
    draft: Envelope = draft_manifest(world.net, msgspec.structs.replace(body, **changes), NOW)
    return encode(cosign(draft, [key(name) for name in keys] if keys else org_keys(org)))


def test_both_roots_sign_because_the_roster_asks_for_two_persons() -> None:
    world = founded()
    assert "2 distinct persons, got 1" in world.put(signed(world, person("ada"), keys=["Aurora first"]))
    assert world.put(signed(world, person("ada"))) == ""


@pytest.mark.parametrize("keys", [["Beacon first", "Beacon second"], ["network Aurora", "network Beacon"]])
def test_nobody_else_signs_for_an_org(keys: list[str]) -> None:
    world = founded()
    assert world.put(signed(world, person("ada"), keys=keys))
    assert not world.view.network.devices


def test_an_org_outside_the_roster_has_no_people() -> None:
    world = founded()
    assert "not in the roster" in world.put(signed(world, person("eve"), org="Eves", keys=["Aurora first"]))


def test_p35_a_device_belongs_to_one_person_for_good() -> None:
    world = peopled()
    for people in ((person("ada"), person("eve", "ada")), (person("eve", "bo"),), (person("ada", "ada", "ada"),)):
        assert world.put(signed(world, *people))
    half = msgspec.structs.replace(device("new").public, auth=device("bo").public.auth)
    assert "another person" in world.put(signed(world, Person(id="eve", name="Eve", devices=(half,))))


def test_one_person_is_listed_once() -> None:
    world = founded()
    assert "each person once" in world.put(signed(world, person("ada"), person("ada", "another")))


def test_revocations_only_grow_and_a_revoked_device_never_comes_back() -> None:
    world = peopled()
    phone = device("ada's phone").public.id
    world.manifest("Aurora", person("ada"), person("al"), revoked=("ada's phone",))
    everyone = (person("ada", "ada", "ada's phone"), person("al"))
    assert "revocations only to grow" in world.put(signed(world, *everyone))
    assert "no revoked device" in world.put(signed(world, *everyone, revoked=(phone,)))
    assert not world.view.network.is_active(phone)


def test_two_manifests_of_one_version_stop_the_org() -> None:
    world = peopled()
    circle = world.circle()
    first, second = signed(world, person("ada")), signed(world, person("al"))
    assert world.put(first) == ""
    assert "second manifest" in world.put(second)
    assert {member.org for member in world.plan(circle, "bo").members.members} == {"Beacon"}


def test_a_recipient_that_cannot_be_sealed_to_is_refused_where_it_enters() -> None:
    """Otherwise one bad key in one manifest would stop every rotation."""
    world = founded()
    broken = device("ada").public.recipient[:-1] + ("q" if device("ada").public.recipient[-1] != "q" else "p")
    bad = Person(id="ada", name="Ada", devices=(msgspec.structs.replace(device("ada").public, recipient=broken),))
    assert "checksum" in world.put(signed(world, bad))


def test_p35_no_key_has_two_roles() -> None:
    world = founded()
    root = msgspec.structs.replace(device("new").public, signing=key("Beacon first").public)
    assert "another role" in world.put(signed(world, Person(id="eve", name="Eve", devices=(root,))))
    keeper = msgspec.structs.replace(device("new").public, auth=log_key("keeper").public.ed25519)
    assert "another role" in world.put(signed(world, Person(id="eve", name="Eve", devices=(keeper,))))
    world = peopled()
    log = msgspec.structs.replace(log_key("another").public, ed25519=device("ada").public.signing.ed25519)
    with pytest.raises(RefusedError, match="another role"):
        world.circle(log=log)
    roots = (*roster().roots, NetworkRoot(org="Aurora", key=device("ada").signing.public))
    assert "another role" in world.put(encode(successor(world, "network Aurora", "network Beacon", roots=roots)))
