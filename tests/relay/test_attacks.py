"""What strangers, members and other relays try on a relay. Each attack is named by what it tries."""

import http.client
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from network.world import World, circled, device, person

from darklantern.errors import RefusedError, StoreError
from darklantern.logs import frames
from darklantern.logs.stream import Frame, Kind
from darklantern.relay.config import Config, Limits, Peer, read_config
from darklantern.relay.keys import read_keys
from darklantern.relay.peers import PeerError, connect
from darklantern.relay.setting_up import check_address, make_relay
from darklantern.sealing import Device
from darklantern.sealing.login import TOKEN_S

from .asking import Asking
from .running import Running, load, relay, relay_key

MIB = 1024 * 1024
LIMITS = """[limits]
logins_a_minute = 1000
nonces = 40
header_s = 1
body_grace_s = 1
body_bytes_a_second = 1000000
requests_of_one = 4
"""


@pytest.fixture(scope="module")
def world() -> tuple[World, str]:
    """Cairn's cy is in the network and not in the circle's orgs."""
    world, circle = circled()
    world.manifest("Cairn", person("cy"))
    return world, circle


@pytest.fixture(scope="module")
def served(world: tuple[World, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with relay(tmp_path_factory.mktemp("attacked") / "relay", world[0].net, keeper="keeper") as running:
        running.setting(LIMITS)
        load(running, world[0])
        yield running


# Logging in


@pytest.mark.parametrize(
    "lie",
    [
        {"net": "0" * 64},
        {"relay": "0" * 64},
        {"nonce": bytes(32)},
        {"device": "0" * 64},
        {"expires": 1},
        {"expires": int(time.time()) + 10 * TOKEN_S},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_log_in_that_says_something_else_is_refused(served: Running, lie: dict[str, object]) -> None:
    ada = Asking(served.card, served.net, device("ada"))
    assert ada.ask("POST", "/v1/token", ada.login(ada.challenge(), **lie)).status == 401
    ada.close()


def test_a_nonce_counts_once_even_after_a_wrong_signature(served: Running) -> None:
    ada = Asking(served.card, served.net, device("ada"))
    challenge = ada.challenge()
    good = ada.login(challenge)
    assert ada.ask("POST", "/v1/token", good).status == 200
    assert ada.ask("POST", "/v1/token", good).status == 401
    challenge = ada.challenge()
    assert ada.ask("POST", "/v1/token", ada.login(challenge, net="0" * 64)).status == 401
    assert ada.ask("POST", "/v1/token", ada.login(challenge)).status == 401
    ada.close()


def test_a_device_that_the_network_does_not_list_is_told_what_a_liar_is_told(served: Running) -> None:
    stranger = Asking(served.card, served.net, Device.generate())
    refused = stranger.ask("POST", "/v1/token", stranger.login(stranger.challenge()))
    ada = Asking(served.card, served.net, device("ada"))
    lied = ada.ask("POST", "/v1/token", ada.login(ada.challenge(), net="0" * 64))
    assert (refused.status, refused.body) == (lied.status, lied.body)
    mirror = Asking(served.card, served.net, relay_key("somebody's"))
    assert mirror.ask("POST", "/v1/token", mirror.login(mirror.challenge())).status == 401
    for each in (stranger, ada, mirror):
        each.close()


@pytest.mark.parametrize("token", ["", "x", "é", "a" * 5000, "Bearer"])
def test_other_tokens_open_nothing(served: Running, world: tuple[World, str], token: str) -> None:
    asking = Asking(served.card, served.net)
    for path in ("/v1/heads", f"/v1/logs/{world[1]}/entries?start=0&stop=9", "/metrics"):
        reply = asking.ask("GET", path, headers={"Authorization": f"Bearer {token}".encode()})
        assert reply.status == 401
    assert asking.ask("GET", "/v1/heads").status == 401
    asking.close()


def test_the_token_of_a_revoked_device_ends(served: Running, world: tuple[World, str]) -> None:
    net, _ = world
    phone = served.client(device("ada's phone"))
    assert phone.ask("GET", "/v1/heads").status == 200
    before = len(net.logs[net.net])
    net.manifest("Aurora", person("ada"), person("al"), revoked=("ada's phone",))
    ada = served.client(device("ada"))
    assert ada.post(net.net, net.logs[net.net][before:]).json["results"][0]["refused"] is None
    assert phone.ask("GET", "/v1/heads").status == 401
    fresh = Asking(served.card, served.net, device("ada's phone"))
    assert fresh.ask("POST", "/v1/token", fresh.login(fresh.challenge())).status == 401
    fresh.close()


def test_nonces_do_not_fill_the_database(world: tuple[World, str], tmp_path: Path) -> None:
    with relay(tmp_path / "relay", world[0].net, keeper="keeper") as running:
        running.setting("[limits]\nnonces = 5\nlogins_a_minute = 20")
        running.start()
        asking = running.client()
        statuses = [asking.ask("POST", "/v1/nonce", b"").status for _ in range(60)]
    assert statuses.count(200) == 5
    assert set(statuses[5:40]) == {503}
    assert 429 in statuses


# Reading what is not one's own


def test_a_circle_s_log_is_closed_to_other_orgs(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    ada, cy = served.client(device("ada")), served.client(device("cy"))
    data = os.urandom(100)
    name = blake3(data).hexdigest()
    assert ada.put(circle, data).status == 204
    assert set(cy.heads()) == {net.net}
    post, pieces = net.post(circle, "ada")
    for reply in (
        cy.get(circle, name),
        cy.put(circle, data),
        cy.post(circle, [post], pieces.values()),
        cy.ask("GET", f"/v1/logs/{circle}/entries?start=0&stop=9"),
        cy.ask("POST", f"/v1/logs/{circle}/missing", b'{"v":1,"names":[]}'),
    ):
        assert reply.status == 403


def test_a_blob_of_one_log_is_not_found_through_another(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    ada, cy = served.client(device("ada")), served.client(device("cy"))
    for size in (100, 100_000):
        data = os.urandom(size)
        name = blake3(data).hexdigest()
        assert ada.put(circle, data).status == 204
        assert cy.get(net.net, name).status == 404
        asked = json.dumps({"v": 1, "names": [name]}, separators=(",", ":")).encode()
        assert cy.ask("POST", f"/v1/logs/{net.net}/missing", asked).json["names"] == [name]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/logs/" + "0" * 64 + "/entries?start=0&stop=1", 404),
        ("/v1/logs/../../etc/passwd", 404),
        ("/v1/logs/LOG/blobs/../../../../etc/passwd", 405),
        ("/v1/logs/LOG/blobs/%2e%2e%2fkeys", 405),
        ("/v1/logs/LOG/blobs/" + "0" * 63, 404),
        ("/v1/logs/LOG/blobs/" + "A" * 64, 404),
        ("/v1/logs/LOG/blobs/" + "0" * 64, 404),
        ("/v1/logs/LOG/entries", 400),
        ("/v1/logs/LOG/entries?start=-1&stop=1", 400),
        ("/v1/logs/LOG/entries?start=0&stop=" + "9" * 30, 400),
        ("/v1/logs/LOG/entries?start=9&stop=1", 200),
        ("/v1/logs/LOG/nothing", 405),
        ("/v1/nothing", 404),
        ("/", 404),
        ("/v1/heads/", 404),
    ],
)
def test_other_paths_are_refused_by_name(served: Running, world: tuple[World, str], path: str, status: int) -> None:
    reply = served.client(device("ada")).ask("GET", path.replace("LOG", world[1]))
    assert reply.status == status
    if status >= 400:
        assert set(reply.json) == {"v", "error", "hint"}


# Writing what does not belong


def test_records_that_do_not_fit_are_refused_one_by_one(served: Running, world: tuple[World, str]) -> None:
    net, circle = world
    ada = served.client(device("ada"))
    post, pieces = net.post(circle, "ada")
    flipped = post[:-100] + (b"A" if post[-100:-99] != b"A" else b"B") + post[-99:]
    reply = ada.post(circle, [b"{}", flipped, net.logs[net.net][-1], post], pieces.values())
    results = reply.json["results"]
    net.add(post, circle)
    assert [result["position"] is None for result in results[:2]] == [True, True]
    assert all(result["refused"] for result in results[:3])
    assert results[3] == {"id": net.view.trail(circle).ids[-1], "position": len(net.logs[circle]) - 1, "refused": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x04",
        b"\x04" + struct.pack(">Q", 1 << 40),
        b"\x04" + struct.pack(">Q", 10) + b"short",
        b"\xff" + struct.pack(">Q", 0),
        b"\x09" + struct.pack(">Q", 0),
        frames.pack([Frame(Kind.BLOB, b"x")]),
        frames.pack([Frame(Kind.BLOB, b"x"), Frame(Kind.ENTRY, b"{}")]),
        frames.pack([Frame(Kind.ENTRY, b"")] * 1001),
        frames.pack([Frame(Kind.ENTRY, b""), *[Frame(Kind.BLOB, b"")] * 1001]),
    ],
    ids=["nothing", "cut", "huge", "short", "trailer", "unknown", "no entry", "order", "many entries", "many blobs"],
)
def test_bytes_that_are_no_frames_are_malformed(served: Running, world: tuple[World, str], body: bytes) -> None:
    assert served.client(device("ada")).ask("POST", f"/v1/logs/{world[1]}/records", body).status == 400


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"v":1,"names":[],"more":1}', b'{"v": 1,"names":[]}', b'{"v":2,"names":[]}', b"[" * 10000, b"\xff"],
)
def test_json_that_is_not_exact_is_malformed(served: Running, world: tuple[World, str], body: bytes) -> None:
    assert served.client(device("ada")).ask("POST", f"/v1/logs/{world[1]}/missing", body).status == 400


def test_other_bytes_than_a_blob_s_name_says_are_never_served(served: Running, world: tuple[World, str]) -> None:
    _, circle = world
    ada = served.client(device("ada"))
    for size in (100, 100_000):
        name = blake3(os.urandom(size)).hexdigest()
        assert ada.put(circle, os.urandom(size), name).status == 400
        assert ada.get(circle, name).status == 404


def test_what_is_too_large_is_refused_before_it_is_read(served: Running, world: tuple[World, str]) -> None:
    _, circle = world
    ada = served.client(device("ada"))
    for path in (f"/v1/logs/{circle}/blobs/{'0' * 64}", f"/v1/logs/{circle}/records"):
        method = "PUT" if "blobs" in path else "POST"
        reply = ada.ask(method, path, b"", {"Content-Length": str(1 << 40)})
        assert reply.status == 413
        ada.close()
    large = frames.pack([Frame(Kind.ENTRY, b"{}"), Frame(Kind.BLOB, bytes(65537))])
    assert ada.ask("POST", f"/v1/logs/{circle}/records", large).status == 413
    chunked = ada.ask("PUT", f"/v1/logs/{circle}/blobs/{'0' * 64}", None, {"Transfer-Encoding": "chunked"})
    assert chunked.status == 411


# Holding it up


def test_headers_that_drip_are_cut_off(served: Running) -> None:
    for sent in (b"", b"GET /v1/health HTTP/1.1\r\nHos"):
        with raw(served) as wire:
            wire.sendall(sent) if sent else None
            assert wire.recv(100) == b""
    with raw(served) as wire:
        wire.sendall(b"GET /v1/health HTTP/1.1\r\n")
        with pytest.raises(OSError):
            while True:
                wire.sendall(b"x: " + b"y" * 1000 + b"\r\n")
    assert served.is_ready()


def test_a_body_that_drips_is_cut_off(served: Running, world: tuple[World, str]) -> None:
    ada = served.client(device("ada"))
    for method, path in (("POST", "/v1/token"), ("PUT", f"/v1/logs/{world[1]}/blobs/{'0' * 64}")):
        with raw(served) as wire:
            wire.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {ada.token}\r\n"
                "Content-Length: 1000\r\n\r\nabc".encode()
            )
            assert wire.recv(100).startswith(b"HTTP/1.1 408")


