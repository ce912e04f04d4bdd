"""Two relays of one network: one mirrors the other, cosigns its logs, and gives them back when they are lost."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from network.test_rosters import successor
from network.world import NOW, PLEDGE, YEAR, World, circled, device

from darklantern.logs import add_checkpoint, checkpoint, merkle
from darklantern.logs.witness import cosigned
from darklantern.network import Pledge, new_terms
from darklantern.network.clock import text
from darklantern.network.deleting import Tombstone
from darklantern.network.heads import origin
from darklantern.network.rosters import Relay
from darklantern.records.exact import encode
from darklantern.relay.stores import open_database

from .running import Running, load, relay, relay_key

WAIT_S = 20


@pytest.fixture
def world() -> tuple[World, str]:
    return circled()


@pytest.fixture
def pair(world: tuple[World, str], tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """An appender, and a mirror that knows it and that it knows."""
    net = world[0].net
    with (
        relay(tmp_path / "appender", net, keeper="keeper") as appender,
        relay(tmp_path / "mirror", net, keeper="mirror") as mirror,
    ):
        for one, other in ((appender, mirror), (mirror, appender)):
            one.setting("pull_s = 1")
            (one.folder / "peer.json").write_bytes(encode(other.card))
            one.setting('[[peers]]\nname = "other"\ncard = "peer.json"')
        load(appender, world[0])
        mirror.start()
        yield appender, mirror


def test_a_mirror_has_all_and_cosigns_it(pair: tuple[Running, Running], world: tuple[World, str]) -> None:
    (appender, mirror), (net, circle) = pair, world
    post, pieces = net.post(circle, "ada", "x" * 300_000)
    ada = appender.client(device("ada"))
    assert ada.post(circle, [post]).status == 200
    for piece in pieces.values():
        assert ada.put(circle, piece).status == 204
    net.add(post, circle)
    bo = mirror.client(device("bo"))
    eventually(lambda: bo.entries(circle) == net.logs[circle])
    for name, piece in pieces.items():
        eventually(lambda name=name, piece=piece: bo.get(circle, name).body == piece)
    witness = mirror.card.public
    names = {witness.witness_name: witness.witness}
    for log in (net.net, circle):
        eventually(lambda log=log: [who for who, _ in cosigned(ada.heads()[log], names)] == [*names])
    refused = bo.post(circle, [post])
    assert refused.status == 409
    assert net.view.log_key(circle).id in refused.json["error"]


def test_a_peer_s_blobs_that_have_no_room_here_hold_up_nothing_but_themselves(
    world: tuple[World, str], tmp_path: Path
) -> None:
    net, circle = world
    other = net.circle(terms=new_terms("other", "V2", ("use:safety-only",)).commitment)
    net.rotate(other, "ada")
    circles = sorted((circle, other))
    with (
        relay(tmp_path / "appender", net.net, keeper="keeper") as appender,
        relay(tmp_path / "mirror", net.net, keeper="mirror") as mirror,
    ):
        for one, other_relay in ((appender, mirror), (mirror, appender)):
            one.setting("pull_s = 1")
            (one.folder / "peer.json").write_bytes(encode(other_relay.card))
        mirror.setting("[limits]\norg_bytes = 1000\npeer_bytes = 500000")
        for one in (appender, mirror):
            one.setting('[[peers]]\nname = "other"\ncard = "peer.json"')
        load(appender, net)
        mirror.start()
        ada, bo = appender.client(device("ada")), mirror.client(device("bo"))
        for log in circles:  # the first has more than there is room for, and the second is mirrored after it
            for size in (300_000, 300_000)[: 2 if log == circles[0] else 1]:
                post, pieces = net.post(log, "ada", os.urandom(size // 2).hex())
                assert ada.post(log, [post]).status == 200
                assert [ada.put(log, piece).status for piece in pieces.values()] == [204]
                net.add(post, log)
        token = (mirror.folder / "metrics.token").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        eventually(lambda: b"darklantern_mirrors_full 1" in bo.ask("GET", "/metrics", headers=headers).body)
        late = net.post(circles[1], "ada", "late")[0]
        assert ada.post(circles[1], [late]).status == 200
        net.add(late, circles[1])
        for log in circles:
            eventually(lambda log=log: bo.entries(log) == net.logs[log])


def test_a_restored_backup_is_noticed_and_healed_by_a_mirror(
    pair: tuple[Running, Running], world: tuple[World, str], tmp_path: Path
) -> None:
    (appender, mirror), (net, circle) = pair, world
    database = open_database(f"sqlite://{appender.folder}/relay.db")
    database.backup(tmp_path / "backup.db")
    database.close()
    post, pieces = net.post(circle, "ada")
    appender.client(device("ada")).post(circle, [post], pieces.values())
    net.add(post, circle)
    bo = mirror.client(device("bo"))
    eventually(lambda: bo.entries(circle) == net.logs[circle])
    eventually(lambda: b'"' + circle.encode() in (appender.folder / "signed.json").read_bytes())
    eventually(lambda: f"[{len(net.logs[circle])}," in (appender.folder / "signed.json").read_text())
    # The backup comes back while no mirror is there: nothing may be appended.
    appender.stop()
    mirror.stop()
    for file in appender.folder.glob("relay.db*"):
        file.unlink()
    (tmp_path / "backup.db").rename(appender.folder / "relay.db")
    appender.start()
    ada = appender.client(device("ada"))
    late, late_pieces = net.post(circle, "ada", "later")
    assert ada.entries(circle) == net.logs[circle][:-1]
    refused = ada.post(circle, [late], late_pieces.values())
    assert refused.status == 503
    assert "older backup" in refused.json["error"]
    # The mirror comes back, and with it what was lost.
    mirror.start()
    eventually(lambda: ada.entries(circle) == net.logs[circle])
    eventually(lambda: ada.post(circle, [late], late_pieces.values()).status == 200)
    net.add(late, circle)
    bo = mirror.client(device("bo"))
    eventually(lambda: bo.entries(circle) == net.logs[circle])


def test_a_witness_answers_as_c2sp_says(pair: tuple[Running, Running], world: tuple[World, str]) -> None:
    (appender, mirror), (net, circle) = pair, world
    keeper = mirror.client(relay_key("keeper"))
    note = appender.client(device("ada")).heads()[circle]
    key = net.view.log_key(circle)
    leaves = [merkle.leaf_hash(bytes.fromhex(id)) for id in net.view.trail(circle).ids]

    def ask(old: int, proof: tuple[bytes, ...] = (), said: bytes = note) -> add_checkpoint.Response:
        body = add_checkpoint.encode_request(add_checkpoint.Request(old, proof, said))
        reply = keeper.ask("POST", "/v1/witness/add-checkpoint", body)
        return add_checkpoint.Response(reply.status, reply.body, reply.headers["content-type"])

    size = len(leaves)
    bo = mirror.client(device("bo"))
    eventually(lambda: len(bo.entries(circle)) == size)
    eventually(lambda: ask(size).status == 200)  # once the mirror has cosigned it by itself
    wrong = ask(0)
    assert add_checkpoint.read_response(wrong) == size
    assert ask(size, (b"x" * 32,)).status == 422
    other = note.replace(origin(key, circle).encode(), origin(key, "0" * 64).encode())
    assert ask(0, (), other).status == 404
    assert keeper.ask("POST", "/v1/witness/add-checkpoint", b"old x\n\n").status == 400


def test_only_witnesses_that_are_known_may_cosign(pair: tuple[Running, Running], world: tuple[World, str]) -> None:
    (appender, mirror), (_, circle) = pair, world
    ada = appender.client(device("ada"))
    path = f"/v1/logs/{circle}/cosignatures"
    assert ada.ask("POST", path, b"line\n").status == 403
    peer = appender.client(relay_key("mirror"))
    assert peer.ask("POST", path, b"no line").status == 400
    names = {mirror.card.public.witness_name: mirror.card.public.witness}
    eventually(lambda: len(cosigned(ada.heads()[circle], names)) == 1)
    line = ada.heads()[circle].splitlines(keepends=True)[-1]
    assert peer.ask("POST", path, line).status == 204
    damaged = line[:-20] + (b"A" if line[-20:-19] != b"A" else b"B") + line[-19:]
    assert peer.ask("POST", path, damaged).status in (400, 409)
    assert len(cosigned(ada.heads()[circle], names)) == 1


def test_the_roster_names_the_relays_that_mirror_and_cosign(tmp_path: Path) -> None:
    """The appender's settings name nobody; and what is taken back there goes at the mirror too."""
    net, circle = circled()
    with (
        relay(tmp_path / "appender", net.net, keeper="keeper") as appender,
        relay(tmp_path / "mirror", net.net, keeper="mirror") as mirror,
    ):
        relays = (
            Relay(name="first", org="Aurora", card=appender.card),
            Relay(name="second", org="Beacon", card=mirror.card),
        )
        net.add(successor(net, "network Aurora", "network Beacon", relays=relays))
        for one in (appender, mirror):
            one.setting("pull_s = 1")
        (mirror.folder / "first.json").write_bytes(encode(appender.card))  # a mirror must be told where to begin
        mirror.setting('[[peers]]\nname = "first"\ncard = "first.json"')
        load(appender, net)
        mirror.start()
        ada, bo = appender.client(device("ada")), mirror.client(device("bo"))
        post, pieces = net.post(circle, "ada", "x" * 300_000)
        assert all(ada.put(circle, piece).status == 204 for piece in pieces.values())
        assert ada.post(circle, [post]).status == 200
        target = net.add(post, circle)
        for name in pieces:
            eventually(lambda name=name: bo.get(circle, name).status == 200)
        names = {mirror.card.public.witness_name: mirror.card.public.witness}
        eventually(lambda: len(cosigned(ada.heads()[circle], names)) == 1)
        asked = net.sign(circle, "tombstone", Tombstone(target=target), "ada")
        assert ada.post(circle, [asked]).json["results"][0]["refused"] is None
        for name in pieces:
            eventually(lambda name=name: bo.get(circle, name).status == 404)


