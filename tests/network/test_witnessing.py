"""A circle may ask that other orgs cosign the newest checkpoints: then no relay alone shows two histories."""

import base64
import os
from functools import cache

import msgspec
import pytest

from darklantern.errors import RefusedError
from darklantern.logs import witness
from darklantern.network.clock import text
from darklantern.network.deciding import plan
from darklantern.network.merging import LogCopy
from darklantern.network.rosters import Relay, check_roster
from darklantern.network.view import View
from darklantern.network.witnessing import witnessed
from darklantern.sealing import RelayCard, RelayKey, WitnessKey
from network.test_merging import taken
from network.test_rosters import successor
from network.world import NOW, ORGS, World, circled, device, log_key, roster

WEEK = 7 * 24 * 3600


@cache
def relay_key(org: str) -> RelayKey:
    if org == "Aurora":  # the one that keeps the logs
        return RelayKey(log_key("keeper"), WitnessKey.generate(), os.urandom(32))
    return RelayKey.generate()


def relay(org: str) -> Relay:
    card = RelayCard(public=relay_key(org).public, urls=("https://10.0.0.1:7447",), certificate=b"der")
    return Relay(name=f"{org}'s relay", org=org, card=card)


def witnessed_world(needed: int) -> tuple[World, str]:
    world, circle = circled()
    world.add(successor(world, "network Aurora", "network Beacon", relays=tuple(map(relay, ORGS))))
    world.add(world.successor(circle, "ada", "bo", witnesses=needed))
    return world, circle


def with_heads(world: World, circle: str, *orgs: str, at: int = NOW) -> View:
    """The view with both heads cosigned by the relays of these orgs."""
    heads = {}
    for log in (world.net, circle):
        head = world.head(log)
        public = log_key("keeper").public
        lines = [
            witness.cosign(head.note, world.view.origin(log), public, key.witness, key.public.witness_name, at)
            for key in map(relay_key, orgs)
        ]
        note = witness.with_cosignatures(head.note, lines)
        heads[log] = type(head)(note, head.size, head.root, head.time)
    return View(**{**vars(world.view), "heads": heads})


def sealing(world: World, circle: str, view: View, now: int = NOW):
    return plan(view, circle, device("ada").public.id, seeds=world.seeds, kept=(), now=now)


def test_p4_nothing_is_sealed_before_enough_other_orgs_have_cosigned() -> None:
    world, circle = witnessed_world(2)
    for orgs in ((), ("Beacon",)):
        with pytest.raises(RefusedError, match="2 orgs beside its keeper's cosign the network's log"):
            sealing(world, circle, with_heads(world, circle, *orgs))
    assert sealing(world, circle, with_heads(world, circle, "Beacon", "Cairn")).epoch


def test_p5_what_witnesses_said_too_long_ago_is_stale() -> None:
    world, circle = witnessed_world(1)
    view = with_heads(world, circle, "Beacon", at=NOW - WEEK)
    assert sealing(world, circle, view).epoch
    with pytest.raises(RefusedError, match=f"last on {text(NOW - WEEK)}"):
        sealing(world, circle, view, NOW + 1)


def test_the_keepers_own_org_is_no_witness() -> None:
    """Its relay may cosign what it likes under a second key: it is one voice, and not another's."""
    world, circle = witnessed_world(1)
    with pytest.raises(RefusedError, match="never all of them"):
        sealing(world, circle, with_heads(world, circle, "Aurora"))
    view = with_heads(world, circle, "Beacon")
    assert (witnessed(view, circle, 1), witnessed(view, circle, 2)) == (NOW, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "Cairn's relay"}, "each relay once"),
        ({"org": "Nowhere"}, "of another"),
        ({"card": relay("Cairn").card}, "a key twice"),
    ],
)
def test_p35_relays_stand_in_the_roster_once_with_keys_of_their_own(change: dict[str, object], why: str) -> None:
    relays = (msgspec.structs.replace(relay("Beacon"), **change), relay("Cairn"))
    with pytest.raises(RefusedError, match=why):
        check_roster(roster(relays=relays))


def copies(world: World, view: View, note: bytes | None = None, circle: str = "") -> list[LogCopy]:
    logs = sorted(world.logs, key=lambda log: log != world.net)
    return [
        LogCopy(log, note if note and log == circle else view.heads[log].note, tuple(world.logs[log])) for log in logs
    ]


def test_what_witnesses_said_adds_up_and_nothing_else_is_kept() -> None:
    """Whoever carries a note may leave lines out and put others in; a true line that is here stays."""
    world, circle = witnessed_world(2)
    of_beacon, of_cairn = (with_heads(world, circle, org) for org in ("Beacon", "Cairn"))
    held = taken(View(world.net), {}, copies(world, of_beacon))
    junk = b"".join(b"\xe2\x80\x94 witness%d %s\n" % (n, base64.b64encode(bytes([n]) * 84)) for n in range(1, 4))
    stripped = world.head(circle).note + junk
    longer = taken(held.view, held.entries, copies(world, of_beacon, stripped, circle))
    assert witnessed(longer.view, circle, 1) == NOW and b"witness1" not in longer.view.heads[circle].note
    both = taken(longer.view, longer.entries, copies(world, of_cairn))
    assert witnessed(both.view, circle, 2) == NOW
    assert sealing(world, circle, both.view).epoch
