"""A log moves to another key: whoever keeps it next goes on from the last checkpoint, and readers follow."""

import pytest

from darklantern.errors import LogError
from darklantern.network.heads import sign_head
from darklantern.network.merging import LogCopy
from darklantern.network.view import View
from darklantern.records.exact import encode
from network.test_merging import joined, taken
from network.test_rosters import successor
from network.world import NOW, World, circled, log_key


def signed_by(world: World, keeper: dict[str, str], now: int = NOW + 10) -> list[LogCopy]:
    """Copies of all logs under their new keys, the network's first."""
    logs = sorted(world.logs, key=lambda log: log != world.net)
    return [
        LogCopy(
            log,
            sign_head(world.view.trail(log), log, log_key(keeper.get(log, "keeper")), now).note,
            tuple(world.logs[log]),
        )
        for log in logs
    ]


def network_moved() -> tuple[World, World]:
    """The world before, and after its network's log has gone to another key."""
    before, _ = circled()
    after = before.copy()
    final = after.head(after.net).note
    after.add(successor(after, "network Aurora", "network Beacon", log=log_key("next").public, final=final))
    after.pledge("Aurora", "al")
    return before, after


def test_readers_follow_the_networks_log_to_its_next_key() -> None:
    before, after = network_moved()
    held = joined(before)
    moved = signed_by(after, {after.net: "next"})
    merged = taken(held.view, held.entries, moved)
    assert merged.view.log_key(after.net) == log_key("next").public
    assert merged.view.trail(after.net).size == len(after.logs[after.net])
    fresh = taken(View(after.net), {}, moved)
    assert fresh.view.trail(after.net).ids == merged.view.trail(after.net).ids
    # The old key says nothing any more, however new its checkpoint.
    for copy in (signed_by(after, {}, NOW + 20), signed_by(before, {}, NOW + 20)):
        with pytest.raises(LogError):
            taken(merged.view, merged.entries, copy)


def test_a_key_that_no_accepted_roster_names_moves_nothing() -> None:
    before, _ = circled()
    after = before.copy()
    final = after.head(after.net).note
    lone = successor(after, "network Aurora", log=log_key("next").public, final=final)
    assert after.put(encode(lone))
    held = joined(before)
    with pytest.raises(LogError):
        taken(held.view, held.entries, signed_by(after, {after.net: "next"}))


def test_readers_follow_a_circles_log_and_notice_when_its_new_keeper_has_not_all_of_it() -> None:
    world, circle = circled()
    held = joined(world)
    data, _ = world.post(circle, "ada")
    world.add(data, circle)
    final = world.head(circle).note
    world.add(world.successor(circle, "ada", "bo", log=log_key("next").public, final=final))
    merged = taken(held.view, held.entries, signed_by(world, {circle: "next"}))
    assert len(merged.view.circle(circle).entries) == 1
    note = sign_head(held.view.trail(circle), circle, log_key("next"), NOW + 10).note
    given = [
        copy if copy.log != circle else LogCopy(circle, note, tuple(world.logs[circle][:-1]))
        for copy in signed_by(world, {circle: "next"})
    ]
    with pytest.raises(LogError, match="does not begin with those"):
        taken(held.view, held.entries, given)
