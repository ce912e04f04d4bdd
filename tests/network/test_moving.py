"""A log moves to another key: whoever keeps it next goes on from the last checkpoint, and readers follow."""

import pytest

from darklantern.errors import LogError, RefusedError
from darklantern.network import ForkedLogError, proves_fork
from darklantern.network.clock import text
from darklantern.network.heads import sign_head
from darklantern.network.merging import LogCopy, Merged
from darklantern.network.pledges import Pledge
from darklantern.network.view import View, admit
from darklantern.records.exact import encode
from network.test_merging import joined, taken
from network.test_rosters import successor
from network.world import NOW, PLEDGE, YEAR, World, circled, log_key


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


def moved_to_next(final: bytes) -> dict[str, object]:
    return {"log": log_key("next").public, "final": final, "moving": None}


def announce(world: World, circle: str) -> None:
    world.add(world.successor(circle, "ada", "bo", moving=log_key("next").public))


def network_moved() -> tuple[World, World]:
    """The world before, and after its network's log has gone to another key."""
    before, _ = circled()
    before.add(successor(before, "network Aurora", "network Beacon", moving=log_key("next").public))
    after = before.copy()
    final = after.head(after.net).note
    after.add(successor(after, "network Aurora", "network Beacon", **moved_to_next(final)))
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
    lone = successor(after, "network Aurora", **moved_to_next(final))
    assert after.put(encode(lone))
    held = joined(before)
    with pytest.raises(LogError):
        taken(held.view, held.entries, signed_by(after, {after.net: "next"}))


def test_readers_follow_a_circles_log_and_notice_when_its_new_keeper_has_not_all_of_it() -> None:
    world, circle = circled()
    held = joined(world)
    data, _ = world.post(circle, "ada")
    world.add(data, circle)
    announce(world, circle)
    final = world.head(circle).note
    world.add(world.successor(circle, "ada", "bo", **moved_to_next(final)))
    merged = taken(held.view, held.entries, signed_by(world, {circle: "next"}))
    assert len(merged.view.circle(circle).entries) == 1
    note = sign_head(held.view.trail(circle), circle, log_key("next"), NOW + 10).note
    given = [
        copy if copy.log != circle else LogCopy(circle, note, tuple(world.logs[circle][:-1]))
        for copy in signed_by(world, {circle: "next"})
    ]
    with pytest.raises(LogError, match="does not begin with those"):
        taken(held.view, held.entries, given)


def circle_moved(tail: int) -> tuple[World, World, str]:
    """The world as the old keeper went on with it, and as its circle's log went to another key before that."""
    world, circle = circled()
    world.add(world.post(circle, "ada", "before")[0], circle)
    announce(world, circle)
    final = world.head(circle).note
    after = world.copy()
    for number in range(tail):  # which no honest keeper does
        world.put(world.post(circle, "ada", f"tail {number}")[0], circle)
    after.add(after.successor(circle, "ada", "bo", **moved_to_next(final)))
    return world, after, circle


@pytest.mark.parametrize("longer", [0, 1, 3])
def test_what_the_old_keeper_appended_after_a_move_is_dropped_and_is_no_fork(longer: int) -> None:
    """A reader who had it once called the log forked, for good, by two notes under two keys."""
    before, after, circle = circle_moved(tail=2)
    held = joined(before)
    for number in range(longer):
        after.add(after.post(circle, "bo", f"next {number}")[0], circle)
    moved = taken(held.view, held.entries, signed_by(after, {circle: "next"}))
    assert moved.view.trail(circle).ids == after.view.trail(circle).ids
    assert moved.entries[circle] == tuple(after.logs[circle])
    assert moved.dropped == {circle: tuple(before.logs[circle][-2:])}
    assert not taken(moved.view, moved.entries, signed_by(after, {circle: "next"}, NOW + 20)).dropped


def test_what_both_keepers_appended_stays() -> None:
    before, after, circle = circle_moved(tail=1)
    held = joined(before)
    after.add(before.logs[circle][-1], circle)
    after.add(after.post(circle, "bo")[0], circle)
    moved = taken(held.view, held.entries, signed_by(after, {circle: "next"}))
    assert not moved.dropped
    assert len(moved.view.circle(circle).entries) == 3


