"""A relay as its users meet it: a process, sockets, TLS; over each database and each store of blobs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from network.world import World, circled, device

from darklantern.logs import checkpoint, merkle
from darklantern.network.deleting import Tombstone
from darklantern.network.heads import origin

from .running import Running, load, relay

MIB = 1024 * 1024


@pytest.fixture
def world() -> tuple[World, str]:
    return circled()


@pytest.fixture
def served(world: tuple[World, str], tmp_path: Path, database_url: str, blobs_url: str) -> Iterator[Running]:
    """The world's logs on a relay with the real stores."""
    with relay(tmp_path / "relay", world[0].net, database_url, blobs_url, keeper="keeper") as running:
        load(running, world[0])
        yield running


def test_what_one_device_sends_another_reads(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    ada, bo = served.client(device("ada")), served.client(device("bo"))
    post, pieces = net.post(circle, "ada")
    reply = ada.post(circle, [post], pieces.values())
    net.add(post, circle)
    ((result),) = reply.json["results"]
    assert result == {"id": net.view.trail(circle).ids[-1], "position": 1, "refused": None}
    assert bo.entries(circle) == net.logs[circle]
    assert bo.entries(net.net, 1, 3) == net.logs[net.net][1:3]
    for name, piece in pieces.items():
        assert bo.get(circle, name).body == piece
    notes = bo.heads()
    assert set(notes) == {net.net, circle}
    for log, note in notes.items():
        key = net.view.log_key(log)
        assert key
        said, _ = checkpoint.verify(note, origin(key, log), key)
        assert (said.size, said.root) == (net.view.trail(log).size, net.view.trail(log).roots[-1])


def test_the_same_again_is_answered_with_where_it_stands(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    ada = served.client(device("ada"))
    post, pieces = net.post(circle, "ada")
    first = ada.post(circle, [post], pieces.values())
    assert ada.post(circle, [post, post], pieces.values()).json["results"] == first.json["results"] * 2
    assert len(ada.entries(circle)) == 2


def test_a_record_may_come_before_its_blobs_and_after_them(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    ada = served.client(device("ada"))
    before, pieces = net.post(circle, "ada", "x" * 400_000)
    (name,), (piece,) = pieces.keys(), pieces.values()
    assert ada.ask("POST", f"/v1/logs/{circle}/missing", names(name)).json["names"] == [name]
    assert ada.put(circle, piece).status == 204
    assert ada.ask("POST", f"/v1/logs/{circle}/missing", names(name)).json["names"] == []
    assert ada.post(circle, [before]).json["results"][0]["refused"] is None
    net.add(before, circle)
    after, pieces = net.post(circle, "ada", "y" * 400_000)
    assert ada.post(circle, [after]).json["results"][0]["refused"] is None
    for name, piece in pieces.items():
        assert ada.get(circle, name).status == 404
        assert ada.put(circle, piece).status == 204
        got = ada.get(circle, name)
        assert (got.status, got.body) == (200, piece)


def test_blobs_are_served_by_ranges(served: Running, world: tuple[World, str]) -> None:
    _, circle = world
    ada = served.client(device("ada"))
    for size in (1000, 3 * MIB):
        data = bytes(range(256)) * (size // 256 + 1)
        name = blake3(data).hexdigest()
        assert ada.put(circle, data).status == 204
        for asked, start, stop in (("0-0", 0, 1), ("10-99", 10, 100), ("500-", 500, None), ("-7", -7, None)):
            got = ada.get(circle, name, Range=f"bytes={asked}")
            assert (got.status, got.body) == (206, data[start:stop])
            assert got.headers["content-range"].endswith(f"/{len(data)}")
        assert ada.get(circle, name, Range="bytes=0-0,5-9,0-99999").body == data  # one range or all of it
        assert ada.get(circle, name, Range=f"bytes={len(data)}-").status == 416
        head = ada.ask("HEAD", f"/v1/logs/{circle}/blobs/{name}")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(data)))


def test_it_ends_as_asked_and_begins_where_it_ended(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    post, pieces = net.post(circle, "ada")
    served.client(device("ada")).post(circle, [post], pieces.values())
    assert served.stop() == 0, served.log()
    served.start()
    ada = served.client(device("ada"))
    assert ada.entries(circle)[-1] == post
    assert merkle.root([merkle.leaf_hash(bytes.fromhex(id)) for id in net.view.trail(circle).ids])
    assert all(json.loads(line)["event"] for line in served.log().splitlines())


def names(*some: str) -> bytes:
    return json.dumps({"v": 1, "names": some}, separators=(",", ":")).encode()


def test_p26_what_is_taken_back_is_gone_from_the_relay(served: Running, world: tuple[World, str]) -> None:
    """P26: the blobs go with the tombstone that counts, small and large, and do not come back with the record."""
    net, circle = world
    ada, bo = served.client(device("ada")), served.client(device("bo"))
    for text in ("short", "long" * 100_000):
        post, pieces = net.post(circle, "ada", text)
        assert all(ada.put(circle, piece).status == 204 for piece in pieces.values())
        assert ada.post(circle, [post]).json["results"][0]["refused"] is None
        target = net.add(post, circle)
        asked = net.sign(circle, "tombstone", Tombstone(target=target), "bo")  # not bo's, and bo is no quorum
        net.put(asked, circle)
        assert bo.post(circle, [asked]).status == 200
        assert all(bo.get(circle, name).status == 200 for name in pieces)
        asked = net.sign(circle, "tombstone", Tombstone(target=target), "ada")
        net.put(asked, circle)
        assert ada.post(circle, [asked]).json["results"][0]["refused"] is None
        assert all(bo.get(circle, name).status == 404 for name in pieces)
        small = [piece for piece in pieces.values() if len(piece) < 65536]
        ada.post(circle, [post], small)
        assert all(bo.get(circle, name).status == 404 for name in pieces)
    assert bo.entries(circle) == net.logs[circle]
