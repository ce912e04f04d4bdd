"""What a sync that was killed wastes, and what one without news costs: counted on the wire, beside nobody.

In BENCH.md: resume wastes at most one 4 MiB piece; a sync without news costs at most 64 KiB.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec

from darklantern.assess import level_follows
from darklantern.library import Library
from darklantern.network.items import PIECE
from darklantern.relay.setting_up import card
from darklantern.sealing import RelayCard
from sharing.founding import CIRCLE
from sharing.libraries import at_v2, finding
from sharing.measuring import Line, line
from sharing.proxying import Counting, counting
from sharing.scratch import SEED, random_file, scratch
from sharing.served import Served, served, sync
from sharing.sizes import Sizes
from sharing.waiting import free_port

NEWS = 64 * 1024
_CHILD = """
import sys
from pathlib import Path
from darklantern.assess import level_follows
from darklantern.library import Library
Library.open(Path(sys.argv[1]), "bench", follows=level_follows).sync()
"""


def lines(sizes: Sizes) -> list[Line]:
    """`sync resume` and `sync without news`."""
    size, random = sizes.bundle // 2, Random(SEED)
    with scratch(6 * size) as folder, served(folder, free_port()) as made:
        _share(made, folder / "source", size)
        made.beacon.close()
        where = card(folder / "relay")
        waste = [_wasted(folder, where, int(random.uniform(0.1, 0.9) * size)) for _ in range(sizes.repeats)]
        passed, seconds = _without_news(folder, where)
    return [
        line("sync resume", max(waste), "bytes wasted", f"≤ {PIECE}", max(waste) <= PIECE, None, kills=waste),
        line("sync without news", passed, "bytes", f"≤ {NEWS}", passed <= NEWS, None, seconds=round(seconds, 4)),
    ]


def _share(made: Served, source: Path, size: int) -> None:
    random_file(source, size)
    what, sha256 = finding(source)
    made.aurora.findings.share(what, {sha256: source}, circle=CIRCLE, assessment=at_v2(what))
    sync(made.aurora, made.remotes[0])


def _wasted(folder: Path, where: RelayCard, kill_at: int) -> int:
    """How many bytes more pass than are needed when the program is killed once in between."""
    with counting(_port(where)) as proxy:
        copy = _copied(folder, where, proxy)
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(copy)], stderr=subprocess.DEVNULL)
        proxy.at = kill_at, child.kill
        child.wait()
        with Library.open(copy, "bench", follows=level_follows) as beacon:
            beacon.relays.sync()
            if beacon.care.verify():
                raise ValueError(f"expected all of it, got {beacon.care.verify()[0]}")
        return max(0, proxy.passed - sum(piece.stat().st_size for piece in (copy / "blobs").glob("??/*")))


def _without_news(folder: Path, where: RelayCard) -> tuple[int, float]:
    """Bytes both ways, log-in included, and seconds."""
    with counting(_port(where)) as proxy:
        copy = _copied(folder, where, proxy)
        with Library.open(copy, "bench", follows=level_follows) as beacon:
            beacon.relays.sync()
            before, began = proxy.passed, time.perf_counter()
            beacon.relays.sync()
            return proxy.passed - before, time.perf_counter() - began


def _copied(folder: Path, where: RelayCard, proxy: Counting) -> Path:
    """Beacon's library as it was, which knows the relay behind the proxy."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "Beacon", copy)
    with Library.open(copy, "bench", follows=level_follows) as beacon:
        beacon.relays.add(msgspec.structs.replace(where, urls=(f"http://127.0.0.1:{proxy.port}",)))
    return copy


def _port(where: RelayCard) -> int:
    port = urlsplit(where.urls[0]).port
    if port is None:
        raise ValueError(f"expected a relay's address with a port, got {where.urls[0]}")
    return port
