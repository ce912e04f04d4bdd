"""Attacks that once worked, each by its name. Whoever made it holds real keys, or carries real bytes."""

import msgspec
import pytest

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network import Admin, effective
from darklantern.network.authoring import authored
from darklantern.network.circle_log import cutoffs
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deciding import plan
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.epochs import EpochSeed, Previous, new_epoch
from darklantern.network.heads import sign_head
from darklantern.network.reading import read
from darklantern.network.vouching import NOTICE
from darklantern.records.exact import decode, encode
from darklantern.sealing import Envelope, Signer, payload_type, sign
from network.test_circles import removal
from network.test_deleting import posted
from network.test_pledges import breach
from network.test_rosters import successor
from network.test_vouching import closed, counts, lost, vouch
from network.world import NOW, World, circled, device, log_key, network_keys, org_keys, person

DAY = 24 * 3600


def unsigned(data: bytes) -> bytes:
    """The envelope with one bit of its first signature turned: its id stays."""
    envelope = decode(Envelope, data)
    first, *others = envelope.signers
    ed25519, *rest = first.signatures
    turned = msgspec.structs.replace(ed25519, sig=bytes([ed25519.sig[0] ^ 1]) + ed25519.sig[1:])
    signer = Signer(keyid=first.keyid, signatures=(turned, *rest))
    return encode(msgspec.structs.replace(envelope, signers=(signer, *others)))


def claimed_by(data: bytes, who: str) -> bytes:
    """The envelope as if that device had signed it first: its id stays."""
    envelope = decode(Envelope, data)
    first, *others = envelope.signers
    claimed = msgspec.structs.replace(first, keyid=device(who).public.signing.id)
    return encode(msgspec.structs.replace(envelope, signers=(claimed, *others)))


def test_p5_a_removal_without_its_signature_hides_nothing_it_stops_sealing() -> None:
    """The root is the same, the head is fresh, witnesses have cosigned it: only the signature is another."""
    world, circle = circled()
    data = removal(world, circle, "al", "bo")
    assert world.put(unsigned(data))
    with pytest.raises(RefusedError, match="without its signers' signatures"):
        world.plan(circle, "ada")
    assert read(unsigned(data)).id == read(data).id


def behind(world: World, log: str, kind: str, body: object, author: str, network: int) -> bytes:
    """A record that cites only the first `network` entries of the network's log, first of its device's chain."""
    chain = world.view.circle(log).chains.get(device(author).public.id, ())
    after = (len(chain) - 1, chain[-1].id) if chain else None
    data = authored(world.view, log, kind, body, device(author), after, NOW)  # type: ignore[arg-type]
    return citing(data, world, world.net, network, author)


def citing(data: bytes, world: World, log: str, size: int, author: str) -> bytes:
    """The record, as if its author had read so much of a log and no more."""
    record = read(data).record
    cited = msgspec.structs.replace(record.seen[log], size=size, root=world.view.trail(log).roots[size].hex())
    record = msgspec.structs.replace(record, seen={**record.seen, log: cited})
    return encode(sign(payload_type(record.kind), encode(record), [device(author).signing]))


def test_a_tombstone_that_cites_a_time_before_its_targets_author_crashes_nobody() -> None:
    world, circle = circled()
    size = len(world.logs[world.net])
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    world.rotate(circle, "ada", NOW + 1)
    data, _ = world.post(circle, "ben")
    target = world.add(data, circle)
    for author in ("al", "bo"):
        reason = world.put(behind(world, circle, "tombstone", Tombstone(target=target), author, size), circle)
        assert "had not read as much" in reason
    assert target in world.view.circle(circle).entries


def test_p10_who_is_no_longer_admin_or_member_buries_nothing_by_citing_better_days() -> None:
    """Two who were a quorum once, in a log whose keeper is honest."""
    world, circle, post = posted("ada")
    before = len(world.logs[world.net])
    admins = (Admin(org="Aurora", person="ada"), Admin(org="Aurora", person="al"))
    world.add(world.successor(circle, "ada", "bo", "al", admins=admins))
    world.add(removal(world, circle, "bo", "al", org="Beacon"))
    world.rotate(circle, "ada", NOW + 1)
    for record in (
        behind(world, circle, "tombstone", Tombstone(target=post), "bo", before),
        world.sign(circle, "tombstone", Tombstone(target=post), "bo"),
        world.sign(circle, "receipt", Receipt(targets=(post,)), "bo"),
    ):
        assert "not in the newest epoch" in world.copy().put(record, circle)
    assert post in world.view.circle(circle).entries


