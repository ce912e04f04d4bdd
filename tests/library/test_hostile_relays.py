"""Relays that lie: what they did is found, named, and costs nothing that was held before (P1 to P5)."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import NOW, PLEDGE, YEAR, log_key

from darklantern.errors import DarkLanternError, LogError, RefusedError, SignatureError
from darklantern.library import Library
from darklantern.network import ForkedLogError, proves_fork
from darklantern.network.circles import new_terms
from darklantern.network.clock import text
from darklantern.network.items import PIECE
from library.carried import carried
from library.meeting import Meeting, met, told
from library.orgs import WEEK, circle_record, every_byte_of
from library.simulator import Hostile


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def refused(us: Meeting, match: str, *errors: type[DarkLanternError]) -> None:
    """That Beacon takes nothing, and says why."""
    before = every_byte_of(us.folder / "beacon")
    with pytest.raises(errors or LogError, match=match):
        us.beacon.relays.sync([us.relay])
    assert every_byte_of(us.folder / "beacon") == before


def contents(library: Library) -> object:
    return library._desk.vault.database.read(), tuple(library._desk.vault.blobs)


def test_p01_any_bit_altered_in_a_record_is_refused_and_named(us: Meeting, tmp_path: Path) -> None:
    """Either nothing is taken, or, since the id leaves out signatures, the entry stands there as one that is bad."""
    us.share()
    us.aurora.relays.sync([us.relay])
    position = us.relay.view.trail(us.circle).size - 1
    data = us.relay.logs[us.circle][position]
    signature = data.index(b'"sig":"') + len(b'"sig":"')
    backup, chance, taken = us.backup("beacon"), random.Random(1), 0
    before = contents(us.beacon)
    anywhere, signed = range(len(data) * 8), range(signature * 8, (signature + 80) * 8)
    for bit in sorted({*chance.sample(anywhere, 40), *chance.sample(signed, 4)}):
        us.relay.hostile.corrupted = {(us.circle, position): bit}
        try:
            us.beacon.relays.sync([us.relay])
        except LogError as error:
            assert us.circle[:8] in error.message
            assert contents(us.beacon) == before
            continue
        (leaf,) = us.beacon.opaque
        assert (leaf.log, leaf.position, leaf.belongs) == (us.circle, position, False)
        assert us.beacon.findings.listed() == ()
        if taken == 0:
            us.relay.hostile = Hostile()
            us.beacon.relays.sync([us.relay])  # the right copy heals it
            assert us.beacon.opaque == () and us.beacon.findings.listed()
        taken += 1
        us.restore("beacon", backup)
    assert taken


@pytest.mark.parametrize("bit", [0, 800, 8 * 1500, 8 * 4000])
def test_p01_an_altered_checkpoint_is_refused(us: Meeting, bit: int) -> None:
    us.share()
    us.aurora.relays.sync([us.relay])
    us.relay.now += 1
    us.relay.hostile.corrupted_notes = {us.circle: bit}
    before = us.beacon.view
    with pytest.raises((LogError, SignatureError), match="expected"):
        us.beacon.relays.sync([us.relay])
    after = us.beacon.view
    assert after.trail(us.circle) == before.trail(us.circle) and after.heads[us.circle] == before.heads[us.circle]


def test_what_a_relay_does_to_one_circle_keeps_nothing_back_of_the_others(us: Meeting) -> None:
    """A second circle comes whole while the first one's checkpoint is altered, and the error says so."""
    terms = new_terms("tools", "V2", ())
    second = us.aurora.add(circle_record(us.aurora, terms))
    us.aurora.relays.sync([us.relay])
    us.aurora.drafts.add_terms(second, terms)
    us.aurora.members.rotate(second)
    us.share()
    us.aurora.relays.sync([us.relay])
    before = us.beacon.view.trail(us.circle)
    us.relay.hostile.corrupted_notes = {us.circle: 800}
    with pytest.raises((LogError, SignatureError), match="expected"):
        us.beacon.relays.sync([us.relay])
    assert us.beacon.view.trail(second).size == 1 and us.beacon.view.trail(us.circle) == before
    assert us.beacon.members.effective("tools").members