def test_a_circle_s_log_moves_to_another_relay(pair: tuple[Running, Running], world: tuple[World, str]) -> None:
    (appender, mirror), (net, circle) = pair, world
    ada, bo = appender.client(device("ada")), mirror.client(device("bo"))
    before, pieces = net.post(circle, "ada", "before")
    assert ada.post(circle, [before], pieces.values()).status == 200
    net.add(before, circle)
    announced = encode(net.successor(circle, "ada", "bo", moving=mirror.card.public.log))
    assert ada.post(net.net, [announced]).json["results"][0]["refused"] is None
    net.add(announced)
    late, late_pieces = net.post(circle, "ada", "after")
    assert "about to move" in ada.post(circle, [late], late_pieces.values()).json["results"][0]["refused"]
    changes = {"log": mirror.card.public.log, "final": ada.heads()[circle], "moving": None}
    moved = encode(net.successor(circle, "ada", "bo", **changes))
    assert ada.post(net.net, [moved]).json["results"][0]["refused"] is None
    net.add(moved)
    assert ada.post(circle, [late], late_pieces.values()).status == 409
    # The new appender takes it once it has mirrored the record that moves the log.
    after, after_pieces = net.post(circle, "ada", "after")
    ada_there = mirror.client(device("ada"))
    eventually(lambda: ada_there.post(circle, [after], after_pieces.values()).status == 200)
    net.add(after, circle)
    assert bo.entries(circle) == net.logs[circle]
    said = checkpoint.verify(bo.heads()[circle], origin(mirror.card.public.log, circle), mirror.card.public.log)[0]
    assert said.size == len(net.logs[circle])
    eventually(lambda: ada.entries(circle) == net.logs[circle])  # now the old one mirrors


