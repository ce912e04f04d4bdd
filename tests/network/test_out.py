"""Ways of being out of a circle: whoever is opens nothing, says nothing and decides nothing (P7, P10, P12)."""

from collections.abc import Callable, Iterable

import msgspec
import pytest

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network import Admin, admit, effective
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.epochs import EpochSecret, LinkSecret
from darklantern.network.handovers import new_handover
from darklantern.network.pledges import Pledge
from darklantern.network.reading import read
from darklantern.network.rosters import Expelled
from darklantern.records.exact import decode
from darklantern.sealing import Identity, open
from network.every_kind import said
from network.test_pledges import breach
from network.test_rosters import successor
from network.world import NOW, PLEDGE, YEAR, World, circled, device, network_keys, org_keys, person, roster


def listed_no_more(world: World, circle: str) -> None:
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))


def revoked(world: World, circle: str) -> None:
    world.manifest("Aurora", person("ada", "ada", "ada's phone"), person("al", "al's new one"), revoked=("al",))


def removed_by_an_admin(world: World, circle: str) -> None:
    gone = Removal(circle=circle, org="Aurora", person="al", reason="left")
    world.add(world.sign(world.net, "removal", gone, "bo"))


def device_removed_by_an_admin(world: World, circle: str) -> None:
    gone = Removal(circle=circle, org="Aurora", person="al", device=device("al").public.id, reason="stolen")
    world.add(world.sign(world.net, "removal", gone, "bo"))


def took_back_a_pledge(world: World, circle: str) -> None:
    world.pledge("Aurora", "al", until=text(NOW))


def broke_a_pledge_says_the_org(world: World, circle: str) -> None:
    world.add(breach(world, org_keys("Aurora")))


def broke_a_pledge_says_the_network(world: World, circle: str) -> None:
    world.add(breach(world, network_keys("Beacon", "Cairn")))


def forked_in_the_circle(world: World, circle: str) -> None:
    one, other = (world.post(circle, "al", words)[0] for words in ("to some", "to others"))
    world.put(one, circle)
    assert "frozen" in world.put(other, circle)


def forked_in_the_network(world: World, circle: str) -> None:
    bodies = (Pledge(org="Aurora", person="al", pledge=PLEDGE, until=text(NOW + n * YEAR)) for n in (1, 2))
    one, other = (world.sign(world.net, "pledge", body, "al") for body in bodies)
    world.put(one)
    assert "frozen" in world.put(other)


