"""A person's new device gets the seeds that their own other one hands it, and no others."""

import os

import pytest

from darklantern.errors import SealError
from darklantern.network.handovers import HandedOver, Handover, new_handover, open_handover
from darklantern.network.keyring import Keyring, unlock
from darklantern.records.exact import encode
from darklantern.sealing import Identity, seal
from network.world import World, circled, device, person


def keyring(world: World, name: str) -> Keyring:
    return unlock(world.view, device(name).public.id, device(name).receiving, Keyring())


def cut_off() -> tuple[World, str, str]:
    """History 'none': the second epoch says nothing of the first, and ada's tablet is only in the second."""
    world, circle = circled()
    world.add(world.successor(circle, "ada", "bo", history="none"))
    first = world.view.circle(circle).epoch
    assert first is not None
    world.manifest("Aurora", person("ada", "ada", "ada's phone", "ada's tablet"), person("al"))
    world.rotate(circle, "ada")
    return world, circle, first.id


def test_p9_ones_own_device_hands_over_what_the_history_would_not_give() -> None:
    world, circle, first = cut_off()
    assert first not in keyring(world, "ada's tablet").seeds
    tablet = device("ada's tablet").public
    body = new_handover(circle, tablet.id, tablet.receiver(), keyring(world, "ada").seeds)
    assert world.put(world.sign(circle, "handover", body, "ada"), circle) == ""
    assert keyring(world, "ada's tablet").seeds == keyring(world, "ada").seeds
    assert first not in keyring(world, "a stranger").seeds


def test_p9_nobody_hands_seeds_to_somebody_else() -> None:
    world, circle, _ = cut_off()
    bo = device("bo").public
    body = new_handover(circle, bo.id, bo.receiver(), keyring(world, "ada").seeds)
    assert "somebody else" in world.put(world.sign(circle, "handover", body, "ada"), circle)


def test_seeds_that_are_not_the_epochs_are_not_kept() -> None:
    world, circle, first = cut_off()
    tablet = device("ada's tablet").public
    body = new_handover(circle, tablet.id, tablet.receiver(), {first: os.urandom(32)})
    assert world.put(world.sign(circle, "handover", body, "ada"), circle) == ""
    found = keyring(world, "ada's tablet")
    assert first not in found.seeds
    assert "not those of its circle's epochs" in found.problems[circle]


def test_p17_a_handover_to_another_circle_is_refused() -> None:
    world, circle, first = cut_off()
    tablet = device("ada's tablet").public
    moved = HandedOver(circle="1" * 64, device=tablet.id, seeds=())
    body = Handover(device=tablet.id, sealed=seal(encode(moved), [tablet.receiver()]))
    assert world.put(world.sign(circle, "handover", body, "ada"), circle) == ""
    assert circle in keyring(world, "ada's tablet").problems
    assert first not in keyring(world, "ada's tablet").seeds


def test_a_handover_does_not_print_its_seeds() -> None:
    tablet = device("ada's tablet").public
    body = new_handover("1" * 64, tablet.id, tablet.receiver(), {"2" * 64: b"s" * 32})
    with pytest.raises(SealError):
        open_handover(body, "1" * 64, {}, Identity.generate())
    assert "secret not shown" in repr(HandedOver(circle="1" * 64, device=tablet.id, seeds=()))
