"""A network whose logs a relay keeps, and two libraries of it that know the relay: a process on loopback."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darklantern.assess import level_follows
from darklantern.errors import RelayError
from darklantern.library import Library, create
from darklantern.library.syncing.http import HttpRemote
from darklantern.records.exact import encode
from darklantern.relay.config import KEYS
from darklantern.relay.setting_up import begin, card, make_relay
from darklantern.sealing import Device, RelayKey, envelope_id
from sharing.founding import CHEAP, PASSPHRASE, first_records, found_circle

_START_S: Final = 60


@dataclass
class Served:
    """Both libraries, each with its own connections to the relay."""

    aurora: Library
    beacon: Library
    remotes: tuple[HttpRemote, HttpRemote]
    pid: int
    """of the relay"""


@contextmanager
def served(folder: Path, port: int) -> Iterator[Served]:
    """The network, founded and pledged to, with one circle of both orgs; over plain HTTP, which loopback allows."""
    now = int(time.time())
    key = RelayKey.generate()
    devices = {"Aurora": Device.generate(), "Beacon": Device.generate()}
    first = first_records({org: [device] for org, device in devices.items()}, key.log.public, now)
    net = envelope_id(first[0])
    make_relay(folder / "relay", net, port=port, tls=False)
    (folder / "relay" / KEYS).write_bytes(key.to_bytes())
    begin(folder / "relay", [encode(each) for each in first])
    where = card(folder / "relay")
    libraries = [
        create(folder / org, PASSPHRASE, net=net, device=device, follows=level_follows, cost=CHEAP)
        for org, device in devices.items()
    ]
    remotes = [HttpRemote(where, net, device) for device in devices.values()]
    process = subprocess.Popen(
        [sys.executable, "-m", "darklantern", "relay", "serve", str(folder / "relay")], stderr=subprocess.DEVNULL
    )
    try:
        _wait(remotes[0])
        made = Served(*libraries, tuple(remotes), process.pid)

        def carry() -> None:
            for library, remote in (*pairs, pairs[0]):
                sync(library, remote)

        pairs = tuple(zip(libraries, remotes, strict=True))
        found_circle(libraries, list(devices.values()), where.public.log, carry, now)
        carry()
        yield made
    finally:
        for each in (*remotes, *libraries):
            each.close()
        process.terminate()
        process.wait(_START_S)


def sync(library: Library, remote: HttpRemote) -> None:
    """With the relay, wholly. Raises whatever ended it."""
    for report in library.relays.sync([remote]).relays.values():
        if report.error or report.refused:
            raise report.error or ValueError(f"expected all records to be taken, got {report.refused}")


def _wait(remote: HttpRemote) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            remote.heads()
            return
        except RelayError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