def test_the_network_s_log_moves_to_another_relay(pair: tuple[Running, Running], world: tuple[World, str]) -> None:
    (appender, mirror), (net, _) = pair, world
    old, new = appender.client(device("ada")), mirror.client(device("ada"))
    key, final = mirror.card.public.log, old.heads()[net.net]
    announced = encode(successor(net, "network Aurora", "network Beacon", moving=key))
    assert old.post(net.net, [announced]).json["results"][0]["refused"] is None
    net.add(announced)
    late = net.sign(net.net, "pledge", Pledge(org="Aurora", person="ada", pledge=PLEDGE, until=text(NOW + YEAR)), "ada")
    assert "about to move" in old.post(net.net, [late]).json["results"][0]["refused"]
    changes = {"log": key, "final": old.heads()[net.net], "moving": None}
    moved = encode(successor(net, "network Aurora", "network Beacon", **changes))
    assert old.post(net.net, [moved]).json["results"][0]["position"] is None
    # The new appender takes it once it has mirrored what announces it. A checkpoint from before that moves nothing.
    early = encode(successor(net, "network Aurora", "network Beacon", **(changes | {"final": final})))
    eventually(lambda: new.entries(net.net) == old.entries(net.net))
    assert new.post(net.net, [early]).json["results"][0]["position"] is None
    assert new.post(net.net, [moved]).json["results"][0]["refused"] is None
    said = checkpoint.verify(new.heads()[net.net], origin(key, net.net), key)[0]
    assert said.size == len(new.entries(net.net))
    # From there on the old one mirrors, and says who appends.
    eventually(lambda: old.entries(net.net) == new.entries(net.net))
    refused = old.post(net.net, [late])
    assert (refused.status, key.id in refused.json["error"]) == (409, True)


def eventually(true: Callable[[], bool]) -> None:
    """What relays do by themselves takes as long as it takes; the wait is bounded, and no time is asserted."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
