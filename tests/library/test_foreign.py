"""Somebody else has a device's keys: its own library says so, for good, and never of what it wrote itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.assess import level_follows
from darklantern.errors import RefusedError
from darklantern.library import restore
from darklantern.network.heads import sign_head
from library.meeting import Meeting, met
from library.orgs import reopened
from library.simulator import Hostile


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def test_what_a_thief_writes_under_a_devices_name_is_a_problem_for_good(us: Meeting) -> None:
    item = us.share()
    us.sync()
    with reopened(us.backup("aurora"), "ada", us.clock) as thief:
        stolen = thief.threads.post(item, "I agree with everything.")
        thief.relays.sync([us.relay])
    told = us.aurora.relays.sync([us.relay]).relays["relay"].imported.problems
    assert len(told) == 1 and stolen[:16] in told[0] and "in other hands" in told[0]
    for _ in range(2):
        (foreign,) = us.aurora.status().foreign
        assert (foreign.id, foreign.log) == (stolen, us.circle) and str(foreign) in us.aurora.status().lines()
        us.reopen("aurora").relays.sync([us.relay])
    assert us.beacon.status().foreign == ()


def test_ones_own_records_are_nobody_elses_however_they_came_into_the_log(us: Meeting) -> None:
    """Sent, sent twice, sealed again, carried by somebody else, and after a crash that forgot the answer."""
    item = us.share()
    us.aurora.threads.post(item, "first")
    us.aurora.bundles.export_to(us.folder / "carried")
    us.beacon.bundles.import_from(us.folder / "carried")
    us.beacon.relays.sync([us.relay])
    us.aurora.threads.post(item, "second")
    us.sync()
    us.aurora.threads.post(item, "sealed to an epoch that ends")
    us.beacon.members.rotate("evals")
    us.beacon.relays.sync([us.relay])
    us.sync()
    assert us.aurora.status().foreign == us.beacon.status().foreign == ()


def test_a_restored_library_takes_its_own_later_records_back(us: Meeting) -> None:
    item = us.share()
    us.sync()
    us.aurora.care.backup(us.folder / "backup")
    us.aurora.threads.post(item, "after the backup")
    us.sync()
    us.clock.now += 60
    us.relay.now = us.clock.now
    restore(us.folder / "backup", us.folder / "again", "passphrase of ada", follows=level_follows, clock=us.clock)
    with reopened(us.folder / "again", "ada", us.clock) as again:
        again.relays.sync([us.relay])
        assert [post.text for post in again.threads.open(item).posts] == ["after the backup"]
        assert again.status().foreign == ()


def test_a_restored_library_writes_on_once_the_relay_was_asked_though_it_signed_nothing_since(us: Meeting) -> None:
    """A quiet log has no newer checkpoint; that its relay was asked and showed no more is its word as well."""
    item = us.share()
    us.sync()
    us.aurora.care.backup(us.folder / "backup")
    us.clock.now += 60
    restore(us.folder / "backup", us.folder / "again", "passphrase of ada", follows=level_follows, clock=us.clock)
    with reopened(us.folder / "again", "ada", us.clock) as again:
        with pytest.raises(RefusedError, match="has not been synced with its keeper since"):
            again.threads.post(item, "too early")
        assert sum("nothing is signed here yet" in line for line in again.status().lines()) == 2
        again.relays.sync([us.relay.mirror()])
        with pytest.raises(RefusedError, match="has not been synced with its keeper since"):
            again.threads.post(item, "a mirror is not its keeper")
        again.relays.sync([us.relay])
        again.threads.post(item, "in time")
        again.relays.sync([us.relay])
        assert again.pending == () and again.care.restored == {}


def test_p3_a_restored_library_waits_while_what_its_relay_showed_could_not_be_taken(us: Meeting) -> None:
    """That the relay was asked says nothing where its newest checkpoint was put off: what it covers is not here."""
    item = us.share()
    us.sync()
    us.aurora.care.backup(us.folder / "backup")
    us.aurora.threads.post(item, "after the backup")
    us.sync()
    us.clock.now += 60
    restore(us.folder / "backup", us.folder / "again", "passphrase of ada", follows=level_follows, clock=us.clock)
    with reopened(us.folder / "again", "ada", us.clock) as again:
        trail, ahead = us.relay.view.trail(us.circle), us.clock.now + 3 * 86_400
        us.relay.hostile.frozen_at = {us.circle: sign_head(trail, us.circle, us.relay.key, ahead).note}
        problems = again.relays.sync([us.relay]).relays["relay"].imported.problems
        assert any("more than a day after" in problem for problem in problems)
        with pytest.raises(RefusedError, match="has not been synced with its keeper since"):
            again.threads.post(item, "in the place of what came after the backup")
        us.relay.hostile = Hostile()
        again.relays.sync([us.relay])
        again.threads.post(item, "behind it")
        again.relays.sync([us.relay])
        assert [post.text for post in again.threads.open(item).posts] == ["after the backup", "behind it"]
