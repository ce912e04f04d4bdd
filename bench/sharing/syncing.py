"""Syncing with a relay on loopback, beside an rsync daemon; what a resumed sync costs, and one without news."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from library.meeting import PEOPLE, Meeting, met  # noqa: E402
from library.orgs import reopened  # noqa: E402
from relay.running import Running, free_port, load, relay  # noqa: E402

from darklantern.demo.founding import CIRCLE  # noqa: E402
from darklantern.library import Library  # noqa: E402
from darklantern.sealing import RelayCard  # noqa: E402
from sharing.libraries import at_v2, finding  # noqa: E402
from sharing.measuring import Case, Line, Took, in_turns, line, middle, own  # noqa: E402
from sharing.proxying import Counting, counting  # noqa: E402
from sharing.scratch import SEED, random_file, scratch  # noqa: E402
from sharing.sizes import MIB, Sizes  # noqa: E402

LEAST = 0.85
WASTE = 4 * MIB
NEWS = 64 * 1024
_START_S = 10

CHILD = """
import sys
from pathlib import Path
import time
from library.orgs import reopened
beacon = reopened(Path(sys.argv[1]), "bo", time.time)
beacon.sync()
"""


@dataclass
class Placed:
    """A relay, two libraries whose folders stay as they are, and a file that Aurora has shared and not sent."""

    folder: Path
    us: Meeting
    running: Running
    item: str


def lines(sizes: Sizes) -> list[Line]:
    """`sync_put`, `sync_get`, `sync_resume`, `sync_without_news`."""
    with scratch(10 * sizes.bundle) as folder, _placed(folder, sizes.bundle) as placed:
        put = in_turns({"ours": _put(placed), "rsync": _rsync(folder, "put")}, sizes.repeats)
        get = in_turns({"ours": _get(placed), "rsync": _rsync(folder, "get")}, sizes.repeats)
        waste = [_resumed(placed, chance) for chance in _chances(sizes.repeats)]
        news = _without_news(placed)
    version = subprocess.run(["rsync", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    found = [_beside(name, took, sizes, version) for name, took in (("sync_put", put), ("sync_get", get))]
    return [
        *found,
        line("sync_resume", max(waste), "bytes wasted", f"≤ {WASTE}", max(waste) <= WASTE, None, kills=waste),
        line("sync_without_news", news[0], "bytes", f"≤ {NEWS}", news[0] <= NEWS, None, seconds=round(news[1], 4)),
    ]


def _beside(name: str, took: dict[str, list[Took]], sizes: Sizes, version: str) -> Line:
    """By the wall: relay and daemon are other processes."""
    ours, theirs = middle(took["ours"]), middle(took["rsync"])
    ratio = round(theirs.wall / ours.wall, 3)
    rates = {which: round(sizes.bundle / 1e6 / middle(each).wall) for which, each in took.items()}
    detail = {"megabytes_per_second": rates, "client_cpu_s": {"ours": ours.cpu, "rsync": theirs.cpu}}
    return line(name, ratio, "× rsync daemon", f"≥ {LEAST}", ratio >= LEAST, ("rsync", version), **detail)


@contextmanager
def _placed(folder: Path, size: int) -> Iterator[Placed]:
    with ExitStack() as stack:
        us = met(folder)
        us.clock.now = int(time.time())
        running = stack.enter_context(relay(folder / "relay", us.relay.net, keeper="keeper", tls=False))
        load(running, us.relay)  # type: ignore[arg-type]
        artifact = random_file(folder / "artifact", size)
        what, sha256 = finding(artifact)
        for each in (us.aurora, us.beacon):
            each.add_relay(running.card)
            each.sync()
        item = us.aurora.share(what, {sha256: artifact}, circle=CIRCLE, assessment=at_v2(what))
        us.close()
        yield Placed(folder, us, running, item)


def _put(placed: Placed) -> Case:
    """All of it to the relay, each time to one that has none."""
    kept = placed.folder / "relay as it was"
    placed.running.stop()
    shutil.copytree(placed.running.folder, kept)

    def case() -> Took:
        placed.running.stop()
        _put_back(kept, placed.running.folder)
        placed.running.start()
        with _copied(placed, "aurora") as aurora:
            return own(lambda: _synced(aurora))()

    return case


def _get(placed: Placed) -> Case:
    """All of it from the relay, into a library that has none."""

    def case() -> Took:
        with _copied(placed, "beacon") as beacon:
            return own(lambda: _synced(beacon))()

    return case


def _resumed(placed: Placed, share: float) -> int:
    """How many bytes more than all of it pass when the program is killed in between, once."""
    size = (placed.folder / "artifact").stat().st_size
    with counting(_port(placed.running.card)) as proxy:
        copy = _copy(placed, "beacon")
        with reopened(copy, PEOPLE["beacon"], placed.us.clock) as beacon:
            for relay_id in beacon.relays:
                beacon.remove_relay(relay_id)
            beacon.add_relay(_behind(placed.running.card, proxy))
        path = {"PYTHONPATH": ":".join(sys.path)}
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(copy)], env=path, stderr=subprocess.DEVNULL)
        proxy.at = int(share * size), child.kill
        child.wait()
        with reopened(copy, PEOPLE["beacon"], placed.us.clock) as beacon:
            _synced(beacon)
        sealed = sum(beacon_piece.stat().st_size for beacon_piece in (copy / "blobs").glob("??/*"))
        return max(0, proxy.passed - sealed)


def _without_news(placed: Placed) -> tuple[int, float]:
    """Bytes both ways, log-in included, and seconds."""
    with counting(_port(placed.running.card)) as proxy, _copied(placed, "beacon") as beacon:
        beacon.sync()
        for relay_id in beacon.relays:
            beacon.remove_relay(relay_id)
        beacon.add_relay(_behind(placed.running.card, proxy))
        began = time.perf_counter()
        beacon.sync()
        return proxy.passed, time.perf_counter() - began


def _rsync(folder: Path, way: str) -> Case:
    module, conf, port = folder / f"module {way}", folder / f"rsync {way}.conf", free_port()
    module.mkdir()
    conf.write_text(
        f"use chroot = no\naddress = 127.0.0.1\nport = {port}\nuid = root\ngid = root\nlog file = {folder}/rsync.log\n"
        f"[files]\npath = {module}\nread only = no\n"
    )
    there, here = f"rsync://127.0.0.1:{port}/files/artifact", folder / f"back {way}"
    if way == "get":
        shutil.copy(folder / "artifact", module / "artifact")

    def case() -> Took:
        daemon = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={conf}"])
        try:
            _wait(port)
            if way == "put":
                (module / "artifact").unlink(missing_ok=True)
                return _run(["rsync", "-W", str(folder / "artifact"), there])
            here.unlink(missing_ok=True)
            return _run(["rsync", "-W", there, str(here)])
        finally:
            daemon.terminate()
            daemon.wait()

    return case


def _run(arguments: list[str]) -> Took:
    began = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return Took(0.0, time.perf_counter() - began)


@contextmanager
def _copied(placed: Placed, org: str) -> Iterator[Library]:
    with reopened(_copy(placed, org), PEOPLE[org], placed.us.clock) as library:
        yield library


def _copy(placed: Placed, org: str) -> Path:
    copy = placed.folder / f"copy of {org}"
    _put_back(placed.folder / org, copy)
    return copy


def _put_back(kept: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(kept, place)


def _synced(library: Library) -> None:
    synced = library.sync()
    missing = [name for each in synced.relays.values() for name in each.imported.missing]
    if synced.failed or missing or library.pending:
        raise ValueError(f"expected a sync of everything, got {synced}")


def _behind(card: RelayCard, proxy: Counting) -> RelayCard:
    return msgspec.structs.replace(card, urls=(f"http://127.0.0.1:{proxy.port}",))


def _port(card: RelayCard) -> int:
    port = urlsplit(card.urls[0]).port
    assert port
    return port


def _wait(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError("the rsync daemon does not answer")


def _chances(count: int) -> list[float]:
    random = Random(SEED)
    return [random.uniform(0.1, 0.9) for _ in range(count)]
