"""An epoch whose seed nobody can open is skipped; one that somebody claims to hold is not."""

import msgspec
import pytest

from darklantern.errors import RefusedError
from darklantern.network import admit
from darklantern.network.circles import Named, Removal
from darklantern.network.explaining import explain
from darklantern.network.following import leading_back, reached
from darklantern.network.reading import read
from darklantern.sealing import Identity, seal
from network.test_epochs import keyring
from network.world import NOW, World, circled, peopled, person, record_id

DAY = 24 * 3600


def garbage(world: World, circle: str, author: str) -> str:
    """An epoch with as many stanzas as it has members, none of which opens for anybody."""
    honest = world.epoch(circle, author)
    body = read(honest).body
    strangers = [Identity.generate().recipient for _ in range(body.count)]
    data = world.sign(circle, "epoch", msgspec.structs.replace(body, sealed=seal(b"{}", strangers)), author)
    world.seeds[record_id(data)] = world.seeds[record_id(honest)]
    return world.add(data, circle)


def ring_of(world: World, who: str) -> World:
    """The world as this device can open it."""
    held = world.copy()
    held.seeds = dict(keyring(world, who).seeds)
    return held


def remove(world: World, circle: str, who: str, by: str = "ada") -> None:
    body = Removal(circle=circle, org="Aurora", person=who, reason="locked us out")
    world.add(world.sign(world.net, "removal", body, by))


def spoiled(history: str = "all", epochs: int = 1) -> tuple[World, str]:
    """A circle of whose epochs the last are garbage, by al."""
    world = peopled()
    circle = world.circle(history=history)
    world.rotate(circle, "ada")
    world.add(world.post(circle, "bo")[0], circle)
    for _ in range(epochs):
        garbage(world, circle, "al")
    return world, circle


def rotated(world: World, circle: str, who: str, now: int = NOW) -> str:
    """The next epoch by a device that holds only what it could open."""
    data = ring_of(world, who).epoch(circle, who, now)
    return world.add(data, circle)