@pytest.mark.parametrize("place", [0, 8 * 70, 8 * 1000 + 3])
def test_p01_an_altered_piece_is_refused_and_named_and_the_right_one_comes_later(us: Meeting, place: int) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    name = us.relay.view.circle(us.circle).entries[item].body.pieces[0]
    us.relay.hostile.corrupted_pieces = {name: place}
    report = told(us.beacon, us.relay).imported
    assert report.missing == (name,) and any(name in problem for problem in report.problems)
    assert us.beacon.findings.listed()[0].problem
    us.relay.hostile = Hostile()
    assert told(us.beacon, us.relay).imported.pieces == 1
    assert us.beacon.findings.open(item)


@pytest.mark.parametrize("how", ["dropped", "reordered", "replayed"])
@pytest.mark.parametrize("newcomer", [True, False])
def test_p02_dropping_reordering_or_repeating_a_record_is_detected(us: Meeting, how: str, newcomer: bool) -> None:
    item = us.share()
    if not newcomer:
        us.sync()
    for n in range(3):
        us.aurora.threads.post(item, f"post {n}")
    us.aurora.relays.sync([us.relay])
    position = us.beacon.view.trail(us.circle).size + 1
    us.relay.hostile = {
        "dropped": Hostile(dropped={(us.circle, position)}),
        "reordered": Hostile(reordered={us.circle}),
        "replayed": Hostile(replayed={(us.circle, position)}),
    }[how]
    refused(us, f"(under the signed root|entries of log) ?.*{us.circle[:8]}|{us.circle[:8]}.* under")
    us.relay.hostile = Hostile()
    us.beacon.relays.sync([us.relay])
    assert len(us.beacon.threads.open(item).posts) == 3


def test_p03_a_rollback_by_the_relay_that_appends_is_detected(us: Meeting) -> None:
    us.share()
    us.sync()
    us.relay.now += 100
    us.relay.hostile.rolled_back = {us.circle: us.relay.view.trail(us.circle).size - 1}
    refused(us, "it is older")


@pytest.mark.parametrize("which", ["the network's log", "a circle's log"])
def test_p03_a_checkpoint_that_the_relay_that_appends_signed_before_is_refused(us: Meeting, which: str) -> None:
    """Its time is right, and a mirror may show it; whoever appends has no reason to."""
    log = us.circle if which == "a circle's log" else us.beacon.net
    old = us.relay.note(log)
    us.relay.now += 100
    us.share()
    us.aurora.members.pledge(PLEDGE, text(NOW + YEAR))
    us.sync()
    us.relay.hostile.frozen_at = {log: old}
    refused(us, "it is older")
    us.relay.hostile = Hostile()
    us.beacon.relays.sync([us.relay])


def test_p03_a_relay_that_loses_everything_is_detected(us: Meeting) -> None:
    us.sync()
    us.relay.hostile.nothing = True
    refused(us, "no longer shows it")


def test_p03_a_mirror_may_be_behind(us: Meeting) -> None:
    mirror = us.relay.mirror()
    item = us.share()
    us.sync()
    report = us.beacon.relays.sync([mirror, us.relay])
    assert not report.failed
    mirror.refresh()
    us.beacon.threads.post(item, "over the one that appends, seen through the other")
    us.beacon.relays.sync([us.relay])
    mirror.refresh()
    us.aurora.relays.sync([mirror])
    assert [post.text for post in us.aurora.threads.open(item).posts] == [
        "over the one that appends, seen through the other"
    ]


def test_p04_two_histories_are_detected_once_the_sides_share_one_relay(us: Meeting) -> None:
    us.split()
    with pytest.raises(ForkedLogError) as caught:
        us.beacon.relays.sync([us.relay])
    proof = caught.value.proof
    assert proof.log == us.circle and us.beacon.view.forks == {us.circle: proof}
    assert proves_fork(proof, log_key("keeper").public)
    us.reopen("beacon")
    assert us.beacon.view.forks == {us.circle: proof}
    with pytest.raises(LogError, match="is frozen"):
        us.beacon.members.rotate("evals")
    assert us.circle in told(us.beacon, us.relay).imported.skipped


