"""A circle's log moves away from a keeper who goes on with it: what they appended is dropped, also on the disk."""

from pathlib import Path

import pytest
from network.world import NOW, World, log_key

from darklantern.network import fold
from darklantern.network.heads import sign_head
from library.meeting import Meeting, met, told
from library.simulator import RelaySimulator


@pytest.fixture
def us(tmp_path: Path):
    meeting = met(tmp_path)
    yield meeting
    meeting.close()


def moved(us: Meeting, at: int) -> RelaySimulator:
    """A relay at which the circle's log has gone to another key at `at` entries, whatever came after."""
    key = log_key("next").public
    final = sign_head(us.relay.view.trail(us.circle).first(at), us.circle, log_key("keeper"), NOW).note
    logs = {us.relay.net: list(us.relay.logs[us.relay.net]), us.circle: us.relay.logs[us.circle][:at]}
    world = World(fold(us.relay.net, logs), logs)
    world.add(world.successor(us.circle, "ada", "bo", moving=key))
    world.add(world.successor(us.circle, "ada", "bo", log=key, final=final, moving=None))
    relay = RelaySimulator(us.relay.net, log_key("keeper"), name="next", now=NOW + 60)
    for log, entries in world.logs.items():
        for data in entries:
            relay.force(log, data)
    trail = relay.view.trail(us.circle)
    relay.hostile.frozen_at[us.circle] = sign_head(trail, us.circle, log_key("next"), NOW + 60).note
    return relay


def test_a_dropped_tail_leaves_the_disk_and_its_author_is_told(us: Meeting) -> None:
    """It was called a fork, which froze the circle for good at everybody who had read the tail."""
    us.sync()
    at = us.relay.view.trail(us.circle).size
    tail = us.share(title="in the tail")
    us.sync()
    relay = moved(us, at)
    done = told(us.aurora, relay)
    assert done.error is None and not us.aurora.view.forks
    assert any("dropped: 1 entry; of this device: " + tail[:16] in problem for problem in done.imported.problems)
    us.aurora.close()
    again = us.reopen("aurora")
    assert again.view.trail(us.circle).size == at
    assert tail not in {found.id for found in again.findings.listed()}


def test_a_library_opens_that_knows_of_a_move_and_holds_what_came_after(us: Meeting) -> None:
    us.sync()
    at = us.relay.view.trail(us.circle).size
    us.share(title="in the tail")
    us.sync()
    relay = moved(us, at)
    relay.hostile.withheld.add(us.circle)  # the network's log says that it has moved; the new keeper is not there yet
    assert told(us.aurora, relay).error is None
    again = us.reopen("aurora")
    assert again.view.trail(us.circle).size > at
    relay.hostile.withheld.clear()
    assert told(again, relay).error is None
    assert again.view.trail(us.circle).size == at