def test_one_device_holds_so_many_requests_and_no_more(served: Running, world: tuple[World, str]) -> None:
    ada = served.client(device("ada"))
    head = (
        f"PUT /v1/logs/{world[1]}/blobs/{'0' * 64} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {ada.token}\r\n"
        "Content-Length: 1000\r\n\r\nabc"
    ).encode()
    wires = [raw(served) for _ in range(12)]
    for wire in wires:
        wire.sendall(head)
    statuses = [wire.recv(100)[9:12] for wire in wires]
    for wire in wires:
        wire.close()
    assert set(statuses) == {b"408", b"429"}
    assert statuses.count(b"429") >= 8
    assert served.client(device("bo")).ask("GET", "/v1/heads").status == 200


@pytest.mark.parametrize("path", ["/v1/token", "/v1/heads"])
def test_a_stranger_with_a_token_of_their_own_making_holds_no_more_than_one_without(
    world: tuple[World, str], tmp_path: Path, path: str
) -> None:
    with relay(tmp_path / "relay", world[0].net, keeper="keeper") as running:
        running.setting("[limits]\nrequests = 8\nrequests_of_one = 4")
        load(running, world[0])
        ada = running.client(device("ada"))
        head = f"POST {path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer x\r\nContent-Length: 1000\r\n\r\nabc"
        wires = [raw(running) for _ in range(12)]
        for wire in wires:
            wire.sendall(head.encode())
        assert ada.ask("GET", "/v1/heads").status == 200
        for wire in wires:
            wire.close()