@pytest.mark.parametrize("order", [1, -1])
def test_p04_a_fork_between_two_relays_is_found_in_either_order(us: Meeting, order: int) -> None:
    us.sync()
    theirs = us.relay.forked()
    us.share(b"ours")
    us.aurora.relays.sync([us.relay])
    us.aurora.threads.post(us.aurora.findings.listed()[0].id, "and longer")
    us.aurora.relays.sync([us.relay])
    us.beacon.members.rotate("evals")
    theirs.append(us.circle, us.beacon._desk.state.outbox[0].envelope)
    with pytest.raises(ForkedLogError) as caught:
        us.beacon.relays.sync([us.relay, theirs][::order])
    assert proves_fork(caught.value.proof, log_key("keeper").public)


def test_p04_a_fork_is_found_by_a_bundle_too(us: Meeting) -> None:
    us.split()
    with pytest.raises(ForkedLogError):
        carried(us.aurora, us.beacon)
    assert us.circle in us.beacon.view.forks


def test_p30_a_bundle_says_which_logs_were_left_aside(us: Meeting) -> None:
    us.split()
    with pytest.raises(ForkedLogError):
        carried(us.aurora, us.beacon)
    assert carried(us.aurora, us.beacon).skipped == (us.circle,)


def test_p05_a_withheld_tail_is_stale_within_the_limit_and_blocks_sealing(us: Meeting) -> None:
    us.sync()
    us.relay.hostile.frozen_at = {log: us.relay.note(log) for log in us.relay.logs}
    item = us.share()
    us.aurora.relays.sync([us.relay])
    us.clock.now = us.relay.now = NOW + WEEK + 1
    us.beacon.relays.sync([us.relay])
    assert us.beacon.findings.listed() == ()
    with pytest.raises(RefusedError, match="stale since"):
        us.beacon.members.rotate("evals")
    us.relay.hostile = Hostile()
    us.beacon.relays.sync([us.relay])
    assert us.beacon.findings.open(item)
    us.beacon.members.rotate("evals")


def test_a_relay_that_answers_too_much_or_withholds_is_refused(us: Meeting) -> None:
    us.share()
    us.aurora.relays.sync([us.relay])
    us.relay.hostile.too_much = True
    refused(us, "withholds or invents|gives")
    us.relay.hostile = Hostile(withheld=set())
    us.relay.hostile.withheld = {us.circle}
    assert told(us.beacon, us.relay).hidden == (us.circle,)


def test_a_piece_without_end_is_not_kept(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    name = us.relay.view.circle(us.circle).entries[item].body.pieces[0]
    real = us.relay.pieces[name]
    us.relay.pieces[name] = real + bytes(2 * PIECE)
    assert name in told(us.beacon, us.relay).imported.missing
    assert sum(path.stat().st_size for path in (us.folder / "beacon" / "incoming").rglob("*")) == 0
    us.relay.pieces[name] = real
    us.beacon.relays.sync([us.relay])
    assert us.beacon.findings.open(item)


def test_a_relay_is_not_asked_for_pieces_of_a_log_that_it_does_not_show(us: Meeting) -> None:
    """An org that has left a circle may still lack pieces of it, and is refused them."""
    item = us.share()
    us.aurora.relays.sync([us.relay])
    (name,) = us.relay.view.circle(us.circle).entries[item].body.pieces
    us.relay.hostile.withheld = {name}
    us.beacon.relays.sync([us.relay])
    us.relay.hostile.withheld = {us.circle}
    us.relay.asked.clear()
    report = told(us.beacon, us.relay)
    assert report.hidden == (us.circle,) and report.imported.missing == (name,)
    assert us.relay.asked == ["heads"]