def test_an_epoch_that_had_not_seen_the_one_before_erases_nobodys_records() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "ada")
    post = world.add(data, circle)
    for who in ("ada", "al"):
        world.pledge("Aurora", who, until=text(NOW + 10 * DAY))
    later = NOW + 20 * DAY  # by when theirs have expired
    last = world.view.circle(circle).epoch
    assert last is not None
    members = effective(world.view.network, circle, later).members
    assert {member.person for member in members} == {"bo"}
    state = world.view.circle(circle)
    body, _ = new_epoch(
        circle,
        [(member.id, member.device.receiver()) for member in members],
        previous=Previous(id=last.id, number=1, linked=EpochSeed(epoch=last.id, seed=world.seeds[last.id])),
        as_of=text(later),
        terms=world.terms[circle],
        dropped=cutoffs(state.chains, last.members - {member.id for member in members}, 0),
    )
    data = citing(authored(world.view, circle, "epoch", body, device("bo"), None, NOW), world, circle, 0, "bo")
    assert "or not that epoch" in world.put(data, circle)
    assert post in world.view.circle(circle).entries


def test_an_epoch_from_the_future_is_renewed_like_one_that_is_too_old() -> None:
    world, circle = circled()
    world.add(world.successor(circle, "ada", "bo", rotation=30 * DAY))
    world.rotate(circle, "ada", NOW + 300 * DAY)
    kept = frozenset((world.net, circle))
    for days in (0, 200):
        now = NOW + days * DAY
        made = plan(world.view, circle, device("bo").public.id, seeds=world.seeds, kept=kept, now=now)
        assert made.epoch is None


def test_a_device_that_was_removed_vouches_for_nobody() -> None:
    """Ada's phone is stolen; her org lists the thief's device; the phone vouches for it."""
    world, circle = closed()
    world.add(vouch(world, "ada's phone", "ada"))
    assert counts(world, circle, "ada's phone")
    gone = Removal(circle=circle, org="Aurora", person="ada", device=device("ada's phone").public.id, reason="stolen")
    world.add(world.sign(world.net, "removal", gone, "bo"))
    world.manifest("Aurora", person("ada", "ada", "ada's phone", "thief"), person("al"))
    world.add(vouch(world, "thief", "ada's phone"))
    assert not counts(world, circle, "thief")


def test_p11_roots_that_have_retired_stop_nothing() -> None:
    """They may always sign another version of the past: only a contender for the newest one is a fork."""
    world, circle = circled()
    second = successor(world, "network Aurora", "network Beacon", name="another second")
    world.add(successor(world, "network Aurora", "network Beacon", name="second"))
    world.add(successor(world, "network Aurora", "network Beacon", name="third"))
    assert "long settled" in world.put(encode(second))
    assert world.view.network.roster_fork is None
    assert world.plan(circle, "ada").epoch


def test_p22_an_org_does_not_take_back_what_the_network_recorded_of_its_people() -> None:
    world, circle = circled()
    recorded = world.add(breach(world, network_keys("Beacon", "Cairn")))
    with pytest.raises(RefusedError, match="what others have recorded"):
        world.add(breach(world, org_keys("Aurora"), withdraws=recorded))
    assert "broke" in effective(world.view.network, circle, NOW).explain(device("al").public.id)


def test_a_retired_log_key_dates_no_notice_back() -> None:
    world, _, notice = lost()
    world.add(successor(world, "network Aurora", "network Beacon", moving=log_key("next").public))
    moved = {"log": log_key("next").public, "final": world.head(world.net).note, "moving": None}
    world.add(successor(world, "network Aurora", "network Beacon", **moved))
    backdated = sign_head(world.view.trail(world.net), world.net, log_key("keeper"), NOW - NOTICE).note
    with pytest.raises((AssertionError, DarkLanternError), match="checkpoint"):
        world.add(vouch(world, "ada's new one", "bo", notice, backdated))
    honest = sign_head(world.view.trail(world.net), world.net, log_key("next"), NOW).note
    world.add(vouch(world, "ada's new one", "bo", notice, honest))
