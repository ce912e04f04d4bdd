"""Whose a piece is, how long it lives, and which epochs are past their time."""

import msgspec
import pytest

from darklantern.network.deleting import Tombstone
from darklantern.network.reading import read
from darklantern.network.retaining import ended, lives, living
from network.world import World, circled, device, person, record_id


def naming(world: World, circle: str, author: str, pieces: tuple[str, ...]) -> str:
    """A post of the author's own that names these pieces too."""
    data, _ = world.post(circle, author)
    body = msgspec.structs.replace(read(data).body, attached=pieces)
    return world.add(world.sign(circle, "post", body, author), circle)


def posted(author: str) -> tuple[World, str, str, tuple[str, ...]]:
    world, circle = circled()
    data, pieces = world.post(circle, author)
    return world, circle, world.add(data, circle), tuple(pieces)


def bury(world: World, circle: str, target: str, author: str) -> None:
    world.add(world.sign(circle, "tombstone", Tombstone(target=target), author), circle)


def test_p26_what_somebody_else_names_later_does_not_keep_what_was_taken_back() -> None:
    world, circle, post, pieces = posted("bo")
    naming(world, circle, "al", pieces)
    before = world.view.circle(circle)
    bury(world, circle, post, "bo")
    after = world.view.circle(circle)
    assert all(lives(before, name) and not lives(after, name) for name in pieces)
    assert ended(before, after) == set(pieces)


def test_p26_nor_does_it_take_anothers_pieces_with_it_when_it_is_taken_back() -> None:
    world, circle, _, pieces = posted("bo")
    theirs = naming(world, circle, "al", pieces)
    before = world.view.circle(circle)
    own = set(before.entries[theirs].body.pieces)
    bury(world, circle, theirs, "al")
    after = world.view.circle(circle)
    assert set(pieces) <= set(living(after))
    assert ended(before, after) == own


def test_what_its_owner_names_again_lives_until_both_are_taken_back() -> None:
    world, circle, post, pieces = posted("ada")
    again = naming(world, circle, "ada's phone", pieces)
    for target, left in ((post, True), (again, False)):
        bury(world, circle, target, "ada")
        assert [lives(world.view.circle(circle), name) for name in pieces] == [left] * len(pieces)


def test_pieces_end_with_what_a_rotation_cuts_off() -> None:
    world, circle = circled()
    late, pieces = world.post(circle, "al", "late")
    rotator = world.copy()
    for each in (world, rotator):
        each.manifest("Aurora", person("ada", "ada", "ada's phone"))
    world.put(late, circle)
    before = world.view.circle(circle)
    world.put(rotator.epoch(circle, "ada"), circle)
    assert record_id(late) not in world.view.circle(circle).entries
    assert ended(before, world.view.circle(circle)) == set(pieces)


@pytest.mark.parametrize("other", ["al", "bo"])
def test_an_epoch_outlives_what_another_names_under_a_later_one(other: str) -> None:
    world, circle, _, pieces = posted("bo")
    first = world.view.circle(circle).epochs[0].id
    world.manifest("Aurora", person("ada"), person("al"), revoked=("ada's phone",))
    world.rotate(circle, "ada")
    naming(world, circle, other, pieces)
    # By bo it is kept on purpose; by al it would keep what is not his.
    kept = [name for name in pieces if lives(world.view.circle(circle), name, {first})]
    assert bool(kept) == (other == "bo")
    assert device("bo").public.id in world.view.circle(circle).epochs[1].members
