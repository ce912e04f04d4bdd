"""Tombstones and receipts: who may take back what, and who has dropped it."""

import pytest

from darklantern.network import Admin
from darklantern.network.deleting import Receipt, Tombstone
from network.world import World, circled, device


def posted(author: str = "al") -> tuple[World, str, str]:
    world, circle = circled()
    data, _ = world.post(circle, author)
    return world, circle, world.add(data, circle)


def tombstone(world: World, circle: str, target: str, author: str) -> str:
    """The reason why it does not count, or ''."""
    return world.put(world.sign(circle, "tombstone", Tombstone(target=target), author), circle)


@pytest.mark.parametrize("author", ["ada", "ada's phone"])
def test_p26_its_author_buries_an_entry_on_any_of_their_devices(author: str) -> None:
    world, circle, post = posted("ada")
    assert tombstone(world, circle, post, author) == ""
    state = world.view.circle(circle)
    assert post not in state.entries and post in state.buried
    assert "nothing that counts" in tombstone(world, circle, post, author)


def test_p26_admins_bury_somebody_elses_only_as_a_quorum() -> None:
    world, circle, post = posted("al")
    assert tombstone(world, circle, post, "ada") == ""
    assert tombstone(world, circle, post, "ada's phone") == ""  # the same admin again
    assert post in world.view.circle(circle).entries
    assert tombstone(world, circle, post, "bo") == ""
    assert post in world.view.circle(circle).buried


def test_p26_nobody_else_does() -> None:
    world, circle, post = posted("bo")
    assert "neither who wrote the entry nor an admin" in tombstone(world, circle, post, "al")
    assert post in world.view.circle(circle).entries


def test_a_quorum_is_of_those_who_are_admins_now() -> None:
    world, circle, post = posted("al")
    tombstone(world, circle, post, "ada")
    admins = (Admin(org="Aurora", person="al"), Admin(org="Beacon", person="bo"))
    # Al is an admin now and ada is not: her vote no longer counts towards the two.
    world.add(world.successor(circle, "ada", "bo", "al", admins=admins))
    assert tombstone(world, circle, post, "bo") == ""
    assert post in world.view.circle(circle).entries


def test_receipts_say_who_has_dropped_it() -> None:
    world, circle, post = posted("ada")
    receipt = world.sign(circle, "receipt", Receipt(targets=(post,)), "bo")
    assert "nothing buried" in world.put(receipt, circle)
    tombstone(world, circle, post, "ada")
    assert world.put(world.sign(circle, "receipt", Receipt(targets=(post,)), "bo"), circle) == ""
    assert world.view.circle(circle).receipts[post] == {device("bo").public.id}