def test_tokens_that_do_not_count_are_not_looked_up_for_ever(world: tuple[World, str], tmp_path: Path) -> None:
    with relay(tmp_path / "relay", world[0].net, keeper="keeper") as running:
        running.setting("[limits]\nlogins_a_minute = 3")
        load(running, world[0])
        bo = running.client(device("bo"))
        liar = running.client()
        statuses = [
            liar.ask("GET", "/v1/heads", headers={"Authorization": f"Bearer {number}"}).status for number in range(20)
        ]
        assert bo.ask("GET", "/v1/heads").status == 200
    assert statuses[:6] == [401] * 6
    assert statuses.count(429) >= 10


def test_a_reader_who_does_not_read_is_let_go(served: Running, world: tuple[World, str]) -> None:
    _, circle = world
    ada = served.client(device("ada"))
    data = os.urandom(4 * MIB)
    assert ada.put(circle, data).status == 204
    request = (
        f"GET /v1/logs/{circle}/blobs/{blake3(data).hexdigest()} HTTP/1.1\r\nHost: relay\r\n"
        f"Authorization: Bearer {ada.token}\r\n\r\n"
    ).encode()
    wires = [raw(served) for _ in range(4)]
    for wire in wires:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.sendall(request)
    deadline = time.monotonic() + 30
    while ada.ask("GET", "/v1/heads").status == 429:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for wire in wires:
        wire.close()


