"""P23: one device, two records at one place. The proof is kept, and from there on the device is nobody."""

import itertools

import msgspec
import pytest

from darklantern.errors import DarkLanternError, RefusedError, SignatureError
from darklantern.network import Admin, admit, fold
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deleting import Tombstone
from darklantern.network.handovers import new_handover
from darklantern.network.pledges import Commitment, Pledge
from darklantern.network.reading import leaf_id, read
from darklantern.network.vouching import Vouch
from darklantern.sealing import age
from network.world import NOW, PLEDGE, YEAR, World, circled, device, person

AT = device("bo").public.id


def bodies(world: World, circle: str) -> dict[str, tuple[str, object]]:
    """One of each kind that bo may write next: (log, body)."""
    phone, posted = device("bo's phone").public, next(iter(world.view.circle(circle).entries))
    gone = Removal(circle=circle, org="Aurora", person="al", reason="left")
    sealed = read(world.post(circle, "bo")[0]).body
    return {
        "post": (circle, sealed),
        "item": (circle, sealed),
        "epoch": (circle, read(world.epoch(circle, "bo")).body),
        "tombstone": (circle, Tombstone(target=posted)),
        "handover": (circle, new_handover(circle, phone.id, phone.receiver(), world.seeds)),
        "pledge": (world.net, Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW + YEAR))),
        "commitment": (world.net, Commitment(name="p", version=1, basis="honour", text="I will.")),
        "removal": (world.net, gone),
        "vouch": (world.net, Vouch(device=phone.id)),
    }


def busy() -> tuple[World, str]:
    world, circle = circled()
    world.manifest("Beacon", person("bo", "bo", "bo's phone"))
    world.rotate(circle, "ada")
    world.add(world.post(circle, "ada", "there before")[0], circle)
    return world, circle


KINDS = tuple(bodies(*busy()))


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)), ids="-".join)
def test_p23_two_records_of_any_kinds_at_one_place_freeze_their_device_in_every_order(first: str, second: str) -> None:
    world, circle = busy()
    records = {kind: (log, world.sign(log, kind, body, "bo")) for kind, (log, body) in bodies(world, circle).items()}
    (log, one), (same, other) = records[first], records[second]
    if log != same:
        assert (world.put(one, log), world.put(other, same)) == ("", "")  # a chain in each log: no fork
        return
    assert world.put(one, log) == ""
    counted = world.view
    assert "frozen" in str(admit(world.view, log, other))  # an honest keeper appends it: it is the proof
    assert "frozen" in world.put(other, log)
    frozen = (world.view.network if log == world.net else world.view.circle(circle)).frozen
    assert frozen.keys() == {AT}
    assert {frozen[AT].first, frozen[AT].second} == {leaf_id(one), leaf_id(other)}
    # The second one changed nothing else, and a library that opens its store again knows what it knew.
    assert world.view.circle(circle).entries == counted.circle(circle).entries
    assert world.view.network.removals == counted.network.removals
    assert fold(world.net, world.logs) == world.view


def frozen_in(log: str) -> tuple[World, str]:
    world, circle = busy()
    return frozen(world, circle, log), circle


def frozen(world: World, circle: str, log: str) -> World:
    """The same, in which bo's device has signed two records at one place of the network's log, or of the circle's."""
    place, kinds = (world.net, ("pledge", "commitment")) if log == "network" else (circle, ("post", "item"))
    written = bodies(world, circle)
    for data in [world.sign(place, kind, written[kind][1], "bo") for kind in kinds]:  # type: ignore[arg-type]
        world.put(data, place)
    return world


@pytest.mark.parametrize("log", ["network", "circle"])
def test_p23_a_frozen_device_is_sealed_to_no_more_and_its_other_one_is(log: str) -> None:
    world, circle = frozen_in(log)
    plan = world.plan(circle, "ada")
    assert plan.epoch is None and AT not in plan.members.ids
    assert device("bo's phone").public.id in plan.members.ids
    with pytest.raises(RefusedError, match="frozen"):
        world.plan(circle, "bo")
    fair = world.epoch(circle, "ada")
    world.add(fair, circle)
    assert AT not in world.view.circle(circle).epochs[-1].members


@pytest.mark.parametrize("log", ["network", "circle"])
def test_p23_an_epoch_for_a_frozen_device_is_refused_once_its_author_had_read_of_it(log: str) -> None:
    world, circle = frozen_in(log)
    members = [device(each).public for each in ("ada", "ada's phone", "al", "bo", "bo's phone")]
    fair = read(world.epoch(circle, "ada")).body
    sealed = age.seal(b"", [member.receiver() for member in members])
    for_all = msgspec.structs.replace(fair, sealed=sealed, count=len(members))
    assert "a stanza for each of 4 members" in world.put(world.sign(circle, "epoch", for_all, "ada"), circle)


def test_p23_an_epoch_counts_whose_author_had_not_read_of_the_fork_and_the_next_is_without_it() -> None:
    """Else whoever forks a device could undo every epoch that was made before anybody knew."""
    world, circle = busy()
    unaware = world.copy()
    unaware.manifest("Beacon", person("bo", "bo", "bo's phone", "bo's tablet"))
    epoch = unaware.epoch(circle, "ada")
    world.manifest("Beacon", person("bo", "bo", "bo's phone", "bo's tablet"))
    world = frozen(world, circle, "circle")
    world.add(epoch, circle)
    assert AT in world.view.circle(circle).epochs[-1].members
    world.seeds |= unaware.seeds
    assert world.plan(circle, "ada").epoch is None
    world.rotate(circle, "ada")
    assert AT not in world.view.circle(circle).epochs[-1].members


@pytest.mark.parametrize("kind", KINDS)
def test_p23_a_device_frozen_in_the_networks_log_writes_nothing_anywhere(kind: str) -> None:
    before, circle = busy()
    log, body = bodies(before, circle)[kind]
    world = frozen(before, circle, "network")
    data = world.sign(log, kind, body, "bo")  # type: ignore[arg-type]
    with pytest.raises(DarkLanternError):
        admit(world.view, log, data)
    assert world.put(data, log)


def test_p23_an_admins_frozen_device_signs_no_version_of_a_circle() -> None:
    world, circle = frozen_in("network")
    with pytest.raises(SignatureError, match="expected signers among"):
        world.add(world.successor(circle, "ada", "bo", freshness=3600))
    admins = (Admin(org="Aurora", person="ada"), Admin(org="Aurora", person="al"))
    with pytest.raises(SignatureError, match="expected signers among"):
        world.add(world.successor(circle, "ada", "bo", "al", admins=admins))
    world.add(world.successor(circle, "ada", "bo's phone", freshness=3600))  # the person is still an admin