WAYS = [
    listed_no_more,
    revoked,
    removed_by_an_admin,
    device_removed_by_an_admin,
    took_back_a_pledge,
    broke_a_pledge_says_the_org,
    broke_a_pledge_says_the_network,
    forked_in_the_circle,
    forked_in_the_network,
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def opened(world: World, circle: str, pieces: Iterable[bytes], identities: Iterable[Identity]) -> list[bytes]:
    """All that these keys open of what a relay holds, with every key that they find on the way."""
    keys = {identity.seed: identity for identity in identities}
    epochs = [epoch.body for epoch in world.view.circle(circle).epochs]
    for _ in epochs:
        for epoch in epochs:
            for sealed, kind in ((epoch.sealed, EpochSecret), (epoch.link, LinkSecret)):
                plaintext = attempted(sealed, keys.values()) if sealed else None
                if plaintext is not None:
                    seed = decode(kind, plaintext).seed
                    keys[seed] = Identity(seed)
    found = (attempted(piece, keys.values()) for piece in pieces)
    return [plaintext for plaintext in found if plaintext is not None]


def attempted(sealed: bytes, keys: Iterable[Identity]) -> bytes | None:
    try:
        return open(sealed, keys)
    except DarkLanternError:
        return None


@ways
@pytest.mark.parametrize("history", ["all", "since-join", "none"])
def test_p7_whoever_is_out_opens_nothing_that_is_sealed_from_then_on(way: Callable, history: str) -> None:
    """With all that a relay holds, its own keys, and every seed that it ever had."""
    world, circle = circled()
    world.add(world.successor(circle, "ada", "bo", history=history))
    before, early = world.post(circle, "bo", "while al was in")
    world.add(before, circle)
    way(world, circle)
    assert world.plan(circle, "bo").epoch is None  # whoever seals next is told by nobody, and rotates
    world.rotate(circle, "bo")
    late = [piece for author in ("bo", "ada") for piece in world.post(circle, author, "al is out")[1].values()]
    assert len(opened(world, circle, early.values(), [device("al").receiving])) == 1
    assert opened(world, circle, late, [device("al").receiving]) == []
    for member in ("ada", "ada's phone", "bo"):
        assert len(opened(world, circle, late, [device(member).receiving])) == 2


@ways
def test_p10_whoever_is_out_says_and_decides_nothing_once_the_others_have_rotated(way: Callable) -> None:
    world, circle = circled()
    mine = world.add(world.post(circle, "al", "said before")[0], circle)
    theirs = world.add(world.post(circle, "bo", "to be kept")[0], circle)
    stale = world.copy()
    way(world, circle)
    world.rotate(circle, "bo")
    before = said(world.view)
    assert {mine, theirs} <= world.view.circle(circle).entries.keys()
    for view in (stale, world):  # it knows, or says that it does not
        sealed = read(view.post(circle, "al", "too late")[0]).body
        tombstone, receipt = Tombstone(target=theirs), Receipt(targets=(theirs,))
        handed = new_handover(circle, device("bo").public.id, device("bo").public.receiver(), {})
        for kind, body in (
            ("post", sealed),
            ("item", sealed),
            ("tombstone", tombstone),
            ("receipt", receipt),
            ("handover", handed),
        ):
            tried = world.copy()
            assert tried.put(view.sign(circle, kind, body, "al"), circle), kind
            after = said(tried.view)[1][circle]
            assert (after.entries, after.buried, after.receipts) == (
                before[1][circle].entries,
                before[1][circle].buried,
                before[1][circle].receipts,
            )


def test_p10_an_admin_who_was_removed_buries_nothing_before_the_others_have_rotated_either() -> None:
    world, circle = circled()
    post = world.add(world.post(circle, "al", "to be kept")[0], circle)
    world.add(world.sign(circle, "tombstone", Tombstone(target=post), "ada"), circle)  # one of two
    gone = Removal(circle=circle, org="Beacon", person="bo", reason="left")
    world.add(world.sign(world.net, "removal", gone, "ada"))
    assert "nor an admin" in world.put(world.sign(circle, "tombstone", Tombstone(target=post), "bo"), circle)
    assert post in world.view.circle(circle).entries


@ways
def test_p10_whoever_is_out_makes_no_epoch_for_any_set_of_members(way: Callable) -> None:
    world, circle = circled()
    stale = world.copy()
    way(world, circle)
    own = msgspec.structs.replace(read(stale.epoch(circle, "ada")).body, count=4)
    fair = read(world.epoch(circle, "bo")).body
    for body in (own, fair):
        tried = world.copy()
        assert tried.put(world.sign(circle, "epoch", body, "al"), circle)
        assert tried.view.circle(circle).epochs == world.view.circle(circle).epochs


def test_p27_a_removal_holds_through_every_later_version_that_does_not_name_it() -> None:
    world, circle = circled()
    removed_by_an_admin(world, circle)
    for freshness in (3600, 7200):
        world.add(world.successor(circle, "ada", "bo", freshness=freshness))
        world.pledge("Aurora", "al")
        assert device("al").public.id not in effective(world.view.network, circle, NOW).ids


def expelled(world: World, org: str) -> None:
    orgs = tuple(each for each in roster().orgs if each.name != org)
    gone = (Expelled(name=org, time=text(NOW), reason="sold its records"),)
    world.add(successor(world, "network Aurora", "network Cairn", orgs=orgs, expelled=gone))


def test_p12_every_circle_that_an_expelled_org_was_in_is_sealed_anew_without_it() -> None:
    world, first = circled()
    second = world.circle(history="none")
    world.rotate(second, "ada")
    third = world.circle(orgs=("Aurora",), admins=(Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo")))
    world.rotate(third, "ada")
    expelled(world, "Beacon")
    for circle in (first, second):
        assert world.plan(circle, "ada").epoch is None
        world.rotate(circle, "ada")
        late = world.post(circle, "ada", "without Beacon")[1].values()
        assert opened(world, circle, late, [device("bo").receiving]) == []
        assert len(opened(world, circle, late, [device("al").receiving])) == 1
    assert world.plan(third, "ada").epoch is not None  # nobody of it was there: nothing to do
    for circle in (first, second, third):
        with pytest.raises(RefusedError, match="not an effective member"):
            world.plan(circle, "bo")


def test_p12_an_expelled_org_says_and_decides_nothing() -> None:
    world, circle = circled()
    post = world.post(circle, "bo", "after it was expelled")[0]
    expelled(world, "Beacon")
    with pytest.raises(RefusedError, match="no longer active"):
        admit(world.view, circle, post)  # the keeper's word, to whoever says that they had not heard of it
    before = said(world.view)
    removal = Removal(circle=circle, org="Aurora", person="ada", reason="spite")
    pledge = Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW + YEAR))
    records = [
        world.sign(world.net, "removal", removal, "bo"),
        world.sign(world.net, "pledge", pledge, "bo"),
        world.post(circle, "bo", "knowing it")[0],
        msgspec.json.encode(world.successor(circle, "ada", "bo", freshness=3600)),
        msgspec.json.encode(world.successor(circle, "ada", "bo", orgs=("Aurora",))),  # that names nobody of it
        msgspec.json.encode(breach(world, org_keys("Beacon"), org="Beacon", person="bo")),
    ]
    for data in records:
        tried = world.copy()
        log = read(data).record.log
        assert tried.put(data, log)
        assert said(tried.view) == before
    with pytest.raises(DarkLanternError, match="not in the roster"):
        world.manifest("Beacon", person("bo"), person("friend"))
