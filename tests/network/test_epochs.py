"""Rotation: exactly the computed set, checked by everyone who receives it."""

import dataclasses

import msgspec
import pytest

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network import admit, fold
from darklantern.network.circle_log import cutoffs
from darklantern.network.clock import text
from darklantern.network.epochs import (
    EpochSeed,
    LinkSecret,
    Previous,
    check_stanzas,
    needs_link,
    new_epoch,
    open_epoch,
    open_link,
)
from darklantern.network.keyring import Keyring, unlock
from darklantern.network.reading import read
from darklantern.records.exact import encode
from darklantern.sealing import Identity, recipient_of, seal
from network.test_view import resigned
from network.world import NOW, World, circled, device, peopled, person, record_id


def keyring(world: World, who: str) -> Keyring:
    return unlock(world.view, device(who).public.id, device(who).receiving, Keyring())


def recipients(world: World, circle: str, author: str = "ada"):
    return [(m.id, m.device.receiver()) for m in world.plan(circle, author).members.members]


def forged(world: World, circle: str, author: str, **changes: object) -> bytes:
    """A first or next epoch that `author` signs after changing something in it."""
    data = world.epoch(circle, author)
    return world.sign(circle, "epoch", msgspec.structs.replace(read(data).body, **changes), author)


def test_every_member_takes_the_seed_and_nobody_else() -> None:
    world, circle = circled()
    (epoch,) = world.view.circle(circle).epochs
    for who in ("ada", "ada's phone", "al", "bo"):
        found = keyring(world, who)
        assert found.seeds == {epoch.id: world.seeds[epoch.id]}
        assert found.terms == {circle: world.terms[circle]}
    assert keyring(world, "stranger").seeds == {}


def test_p6_a_stranger_cannot_make_an_epoch() -> None:
    world = peopled()
    circle = world.circle()
    body, _ = new_epoch(
        circle, recipients(world, circle), previous=None, as_of=text(NOW), terms=world.terms[circle], dropped=()
    )
    assert "not active" in world.put(world.sign(circle, "epoch", body, "stranger"), circle)
    assert world.view.circle(circle).epoch is None


def test_p6_an_epoch_for_one_device_more_or_less_is_refused() -> None:
    world = peopled()
    circle = world.circle()
    honest = recipients(world, circle)
    eve = (device("eve").public.id, device("eve").public.receiver())
    for members in ([*honest, eve], honest[1:], [*honest[1:], eve]):
        body, _ = new_epoch(circle, members, previous=None, as_of=text(NOW), terms=world.terms[circle], dropped=())
        refused = world.put(world.sign(circle, "epoch", body, "ada"), circle)
        if len(members) != len(honest):
            assert "a stanza for each of 4 members" in refused
        else:
            # As many stanzas, but one is eve's: whoever opens it sees that the set is not the computed one.
            entry = world.view.circle(circle).epoch
            assert entry is not None and refused == ""
            insider = next(w for w in ("ada", "bo", "al") if device(w).public.id in {m for m, _ in members})
            assert entry.id in keyring(world, insider).problems
            assert keyring(world, insider).seeds == {}


def test_a_count_that_differs_from_the_stanzas_is_refused() -> None:
    world = peopled()
    circle = world.circle()
    assert "stanzas and a count of 3" in world.put(forged(world, circle, "ada", count=3), circle)


def test_a_seed_whose_recipient_is_not_the_signed_one_is_refused() -> None:
    world = peopled()
    circle = world.circle()
    other = str(Identity.generate().recipient)
    assert world.put(forged(world, circle, "ada", recipient=other), circle) == ""
    found = keyring(world, "bo")
    assert found.seeds == {}
    assert "recipient" in next(iter(found.problems.values()))


def test_p17_a_secret_moved_to_another_circle_is_refused() -> None:
    world = peopled()
    first, second = world.circle(), world.circle()
    data = world.epoch(first, "ada")
    body = read(data).body
    assert world.put(world.sign(second, "epoch", body, "ada"), second) == ""
    assert "circle and number" in next(iter(keyring(world, "bo").problems.values()))


def test_p18_only_hybrid_stanzas_are_written_and_accepted() -> None:
    world, circle = circled()
    epoch = world.view.circle(circle).epoch
    assert epoch is not None
    assert epoch.body.sealed.count(b"-> mlkem768x25519 ") == epoch.body.sealed.count(b"\n-> ") == 4
    classical = epoch.body.sealed.replace(b"-> mlkem768x25519 ", b"-> X25519 ", 1)
    with pytest.raises(DarkLanternError, match="stanzas only"):
        check_stanzas(msgspec.structs.replace(epoch.body, sealed=classical), 4)
    following = read(world.epoch(circle, "ada")).body.sealed.replace(b"-> mlkem768x25519 ", b"-> X25519 ", 1)
    assert "stanzas only" in world.put(forged(world, circle, "ada", sealed=following), circle)