def test_who_asks_too_often_is_told_when_to_come_back(world: tuple[World, str], tmp_path: Path) -> None:
    with relay(tmp_path / "relay", world[0].net, keeper="keeper", tls=False) as running:
        running.setting("[limits]\nrequests_a_second = 5")
        load(running, world[0])
        bo = running.client(device("bo"))
        replies = [bo.ask("GET", "/v1/heads") for _ in range(30)]
    assert {reply.status for reply in replies} == {200, 429}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status == 429)


def test_an_org_s_quota_ends_its_puts_and_nobody_else_s(world: tuple[World, str], tmp_path: Path) -> None:
    net, circle = circled()
    with relay(tmp_path / "relay", net.net, keeper="keeper") as running:
        running.setting("[limits]\norg_bytes = 200000")
        load(running, net)
        ada, bo = running.client(device("ada")), running.client(device("bo"))
        assert ada.put(circle, os.urandom(150_000)).status == 204
        full = ada.put(circle, os.urandom(100_000))
        assert (full.status, "quota" in full.json["error"]) == (507, True)
        assert ada.put(circle, os.urandom(60_000)).status == 507
        assert bo.put(circle, os.urandom(150_000)).status == 204
        post, pieces = net.post(circle, "ada", "x" * 30_000)
        assert ada.post(circle, [post], pieces.values()).status == 507
        assert len(bo.entries(circle)) == len(net.logs[circle])


