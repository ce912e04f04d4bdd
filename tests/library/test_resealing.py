"""What the logs have overtaken is sealed and signed again: lost to nobody, open to nobody new, twice in no place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import person

from library.carried import exported, taken_apart
from library.meeting import Meeting, met, told
from library.orgs import manifest
from library.simulator import Hostile


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def test_what_lost_a_race_is_sealed_again_to_the_epoch_that_won(us: Meeting) -> None:
    item = us.share()
    us.sync()
    us.aurora.add(manifest(us.aurora, "Aurora", person("ada"), person("al")))
    us.sync()
    us.aurora.members.rotate("evals")
    us.beacon.members.rotate("evals")
    first = us.beacon.threads.post(item, "under the epoch that lost")
    second = us.beacon.threads.reply(first, "and its answer")
    us.sync()
    report = us.beacon.relays.sync([us.relay]).relays["relay"]
    assert us.beacon.pending == () and report.refused == ()
    us.aurora.relays.sync([us.relay])
    posts = us.aurora.threads.open(item).posts
    assert [post.text for post in posts] == ["under the epoch that lost", "and its answer"]
    assert posts[1].reply_to == posts[0].id
    assert not {first, second} & {post.id for post in posts}
    assert us.relay.view.circle(us.circle).frozen == {}


def test_p07_what_waits_is_sealed_anew_before_it_leaves_when_a_device_was_removed(us: Meeting) -> None:
    """It was sealed before the removal was known here, and is sent after."""
    item = us.share()
    us.aurora.add(manifest(us.aurora, "Beacon", person("bo"), person("bea")))
    us.sync()
    waiting = us.beacon.threads.post(item, "not for a thief")
    us.aurora.add(manifest(us.aurora, "Aurora", person("ada"), revoked=()))
    us.aurora.add(manifest(us.aurora, "Beacon", person("bo")))
    us.aurora.relays.sync([us.relay])
    us.aurora.members.rotate("evals")
    us.aurora.relays.sync([us.relay])
    report = us.beacon.relays.sync([us.relay]).relays["relay"]
    assert [old for old, _ in report.imported.remade] == [waiting]
    assert waiting not in us.relay.view.trail(us.circle).own
    newest = us.relay.view.circle(us.circle).epoch
    (sent,) = [e for e in us.relay.view.circle(us.circle).entries.values() if e.record.kind == "post"]
    assert newest and sent.body.header.epoch == newest.id


def test_a_record_that_has_left_is_never_replaced(us: Meeting) -> None:
    """A second one at its place would freeze the device: whoever carried the first may bring it any day."""
    item = us.share()
    us.sync()
    us.beacon.threads.post(item, "carried by hand, slowly")
    bundle = exported(us.beacon)
    us.aurora.add(manifest(us.aurora, "Aurora", person("ada"), person("al")))
    us.sync()
    us.aurora.members.rotate("evals")
    us.sync()
    us.sync()
    assert [post.text for post in us.aurora.threads.open(item).posts] == ["carried by hand, slowly"]
    parts, _ = taken_apart(bundle, us.relay.net)
    assert [us.relay.append(us.circle, data).position for data in parts.waiting] != [None] * len(parts.waiting)
    assert us.relay.view.circle(us.circle).frozen == {}


def test_after_a_restored_backup_what_waits_is_signed_anew(us: Meeting) -> None:
    item = us.share()
    us.sync()
    us.beacon.threads.post(item, "in the backup, unsent")
    backup = us.backup("beacon")
    us.relay.asked.clear()
    us.beacon.threads.post(item, "after it")
    us.beacon.relays.sync([us.relay])
    us.restore("beacon", backup)
    us.beacon.relays.sync([us.relay])
    us.aurora.relays.sync([us.relay])
    assert sorted({post.text for post in us.aurora.threads.open(item).posts}) == ["after it", "in the backup, unsent"]
    assert us.relay.view.circle(us.circle).frozen == {} and us.beacon.pending == ()


def test_what_cannot_be_sealed_again_waits_and_says_why(us: Meeting) -> None:
    item = us.share()
    us.sync()
    waiting = us.beacon.threads.post(item, "too late")
    us.aurora.add(manifest(us.aurora, "Beacon", person("bea")))
    us.sync()
    us.aurora.members.rotate("evals")
    us.aurora.relays.sync([us.relay])
    report = us.beacon.relays.sync([us.relay]).relays["relay"]
    assert us.beacon.pending == (waiting,)
    assert any(id == waiting for id, _ in (*report.refused, *report.imported.refused))


def test_a_relay_that_refuses_records_is_told_and_nothing_is_lost(us: Meeting) -> None:
    item = us.share()
    us.relay.hostile.refuses_records = True
    assert told(us.aurora, us.relay).refused == ((item, "not today"),)
    assert us.aurora.pending == (item,)
    us.relay.hostile = Hostile()
    us.aurora.relays.sync([us.relay])
    assert us.aurora.pending == ()