def test_a_tail_of_the_networks_log_is_dropped_too() -> None:
    before, after = network_moved()
    body = Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW + YEAR))
    assert before.put(before.sign(before.net, "pledge", body, "bo")) == ""  # which no honest keeper appends
    held = joined(before)
    moved = taken(held.view, held.entries, signed_by(after, {after.net: "next"}))
    assert moved.view.trail(after.net).ids == after.view.trail(after.net).ids
    assert len(moved.dropped[after.net]) == 1


@pytest.mark.parametrize("newest", [False, True])
def test_a_key_that_signed_two_histories_before_it_left_has_forked_the_log(newest: bool) -> None:
    world, circle = circled()
    other = world.copy()
    world.add(world.post(circle, "ada", "one")[0], circle)
    other.add(other.post(circle, "ada", "other")[0], circle)
    if newest:
        other.add(other.post(circle, "bo", "more")[0], circle)
    held = joined(other)
    final = world.head(circle).note
    announce(world, circle)
    world.add(world.successor(circle, "ada", "bo", **moved_to_next(final)))
    with pytest.raises(ForkedLogError) as caught:
        taken(held.view, held.entries, signed_by(world, {circle: "next"}))
    assert proves_fork(caught.value.proof, log_key("keeper").public)
    # And the other way: who follows the move is shown the other history.
    moved = joined_at(world, circle)
    stray = LogCopy(circle, other.head(circle).note, tuple(other.logs[circle]))
    if not newest:  # longer than where the key left, it says nothing any more
        with pytest.raises(ForkedLogError) as caught:
            taken(moved.view, moved.entries, [signed_by(world, {circle: "next"}, NOW + 20)[0], stray])
        assert proves_fork(caught.value.proof, log_key("keeper").public)


def joined_at(world: World, circle: str) -> Merged:
    return taken(View(world.net), {}, signed_by(world, {circle: "next"}))


def test_a_copy_from_before_the_move_is_older_and_no_fork() -> None:
    before, after, circle = circle_moved(tail=0)
    moved = joined_at(after, circle)
    old = LogCopy(circle, before.head(circle, NOW + 5).note, tuple(before.logs[circle]))
    given = [signed_by(after, {circle: "next"}, NOW + 20)[0], old]
    with pytest.raises(LogError, match="it is older"):
        taken(moved.view, moved.entries, given)
    again = taken(moved.view, moved.entries, given, kept=frozenset([circle]))
    assert again.view.heads[circle] == moved.view.heads[circle]


def test_a_log_moves_only_to_whom_its_quorum_has_announced() -> None:
    world, circle = circled()
    at_once = world.successor(circle, "ada", "bo", **moved_to_next(world.head(circle).note))
    assert "has announced" in world.put(encode(at_once))
    announce(world, circle)
    other = {"log": log_key("another").public, "final": world.head(circle).note, "moving": None}
    assert "has announced" in world.put(encode(world.successor(circle, "ada", "bo", **other)))
    final = world.head(world.net).note
    roster = successor(world, "network Aurora", "network Beacon", **moved_to_next(final))
    assert "has announced" in world.put(encode(roster))


def test_once_a_move_is_announced_a_keeper_appends_nothing_more_until_it_is_called_off() -> None:
    """Or what people believe to be in the log is dropped when it has moved."""
    world, circle = circled()
    announce(world, circle)
    data, _ = world.post(circle, "ada")
    with pytest.raises(RefusedError, match="about to move"):
        admit(world.view, circle, data)
    world.add(world.successor(circle, "ada", "bo", moving=None))
    world.add(world.post(circle, "ada")[0], circle)
    world.add(successor(world, "network Aurora", "network Beacon", moving=log_key("next").public))
    with pytest.raises(AssertionError, match="about to move"):
        refused = admitted(world)
        assert refused is None, refused
    world.add(successor(world, "network Aurora", "network Beacon", moving=None))
    assert admitted(world) is None


def admitted(world: World) -> str | None:
    body = Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW + YEAR))
    try:
        return admit(world.view, world.net, world.sign(world.net, "pledge", body, "bo"))
    except RefusedError as error:
        return error.message