@pytest.mark.parametrize("history", ["all", "since-join"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_that_opens_for_nobody_locks_no_circle(history: str, epochs: int) -> None:
    """Its author once had to be asked for the seed, for good: removing them did not help."""
    world, circle = spoiled(history, epochs)
    with pytest.raises(RefusedError, match="rotating needs its seed") as refused:
        ring_of(world, "bo").plan(circle, "bo")
    assert "ask al of Aurora to rotate" in refused.value.hint
    remove(world, circle, "al")
    rotated(world, circle, "bo")
    newest = world.view.circle(circle).epoch
    first = world.view.circle(circle).epochs[0]
    assert newest is not None and newest.body.linked == first.id
    # Whoever joins walks back past it.
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    rotated(world, circle, "ada")
    ours = {first.id, newest.id, world.view.circle(circle).epochs[-1].id}
    assert set(keyring(world, "bo").seeds) == ours
    assert set(keyring(world, "ben").seeds) == (ours if history == "all" else {world.view.circle(circle).epochs[-1].id})


def test_a_first_epoch_that_opens_for_nobody_is_skipped_for_none() -> None:
    world = peopled()
    circle = world.circle()
    garbage(world, circle, "al")
    remove(world, circle, "al")
    rotated(world, circle, "bo")
    newest = world.view.circle(circle).epoch
    assert newest is not None and newest.body.linked is None
    assert newest.body.previous == world.view.circle(circle).epochs[0].id


def test_somebody_whose_only_device_is_gone_goes_on_with_another() -> None:
    world = peopled()
    people = (Named(org="Beacon", person="bo"), Named(org="Aurora", person="ada"))
    circle = world.circle(orgs=(), people=people)
    remove(world, circle, "ada", "bo")
    world.rotate(circle, "bo")
    world.manifest("Beacon", person("bo", "bo's next"), revoked=("bo",))
    rotated(world, circle, "bo's next")
    assert len(world.view.circle(circle).epochs) == 2


@pytest.mark.parametrize("claim", ["made", "sealed to", "linked to"])
def test_an_epoch_that_a_member_claims_to_hold_is_not_skipped(claim: str) -> None:
    world, circle = circled()
    first = world.view.circle(circle).epochs[0]
    if claim == "sealed to":
        world.add(world.post(circle, "bo")[0], circle)
    if claim == "linked to":
        world.manifest("Aurora", person("ada", "ada", "ada's phone"), person("al"), person("amy"))
        world.pledge("Aurora", "amy")
        world.rotate(circle, "bo")
        remove(world, circle, "amy", "bo")
    if claim != "made":
        world.manifest("Aurora", person("ada", "ada's phone"), person("al"), revoked=("ada",))
    else:
        world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    newest = world.view.circle(circle).epochs[-1]
    data = world.epoch(circle, "ada's phone")
    cut = msgspec.structs.replace(read(data).body, link=None, linked=None)
    assert "asks for another link" in world.put(world.sign(circle, "epoch", cut, "ada's phone"), circle)
    if newest.id != first.id:
        older = msgspec.structs.replace(read(data).body, linked=first.id)
        assert "asks for another link" in world.put(world.sign(circle, "epoch", older, "ada's phone"), circle)


def test_a_newcomer_skips_nothing_that_a_member_may_hold() -> None:
    """Else a new device that is faster than the others would cut all from the past."""
    world, circle = circled()
    world.manifest("Aurora", person("ada", "ada's next"), person("al"), revoked=("ada", "ada's phone"))
    with pytest.raises(RefusedError, match="rotating needs its seed") as refused:
        ring_of(world, "ada's next").plan(circle, "ada's next")
    assert "another of its members" in refused.value.hint
    rotated(world, circle, "bo")
    assert set(keyring(world, "ada's next").seeds) == {epoch.id for epoch in world.view.circle(circle).epochs}


def test_a_link_that_names_nothing_or_an_epoch_that_is_no_base_is_refused() -> None:
    world, circle = spoiled()
    remove(world, circle, "al")
    data = ring_of(world, "bo").epoch(circle, "bo")
    body = read(data).body
    for changes in ({"linked": None}, {"link": None}, {"linked": "5" * 64}, {"link": None, "linked": None}):
        wrong = world.sign(circle, "epoch", msgspec.structs.replace(body, **changes), "bo")
        assert "asks for another link" in world.put(wrong, circle)


def test_skipping_walks_past_no_cut_and_to_no_seed_that_is_due_to_be_destroyed() -> None:
    world = peopled()
    circle = world.circle(retention=30 * DAY, rotation=30 * DAY)
    world.rotate(circle, "ada")
    world.add(world.post(circle, "bo")[0], circle)
    garbage(world, circle, "al")
    remove(world, circle, "al")
    later = ring_of(world, "bo")
    later.seeds.clear()  # destroyed in time
    data = later.epoch(circle, "bo", NOW + 31 * DAY)
    world.add(data, circle)
    assert world.view.circle(circle).epochs[-1].body.linked is None


def test_who_was_given_a_seed_is_found_through_the_links_that_are_there() -> None:
    world, circle = spoiled()
    remove(world, circle, "al")
    rotated(world, circle, "bo")
    state = world.view.circle(circle)
    first, second, third = state.epochs
    assert leading_back(state, first) == (first, second, third)
    assert leading_back(state, second) == (second,)
    assert reached(state, second) == second.members
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    rotated(world, circle, "bo")
    lost = world.view.circle(circle).epochs[1]
    sealed = ring_of(world, "ada")
    assert lost.id not in sealed.seeds
    found = explain(world.view, ("Beacon", "ben"), "5" * 64, waiting=frozenset(), now=NOW)
    assert found.answer == "cannot"


def test_an_explanation_names_the_epoch_that_skipped_another() -> None:
    world = peopled()
    circle = world.circle()
    world.rotate(circle, "ada")
    garbage(world, circle, "al")
    data, _ = world.post(circle, "al", in_epoch=world.view.circle(circle).epochs[1].id)
    post = world.add(data, circle)
    remove(world, circle, "al")
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    rotated(world, circle, "bo")
    found = explain(world.view, ("Beacon", "ben"), post, waiting=frozenset(), now=NOW)
    assert found.answer == "cannot"
    assert "epoch 3 skipped those before it" in str(found)


def test_a_keeper_takes_no_epoch_from_somebody_whom_it_knows_to_be_removed() -> None:
    """With a view from before the removal, one after the other, they would keep everybody else from rotating."""
    world, circle = spoiled()
    before = world.copy()
    remove(world, circle, "al")
    before.seeds = world.seeds
    with pytest.raises(RefusedError, match="was removed"):
        admit(world.view, circle, before.epoch(circle, "al"))


def test_a_rotation_is_never_as_of_a_time_before_the_newest_epoch() -> None:
    """A clock that was ahead, by less than a keeper refuses, once kept everybody from rotating until then."""
    world, circle = circled()
    world.rotate(circle, "ada", NOW + DAY // 2)
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    assert world.put(world.epoch(circle, "bo", NOW + 1), circle) == ""
