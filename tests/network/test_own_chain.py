"""A thief with a device's key: its own library says so for as long as the logs hold what they wrote."""

from darklantern.network.own_chain import not_written, own_records
from network.world import World, circled, device, record_id


def written(world: World, circle: str, who: str, words: str) -> str:
    return world.add(world.post(circle, who, words)[0], circle)


def test_what_a_thief_wrote_first_is_named_however_much_follows() -> None:
    """The library once sealed its own record again after the thief's, without a word."""
    world, circle = circled()
    me = device("bo").public.id
    mine = set(own_records(world.view, me))
    assert mine and not not_written(world.view, me, mine)
    stolen = written(world, circle, "bo", "from the thief")
    for number in range(3):
        mine.add(written(world, circle, "bo", f"mine {number}"))
    written(world, circle, "al", "another's")
    (found,) = not_written(world.view, me, mine)
    assert (found.log, found.id, world.view.trail(circle).ids[found.position]) == (circle, stolen, stolen)
    assert "was not written here" in str(found)


def test_the_second_of_two_at_one_place_is_named_too() -> None:
    world, circle = circled()
    me = device("bo").public.id
    first, second = world.post(circle, "bo", "mine")[0], world.post(circle, "bo", "the thief's")[0]
    mine = {*own_records(world.view, me), world.add(first, circle)}
    world.put(second, circle)
    assert [each.id for each in not_written(world.view, me, mine)] == [record_id(second)]


def test_what_stands_in_the_networks_log_counts_as_well() -> None:
    world, _ = circled()
    me = device("bo").public.id
    mine = own_records(world.view, me)
    stolen = world.pledge("Beacon", "bo")
    assert [(each.log, each.id) for each in not_written(world.view, me, mine)] == [(world.net, stolen)]