def test_p18_an_epoch_names_no_classical_recipient() -> None:
    """Whoever sealed to it would seal everything to that key alone."""
    world, circle = circled()
    data = world.epoch(circle, "ada")
    hybrid, classical = (
        read(data).body.recipient.encode(),
        b"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    )
    assert "recipient" in world.put(resigned(data, "ada", lambda payload: payload.replace(hybrid, classical)), circle)
    assert len(world.view.circle(circle).epochs) == 1


def test_p7_a_removed_device_opens_nothing_sealed_after() -> None:
    world, circle = circled()
    assert keyring(world, "al").seeds
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    world.rotate(circle, "bo")
    first, second = world.view.circle(circle).epochs
    assert set(keyring(world, "al").seeds) == {first.id}
    assert set(keyring(world, "bo").seeds) == {first.id, second.id}
    assert device("al").public.id not in second.members


def test_p8_a_sealer_with_a_stale_epoch_is_told_to_rotate_by_nobody_but_itself() -> None:
    world, circle = circled()
    assert world.plan(circle, "ada").epoch is not None
    world.manifest("Aurora", person("ada"), person("al"), revoked=("ada's phone",))
    plan = world.plan(circle, "ada")
    assert plan.epoch is None
    assert device("ada's phone").public.id not in plan.members.ids
    world.seeds.clear()
    with pytest.raises(RefusedError, match="rotating needs its seed"):
        world.plan(circle, "ada")


def test_p8_an_expired_pledge_makes_the_epoch_stale_without_any_record() -> None:
    world = peopled()
    world.manifest("Beacon", person("bo"), person("bea"))
    world.pledge("Beacon", "bea", until=text(NOW + 100))
    circle = world.circle()
    world.rotate(circle, "ada")
    assert world.plan(circle, "ada", NOW + 99).epoch is not None
    assert world.plan(circle, "ada", NOW + 100).epoch is None


@pytest.mark.parametrize(("history", "walks_back"), [("all", True), ("since-join", False), ("none", False)])
def test_p9_a_newcomer_opens_exactly_what_the_history_policy_grants(history: str, walks_back: bool) -> None:
    world = peopled()
    circle = world.circle(history=history)
    for _ in range(2):
        world.rotate(circle, "ada")
        world.seeds |= keyring(world, "ada").seeds
        world.manifest("Aurora", person("ada", "ada", "ada's phone"), person("al"), person(f"new{_}"))
        world.pledge("Aurora", f"new{_}")
    world.rotate(circle, "ada")
    epochs = [epoch.id for epoch in world.view.circle(circle).epochs]
    assert len(epochs) == 3
    assert set(keyring(world, "new1").seeds) == set(epochs if walks_back else epochs[2:])
    assert set(keyring(world, "bo").seeds) == set(epochs)


def test_p9_since_join_keeps_the_link_while_nobody_joins() -> None:
    world = peopled()
    circle = world.circle(history="since-join")
    world.rotate(circle, "ada")
    world.manifest("Aurora", person("ada", "ada"), revoked=("ada's phone",))
    world.rotate(circle, "ada")
    assert world.view.circle(circle).epochs[1].body.link is not None
    assert needs_link("since-join", [1, 2], [1]) and not needs_link("since-join", [1], [1, 2])


def test_p9_a_link_that_the_policy_forbids_or_a_missing_one_is_refused() -> None:
    world, circle = circled()
    world.manifest("Aurora", person("ada"))
    assert "asks for another link" in world.put(forged(world, circle, "ada", link=None, linked=None), circle)


def test_a_link_to_another_seed_is_refused() -> None:
    world, circle = circled()
    world.manifest("Aurora", person("ada"))
    first = world.view.circle(circle).epoch
    assert first is not None
    world.seeds[first.id] = b"\7" * 32  # the rotator lies about the seed before
    world.rotate(circle, "ada")
    second = world.view.circle(circle).epoch
    assert second is not None
    with pytest.raises(RefusedError, match="a link to the epoch that it names"):
        open_link(second.body, circle, world.seeds[second.id], first.body.recipient)


@pytest.mark.parametrize("field", ["circle", "epoch"])
def test_p17_a_link_that_was_made_for_another_circle_or_epoch_is_refused(field: str) -> None:
    world, circle = circled()
    world.manifest("Aurora", person("ada"))
    world.rotate(circle, "ada")
    first, second = world.view.circle(circle).epochs
    secret = LinkSecret(**{"circle": circle, "epoch": first.id, "seed": world.seeds[first.id]} | {field: "5" * 64})
    moved = msgspec.structs.replace(second.body, link=seal(encode(secret), [recipient_of(world.seeds[second.id])]))
    with pytest.raises(RefusedError, match="a link to the epoch that it names"):
        open_link(moved, circle, world.seeds[second.id], first.body.recipient)


def test_only_one_epoch_follows_another() -> None:
    world, circle = circled()
    world.manifest("Aurora", person("ada"))
    one, other = world.epoch(circle, "ada"), world.epoch(circle, "bo")
    assert world.put(one, circle) == ""
    assert "another epoch came first" in world.put(other, circle)


def test_p10_a_revoked_devices_later_records_are_refused_and_earlier_ones_kept() -> None:
    world, circle = circled()
    early = world.add(world.post(circle, "al", "early")[0], circle)
    late, _ = world.post(circle, "al", "late")
    rotation_view = world.copy()
    # The rotator has not seen `late`, which a slow stick brings to the log first.
    rotation_view.manifest("Aurora", person("ada", "ada", "ada's phone"))
    rotation = rotation_view.epoch(circle, "ada")
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    late_id = record_id(late)
    assert world.put(late, circle) == ""
    world.put(rotation, circle)
    state = world.view.circle(circle)
    assert len(state.epochs) == 2
    assert early in state.entries and late_id not in state.entries
    assert "dropped by epoch 2" in next(leaf.reason for leaf in world.view.opaque if leaf.id == late_id)


def test_p10_after_the_rotation_a_dropped_device_writes_nothing_even_with_old_views() -> None:
    world, circle = circled()
    before = world.copy()
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    world.rotate(circle, "ada")
    data, _ = before.post(circle, "al")
    assert "dropped its author" in world.put(data, circle)


def test_p10_a_revoked_device_cannot_rotate() -> None:
    world, circle = circled()
    before = world.copy()
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    # It knows of its removal, or pretends not to: the log's keeper refuses both.
    old = before.epoch(circle, "al")
    with pytest.raises(RefusedError, match="no longer active"):
        admit(world.view, circle, old)
    with pytest.raises(RefusedError, match="no longer active"):
        admit(world.view, circle, world.sign(circle, "epoch", world.view.circle(circle).epoch.body, "al"))
    # And once the others have rotated, nobody else accepts it from any keeper either.
    world.rotate(circle, "ada")
    assert "another epoch came first" in world.put(old, circle)


def test_an_epoch_cuts_off_exactly_the_dropped_devices_at_their_last_record() -> None:
    world, circle = circled()
    world.add(world.post(circle, "al")[0], circle)
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    assert "cut off exactly" in world.put(forged(world, circle, "ada", dropped=()), circle)
    size = world.view.trail(circle).size
    al = frozenset([device("al").public.id])
    (cutoff,) = cutoffs(world.view.circle(circle).chains, al, size)
    assert cutoff.last is not None and cutoff.last.seq == 0


def test_an_epoch_is_judged_at_the_views_it_cites_however_late_it_is_read() -> None:
    world, circle = circled()
    state = world.view.circle(circle).epoch
    world.manifest("Beacon", person("bo"), person("bea"))
    world.pledge("Beacon", "bea")
    again = fold(world.net, world.logs).circle(circle).epoch
    assert again == state


def test_secrets_do_not_print() -> None:
    world, circle = circled()
    epoch = world.view.circle(circle).epoch
    assert epoch is not None
    found = keyring(world, "ada")
    secret = open_epoch(epoch.body, circle, world.view.rules(circle).terms, epoch.members, device("ada").receiving)
    previous = Previous(id=epoch.id, number=1, linked=EpochSeed(epoch=epoch.id, seed=secret.seed))
    for value in (found, secret, previous, [secret], dataclasses.replace(found)):
        assert "secret not shown" in repr(value)
        for form in (repr(secret.seed), secret.seed.hex(), repr(secret.seed)[2:10]):
            assert form not in repr(value) + str(value)
    assert secret.__rich_repr__() == []


def test_an_epoch_for_nobody_is_never_made() -> None:
    world, circle = circled()
    with pytest.raises(DarkLanternError, match="at least one recipient"):
        new_epoch(circle, [], previous=None, as_of=text(NOW), terms=world.terms[circle], dropped=())


def test_a_garbage_stanza_for_a_member_is_noticed_by_that_member() -> None:
    world = peopled()
    circle = world.circle()
    honest = recipients(world, circle)
    secret_for_others = [(d, r if d != device("bo").public.id else Identity.generate().recipient) for d, r in honest]
    body, _ = new_epoch(
        circle, secret_for_others, previous=None, as_of=text(NOW), terms=world.terms[circle], dropped=()
    )
    assert world.put(world.sign(circle, "epoch", body, "ada"), circle) == ""
    assert "none of the 1 given identities opens it" in next(iter(keyring(world, "bo").problems.values()))
    assert keyring(world, "ada").seeds
