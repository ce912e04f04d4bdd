"""A peer that lies, drips or hangs costs a relay that peer, and nothing else."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.test_rosters import successor
from network.world import World, circled, device, log_key

from darklantern.errors import LogError, RecordError, SignatureError
from darklantern.logs import checkpoint
from darklantern.network.heads import origin, sign_head
from darklantern.network.reading import leaf_id
from darklantern.network.view import View, append
from darklantern.records.exact import encode
from darklantern.relay import peers
from darklantern.relay.peers import PeerClient, PeerError
from darklantern.relay.taking import ForkSeenError, head_of, take

from .lying import Lies, lying
from .running import Running, load, relay, relay_key
from .test_peers import eventually

MOST = 1 << 20


@pytest.fixture
def world() -> tuple[World, str]:
    return circled()


@pytest.fixture
def peer() -> Iterator[tuple[Lies, PeerClient]]:
    with lying(Lies(relay_key("liar"))) as lies:
        client = PeerClient(lies.card, relay_key("keeper"), "0" * 64)
        yield lies, client
        client.close()


@pytest.fixture
def beside(world: tuple[World, str], tmp_path: Path) -> Iterator[tuple[Running, Lies]]:
    """A relay that asks a liar, which has said nothing yet."""
    with lying(Lies(relay_key("liar"))) as lies, relay(tmp_path / "relay", world[0].net, keeper="keeper") as running:
        running.setting("pull_s = 1")
        (running.folder / "liar.json").write_bytes(encode(lies.card))
        running.setting('[[peers]]\nname = "liar"\ncard = "liar.json"')
        load(running, world[0])
        yield running, lies


# What counts as proof


def test_other_entries_than_were_signed_are_the_peer_s_fault(
    peer: tuple[Lies, PeerClient], world: tuple[World, str]
) -> None:
    (lies, client), (net, circle) = peer, world
    before = net.view
    net.add(net.post(circle, "ada")[0], circle)
    head = net.head(circle)
    lies.entries = {circle: [net.logs[circle][0]] * head.size}
    with pytest.raises(LogError) as caught:
        take(before, circle, head, client, (net.copy().head(circle).note,), MOST)
    assert not isinstance(caught.value, ForkSeenError)


def test_a_head_that_nobody_signed_is_no_proof_either(peer: tuple[Lies, PeerClient], world: tuple[World, str]) -> None:
    (_, client), (net, circle) = peer, world
    other = checkpoint.Checkpoint(origin(log_key("keeper").public, circle), 1, bytes(32))
    note = checkpoint.sign(other, log_key("somebody"), 1)
    with pytest.raises(Exception, match="signature"):
        head_of(net.view, circle, note, client, MOST)


@pytest.mark.parametrize("longer", [False, True])
def test_two_signed_heads_that_contradict_each_other_are(
    peer: tuple[Lies, PeerClient], world: tuple[World, str], longer: bool
) -> None:
    (lies, client), (net, circle) = peer, world
    mine, theirs = net.copy(), net.copy()
    mine.add(mine.post(circle, "ada", "here")[0], circle)
    for text in ("there", "and more")[: 1 + longer]:
        theirs.add(theirs.post(circle, "ada", text)[0], circle)
    lies.entries = {circle: theirs.logs[circle]}
    with pytest.raises(ForkSeenError) as caught:
        take(mine.view, circle, theirs.head(circle), client, (mine.head(circle).note,), MOST)
    assert caught.value.key == log_key("keeper").public


def test_what_is_new_is_taken_from_wherever_the_log_has_come_meanwhile(
    peer: tuple[Lies, PeerClient], world: tuple[World, str]
) -> None:
    (lies, client), (net, circle) = peer, world
    views: list[View] = [net.view]
    for number in range(4):
        net.add(net.post(circle, "ada", f"post {number}")[0], circle)
        views.append(net.view)
    lies.entries = net.logs
    taken = take(views[0], circle, net.head(circle), client, (), MOST)
    assert taken is not None
    for view in views:
        for entry in taken.beyond(view.trail(circle).frontier):
            view = append(view, circle, entry.envelope)
        assert view.trail(circle).frontier == net.view.trail(circle).frontier
    elsewhere = append(views[0], circle, net.logs[circle][0])
    assert taken.beyond(elsewhere.trail(circle).frontier) == ()
    assert taken.beyond(View(net.net).trail(circle).frontier) == ()


def test_a_log_without_end_is_left(peer: tuple[Lies, PeerClient], world: tuple[World, str]) -> None:
    (lies, client), (net, circle) = peer, world
    said = checkpoint.Checkpoint(origin(log_key("keeper").public, circle), 1 << 50, bytes(32))
    head = head_of(net.view, circle, checkpoint.sign(said, log_key("keeper"), 1), client, MOST)
    assert head is not None
    lies.entries = {circle: [net.logs[circle][0]] * 10_000}
    with pytest.raises(LogError, match="did not end"):
        take(net.view, circle, head, client, (), MOST)
    assert len(lies.asked) < 10


def test_a_dripping_answer_is_cut_off(peer: tuple[Lies, PeerClient], monkeypatch: pytest.MonkeyPatch) -> None:
    lies, client = peer
    lies.drips = "heads"
    monkeypatch.setattr(peers, "_TIMEOUT_S", 0.1)
    monkeypatch.setattr(peers, "BYTES_A_SECOND", 1e6)
    with pytest.raises(PeerError):
        client.heads()
    lies.drips = ""
    assert client.heads() == {}


def test_a_closed_connection_is_never_opened_again_unpinned(peer: tuple[Lies, PeerClient]) -> None:
    connection = peers.connect(peer[0].url, None)
    connection.close()
    with pytest.raises(peers.http.client.NotConnected):
        connection.request("GET", "/v1/heads")


def test_the_network_s_log_is_another_key_s_only_by_a_roster_that_counts(
    peer: tuple[Lies, PeerClient], world: tuple[World, str]
) -> None:
    (lies, client), (net, _) = peer, world
    key = log_key("liar").public
    net.add(successor(net, "network Aurora", "network Beacon", moving=key))
    before, moved = net.view, {"log": key, "final": net.head(net.net).note, "moving": None}
    forged = net.copy()
    forged.put(encode(successor(net, "network Aurora", **moved)), net.net)
    net.add(successor(net, "network Aurora", "network Beacon", **moved))
    for after, counts in ((forged, False), (net, True)):
        lies.entries = {net.net: after.logs[net.net]}
        head = sign_head(after.view.trail(net.net), net.net, log_key("liar"), 1)
        if counts:
            assert head_of(before, net.net, head.note, client, MOST) == head
        else:
            with pytest.raises((LogError, SignatureError)):
                head_of(before, net.net, head.note, client, MOST)


# A relay beside a liar


@pytest.mark.parametrize("drips", ["heads", "entries"])
def test_a_peer_that_hangs_holds_nobody_up(beside: tuple[Running, Lies], world: tuple[World, str], drips: str) -> None:
    (running, lies), (net, circle) = beside, world
    said = checkpoint.Checkpoint(origin(log_key("keeper").public, circle), 1 << 50, bytes(32))
    lies.notes, lies.drips = {circle: checkpoint.sign(said, log_key("keeper"), int(time.time()))}, drips
    eventually(lambda: any(drips in path for path in lies.asked))
    ada = running.client(device("ada"))
    for _ in range(3):
        post, pieces = net.post(circle, "ada")
        assert ada.post(circle, [post], pieces.values()).status == 200
        net.add(post, circle)
    assert ada.entries(circle) == net.logs[circle]
    running.kill()
    running.start()
    assert running.client(device("bo")).entries(circle) == net.logs[circle]


def test_garbage_under_a_true_head_freezes_nothing(beside: tuple[Running, Lies], world: tuple[World, str]) -> None:
    (running, lies), (net, circle) = beside, world
    longer = net.copy()
    longer.add(longer.post(circle, "ada", "elsewhere")[0], circle)
    head = sign_head(longer.view.trail(circle), circle, log_key("keeper"), int(time.time()))
    lies.entries = {circle: [net.logs[circle][0]] * head.size}
    lies.notes = {circle: head.note, net.net: b"no note"}
    eventually(lambda: running.log().count('"event": "peer"') >= 2)
    post, pieces = net.post(circle, "ada")
    assert running.client(device("ada")).post(circle, [post], pieces.values()).status == 200


def test_p20_nothing_that_a_peer_writes_comes_out_in_the_log(
    beside: tuple[Running, Lies], world: tuple[World, str]
) -> None:
    """Errors quote what did not read, for who can act on it; a log is read by others too."""
    (running, lies), (net, circle) = beside, world
    longer = net.copy()
    longer.add(longer.post(circle, "ada", "elsewhere")[0], circle)
    head = sign_head(longer.view.trail(circle), circle, log_key("keeper"), int(time.time()))
    odd = [*net.logs[circle], b'{"xylophonecanary":1}']
    lies.entries, lies.notes = {circle: odd}, {circle: head.note}
    with pytest.raises(RecordError, match="xylophonecanary"):
        leaf_id(odd[-1])
    eventually(lambda: running.log().count('"event": "peer"') >= 1)
    assert "RecordError" in running.log() and "canary" not in running.log()
    assert not re.search(r"[0-9a-f]{9,}", running.log())


def test_its_own_key_s_second_history_stops_it(beside: tuple[Running, Lies], world: tuple[World, str]) -> None:
    (running, lies), (net, circle) = beside, world
    other, ada = net.copy(), running.client(device("ada"))
    post, pieces = net.post(circle, "ada", "here")
    assert ada.post(circle, [post], pieces.values()).status == 200
    net.add(post, circle)
    other.add(other.post(circle, "ada", "there")[0], circle)
    lies.notes = {circle: sign_head(other.view.trail(circle), circle, log_key("keeper"), int(time.time())).note}
    late, pieces = net.post(circle, "ada", "late")
    eventually(lambda: "ForkSeenError" in running.log() and '"frozen"' in running.log())
    refused = ada.post(circle, [late], pieces.values())
    assert (refused.status, "two histories" in refused.json["error"]) == (503, True)
    assert "two histories" not in running.log()  # who asks is told why; the log says that it is so (P20)
    assert ada.entries(circle) == net.logs[circle]
