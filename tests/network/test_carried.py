"""Records of others on their way: both halves of a proof, and not more than a library can hold."""

import pytest

from darklantern.errors import RefusedError
from darklantern.network import carried
from darklantern.network.carried import Load, check_carried
from darklantern.network.view import ahead, misplaced, refusal
from network.world import World, circled


def waiting(world: World, circle: str, *records: bytes) -> Load:
    """The load after carrying these one after the other."""
    view, load = world.view, Load()
    for data in records:
        load = check_carried(view, circle, data, load)
        view = ahead(view, circle, data)
    return load


def test_p23_both_records_at_one_place_are_carried() -> None:
    """The second was refused, so whoever carried them on had no proof of what they had seen."""
    world, circle = circled()
    one, other = world.post(circle, "bo", "one")[0], world.post(circle, "bo", "other")[0]
    load = waiting(world, circle, one, other)
    assert sum(load.of.values()) == 2 and load.size == len(one) + len(other)
    both = ahead(ahead(world.view, circle, one), circle, other)
    assert refusal(ahead(world.view, circle, one), circle, other) and both.circle(circle).frozen
    with pytest.raises(RefusedError, match="frozen"):
        check_carried(both, circle, world.post(circle, "bo", "a third")[0], load)


def test_what_nobody_would_append_is_not_carried() -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    for wrong in (data.replace(b"post", b"toast"), b"{}", data[:-9]):
        with pytest.raises(RefusedError):
            check_carried(world.view, circle, wrong, Load())
    world.add(data, circle)
    assert misplaced(world.view, circle, data) == "it is in this log already"


def test_one_device_fills_nobodys_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "MOST_OF_ONE", 3)
    world, circle = circled()
    seen, records = world.copy(), []
    for number in range(4):
        records.append(seen.post(circle, "bo", f"{number}")[0])
        seen.view = ahead(seen.view, circle, records[-1])
    load = waiting(world, circle, *records[:3])
    view = world.view
    for data in records[:3]:
        view = ahead(view, circle, data)
    with pytest.raises(RefusedError, match="at most 3 records of one device"):
        check_carried(view, circle, records[3], load)
    check_carried(view, circle, world.post(circle, "al")[0], load)
