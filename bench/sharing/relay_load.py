"""`relay_load`: small sealed puts a second through one relay with PostgreSQL, and what a kill -9 loses.

    python bench/sharing/relay_load.py --devices 64 --seconds 10 --rate 2000

Each put is one request with one sealed post (record and piece, about 2 KB each) of one device, which waits for the
answer before it sends its next. The relay, PostgreSQL and this client share the machine's cores. With --rate, puts
are due at fixed times, and latency counts from when a put was due, so that a slow relay cannot hide.
"""

import argparse
import contextlib
import json
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from network.world import NOW, circled, device, person  # noqa: E402
from relay.running import Running, load, relay  # noqa: E402
from relay.servers import postgres  # noqa: E402

from darklantern.logs import frames  # noqa: E402
from darklantern.logs.stream import Frame, Kind  # noqa: E402
from darklantern.network.authoring import authored  # noqa: E402
from darklantern.network.items import Binding, Posting, seal_content  # noqa: E402
from darklantern.network.reading import leaf_id  # noqa: E402
from darklantern.records.posts import Post  # noqa: E402
from darklantern.sealing import Recipient  # noqa: E402


def main() -> None:
    options = _options()
    world, circle = circled()
    names = [f"load-{number}" for number in range(options.devices)]
    world.manifest("Aurora", person("ada", "ada", "ada's phone", *names), person("al"))
    world.rotate(circle, "ada")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        running = stack.enter_context(
            relay(folder / "relay", world.net, server.new_database("load"), keeper="keeper", tls=options.tls)
        )
        running.setting(f"workers = {options.workers}")
        running.setting("[limits]\nlogins_a_minute = 100000")
        load(running, world)
        puts = options.rate * options.seconds if options.rate else options.puts
        chains = [_chain(world, circle, name, -(-puts // options.devices)) for name in names]
        tokens = [running.client(device(name)).token for name in names]
        requests = [
            [_request(circle, token, body) for body in chain] for token, chain in zip(tokens, chains, strict=True)
        ]
        before = _cpu(running, server.folder)
        latencies, took = _drive(running, requests, options.rate, options.tls)
        after = _cpu(running, server.folder)
        count = len(latencies)
        latencies.sort()
        found = {
            "puts": count,
            "puts_a_second": round(count / took),
            "p50_ms": round(1000 * statistics.median(latencies), 1),
            "p99_ms": round(1000 * latencies[int(count * 0.99)], 1),
            "max_ms": round(1000 * latencies[-1], 1),
            "request_bytes": len(requests[0][0]),
            "relay_us": round(1e6 * (after[0] - before[0]) / count),
            "postgres_us": round(1e6 * (after[1] - before[1]) / count),
            "load": os.getloadavg()[0],
        }
        ada = running.client(device("ada"))
        metrics = ada.ask(
            "GET", "/metrics", headers={"Authorization": f"Bearer {(running.folder / 'metrics.token').read_text()}"}
        )
        groups = next(line for line in metrics.body.decode().splitlines() if "append_groups" in line).split()[-1]
        found["puts_a_group"] = round(count / float(groups), 1)
        print(json.dumps(found))


def _chain(world, circle: str, name: str, count: int) -> list[bytes]:
    """Posts of one device, each after the one before, as request bodies."""
    epoch = world.view.circle(circle).epoch
    recipient, made, after = Recipient.parse(epoch.body.recipient), [], None
    author = device(name)
    binding = Binding("post", circle, epoch.id, author.public.id, "V2")
    for number in range(count):
        body, pieces = seal_content(Posting(content=Post(thread="0" * 64, text=f"{name} {number}")), binding, recipient)
        record = authored(world.view, circle, "post", body, author, after, NOW)
        after = (number, leaf_id(record))
        made.append(frames.pack([Frame(Kind.ENTRY, record), *(Frame(Kind.BLOB, p) for p in pieces.values())]))
    return made


def _request(circle: str, token: str, body: bytes) -> bytes:
    return (
        f"POST /v1/logs/{circle}/records HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _drive(running: Running, requests: list[list[bytes]], rate: int, tls: bool) -> tuple[list[float], float]:
    """Send all; latencies and the time that it took."""
    selector = selectors.DefaultSelector()
    port = int(running.card.urls[0].rpartition(":")[2])
    sockets = []
    for chain in requests:
        sock = socket.create_connection(("127.0.0.1", port))
        if tls:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append((sock, iter(chain)))
        selector.register(sock, selectors.EVENT_READ, len(sockets) - 1)
    idle = list(range(len(sockets)))
    due: dict[int, float] = {}
    latencies: list[float] = []
    total = sum(map(len, requests))
    began = time.perf_counter()
    sent = 0
    while len(latencies) < total:
        now = time.perf_counter()
        while idle and sent < total and (not rate or began + sent / rate <= now):
            at = idle.pop(0)
            data = next(sockets[at][1], None)
            if data is None:
                continue
            due[at] = began + sent / rate if rate else now
            sent += 1
            sockets[at][0].sendall(data)
        wait = max(0.0, began + sent / rate - time.perf_counter()) if rate and idle and sent < total else 1.0
        for key, _ in selector.select(wait):
            answer = key.fileobj.recv(65536)
            assert b" 200 OK" in answer and b'"refused":null' in answer, answer
            latencies.append(time.perf_counter() - due.pop(key.data))
            idle.append(key.data)
    return latencies, time.perf_counter() - began


def _cpu(running: Running, cluster: Path) -> tuple[float, float]:
    """Seconds of processor time of the relay and of PostgreSQL, children that are there included."""
    mine, theirs = 0.0, 0.0
    group = os.getpgid(running.process.pid)
    leader = int((cluster / "data" / "postmaster.pid").read_text().split()[0])
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if int(fields[2]) == group:
                mine += ticks
            elif int(fields[1]) == leader or int(entry.name) == leader:
                theirs += ticks
    return mine, theirs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=64)
    parser.add_argument("--puts", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=0, help="puts a second; 0: as fast as answers come")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--folder", help="where the relay's folder goes; the system's temporary one by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
