"""What an insider writes who keeps to no rule: al, a member with his own real keys, seeing all that a relay holds."""

from collections.abc import Callable

import msgspec

from darklantern.network import cosign
from darklantern.network.authoring import authored, drafted
from darklantern.network.circle_log import cutoffs
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.handovers import new_handover
from darklantern.network.keyring import Keyring, unlock
from darklantern.network.pledges import Pledge
from darklantern.network.reading import read
from darklantern.network.states import Link
from darklantern.network.vouching import Vouch
from darklantern.records.exact import encode
from darklantern.records.record import Kind
from darklantern.sealing import open, payload_type, seal, sign
from network.world import NOW, PLEDGE, YEAR, World, device, key, person

LIAR = "al"
Lie = Callable[[World, str, int], tuple[str, bytes]]
"""What he writes in this world, of this circle, at this time: (log, envelope)"""


def his_place(world: World, log: str) -> tuple[int, str] | None:
    """Of his last record in that log, which an honest device would remember."""
    state = world.view.network if log == world.net else world.view.circle(log)
    chain: list[Link] = list(state.chains.get(device(LIAR).public.id) or ())
    return (len(chain) - 1, chain[-1].id) if chain else None


def signed(world: World, log: str, kind: Kind, body: object, now: int = NOW) -> tuple[str, bytes]:
    return log, authored(world.view, log, kind, body, device(LIAR), his_place(world, log), now)  # type: ignore[arg-type]


def anybody_elses(world: World, circle: str) -> str:
    found = [entry.id for entry in world.view.circle(circle).in_order() if entry.owner[1] != LIAR]
    return found[0]


def a_fork(world: World, circle: str, now: int) -> tuple[str, bytes]:
    """A second record at the place of his first one."""
    sealed = read(world.post(circle, LIAR)[0]).body
    return circle, authored(world.view, circle, "post", sealed, device(LIAR), None, NOW)


def a_post(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, circle, "post", read(world.post(circle, LIAR)[0]).body)


def a_post_in_the_name_of_bo(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, circle, "post", read(world.post(circle, LIAR, in_author=bo())[0]).body)


def bos_very_post_as_his_own(world: World, circle: str, now: int) -> tuple[str, bytes]:
    id = anybody_elses(world, circle)
    return signed(world, circle, "post", world.view.circle(circle).entries[id].body)


def somebodys_record_once_more(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return circle, world.logs[circle][-1]


def somebodys_record_signed_by_him(world: World, circle: str, now: int) -> tuple[str, bytes]:
    envelope = read(world.logs[circle][-1]).envelope
    return circle, encode(sign(envelope.payload_type, envelope.payload, [device(LIAR).signing]))


def a_tombstone_for_somebody_elses(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, circle, "tombstone", Tombstone(target=anybody_elses(world, circle)))


def a_receipt_for_what_is_there(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, circle, "receipt", Receipt(targets=(anybody_elses(world, circle),)))


def a_handover_to_bo(world: World, circle: str, now: int) -> tuple[str, bytes]:
    receiver = device("bo").public
    body = new_handover(circle, receiver.id, receiver.receiver(), {})
    return signed(world, circle, "handover", body)


def a_removal(world: World, circle: str, now: int) -> tuple[str, bytes]:
    body = Removal(circle=circle, org="Beacon", person="bo", reason="in the way")
    return signed(world, world.net, "removal", body)


def a_pledge_of_his_own(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, world.net, "pledge", Pledge(org="Aurora", person="al", pledge=PLEDGE, until=text(NOW + YEAR)))


def the_end_of_bos_pledge(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, world.net, "pledge", Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW)))


def a_vouch_for_eve(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return signed(world, world.net, "vouch", Vouch(device=device("eve").public.id))


def a_version_of_the_circle(world: World, circle: str, now: int) -> tuple[str, bytes]:
    restored = tuple(sorted(world.view.network.removals))
    return world.net, encode(world.successor(circle, LIAR, freshness=3600, restored=restored))


def a_manifest_with_eve(world: World, circle: str, now: int) -> tuple[str, bytes]:
    old = world.view.network.manifests["Aurora"][-1]
    people = (person("ada"), person("al", "al", "eve"))
    body = msgspec.structs.replace(old.body, version=old.body.version + 1, previous=old.id, people=people)
    return world.net, encode(cosign(drafted(world.net, "org", body, NOW), [key("Aurora first"), device(LIAR).signing]))


def an_epoch(
    world: World,
    circle: str,
    as_of: int,
    *,
    size: int | None = None,
    instead: str | None = None,
    more: bool = False,
) -> tuple[str, bytes]:
    """The next epoch as the rules ask for it, but for what is said."""
    mine, state = world.copy(), world.view.circle(circle)
    mine.seeds = dict(unlock(world.view, device(LIAR).public.id, device(LIAR).receiving, Keyring()).seeds)
    body = read(mine.epoch(circle, LIAR, NOW)).body
    members = {member.id: member.device.receiver() for member in mine.plan(circle, LIAR, NOW).members.members}
    if instead and device(instead).public.id in members:
        members[device(instead).public.id] = device("eve").public.receiver()
    if more:
        members[device("eve").public.id] = device("eve").public.receiver()
    secret = open(body.sealed, [device(LIAR).receiving])
    sealed, count = seal(secret, members.values()), len(members)
    body = msgspec.structs.replace(body, as_of=text(as_of), sealed=sealed, count=count)
    if size is None:
        return signed(world, circle, "epoch", body)
    assert state.epoch is not None
    body = msgspec.structs.replace(body, dropped=cutoffs(state.chains, state.epoch.members - members.keys(), size))
    _, data = signed(world, circle, "epoch", body)
    record = read(data).record
    cited = msgspec.structs.replace(record.seen[circle], size=size, root=world.view.trail(circle).roots[size].hex())
    record = msgspec.structs.replace(record, seen={**record.seen, circle: cited})
    return circle, encode(sign(payload_type("epoch"), encode(record), [device(LIAR).signing]))


def an_honest_epoch(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return an_epoch(world, circle, now)


def an_epoch_from_last_year(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return an_epoch(world, circle, NOW - YEAR)


def an_epoch_from_next_month(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return an_epoch(world, circle, NOW + YEAR // 12)


def an_epoch_that_has_read_nothing(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return an_epoch(world, circle, now, size=1)


def an_epoch_with_eve_besides(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return an_epoch(world, circle, now, more=True)


def an_epoch_with_eve_in_place_of_bo(world: World, circle: str, now: int) -> tuple[str, bytes]:
    return an_epoch(world, circle, now, instead="bo")


def bo() -> str:
    return device("bo").public.id


LIES: tuple[Lie, ...] = (
    a_post,
    a_post_in_the_name_of_bo,
    bos_very_post_as_his_own,
    somebodys_record_once_more,
    a_tombstone_for_somebody_elses,
    a_receipt_for_what_is_there,
    a_handover_to_bo,
    a_removal,
    a_pledge_of_his_own,
    the_end_of_bos_pledge,
    a_vouch_for_eve,
    an_honest_epoch,
    an_epoch_from_last_year,
    an_epoch_from_next_month,
    an_epoch_that_has_read_nothing,
    an_epoch_with_eve_besides,
    an_epoch_with_eve_in_place_of_bo,
)
FORK: tuple[Lie, ...] = (a_fork,)
"""After it he is frozen, and nothing else of his counts."""
FORGERIES: tuple[Lie, ...] = (somebodys_record_signed_by_him, a_version_of_the_circle, a_manifest_with_eve)
"""What only a relay's help gets into a log, where it stands without its signatures: nothing is sealed any more."""