# Where it listens, and who it is


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "8.8.8.8", "2001:4860:4860::8888", "224.0.0.1", "localhost", "x"])
def test_a_public_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(RefusedError):
        make_relay(tmp_path / "relay", "0" * 64, listen=address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "fd00::1", "100.64.0.1"])
def test_a_private_address_is_fine_and_a_public_one_takes_a_loud_word(tmp_path: Path, address: str) -> None:
    make_relay(tmp_path / "relay", "0" * 64, listen=address)
    path = tmp_path / "relay" / "relay.toml"
    path.write_text("allow_public_address = true\n" + path.read_text().replace(address, "0.0.0.0"))
    check_address(read_config(tmp_path / "relay"))
    path.write_text(path.read_text().replace("tls = true", "tls = false"))
    with pytest.raises(RefusedError, match="loopback only"):
        check_address(read_config(tmp_path / "relay"))


def test_only_the_pinned_certificate_is_spoken_to(served: Running, tmp_path: Path) -> None:
    other = make_relay(tmp_path / "other", "0" * 64)
    with pytest.raises(PeerError, match="certificate"):
        connect(served.card.urls[0], other.certificate)
    with pytest.raises(PeerError, match="https"):
        connect("http://10.0.0.1:1", None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)), raw(served, tls=False) as wire:
        context.wrap_socket(wire)


def test_settings_that_are_unknown_are_refused_and_keys_that_others_read_too(tmp_path: Path) -> None:
    make_relay(tmp_path, "0" * 64)
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    (tmp_path / "keys").chmod(0o640)
    with pytest.raises(StoreError, match="0640"):
        read_keys(tmp_path)
    path = tmp_path / "relay.toml"
    path.write_text("alow_public_address = true\n" + path.read_text())
    with pytest.raises(StoreError, match="alow_public_address"):
        read_config(tmp_path)


def test_metrics_name_orgs_at_most_and_ask_for_their_token(served: Running, world: tuple[World, str]) -> None:
    asking = served.client()
    token = (served.folder / "metrics.token").read_text()
    text = asking.ask("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}).body.decode()
    assert "darklantern_entries" in text
    net, circle = world
    for secret in (net.net, circle, device("ada").public.id, "ada"):
        assert secret[:8] not in text.replace("Bearer", "")


def raw(running: Running, tls: bool = True) -> socket.socket:
    """A bare connection."""
    connection = connect(running.card.urls[0], running.card.certificate) if tls else None
    if connection:
        assert isinstance(connection, http.client.HTTPConnection)
        wire = connection.sock
    else:
        wire = socket.create_connection(("127.0.0.1", int(running.card.urls[0].rpartition(":")[2])))
    wire.settimeout(20)
    return wire


def test_the_wire_s_page_names_each_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "spec" / "relay.md").read_text()
    for kind in (Config, Limits, Peer):
        assert [
            name for name in kind.__struct_fields__ if f"`{name}`" not in page and name not in ("peers", "limits")
        ] == []
