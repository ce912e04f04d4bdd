"""A relay as its keeper runs it: `darklantern relay serve` in a process of its own, and a network that it serves."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from network.world import World, device, log_key

from darklantern.relay.setting_up import begin, card, make_relay
from darklantern.sealing import Device, RelayCard, RelayKey, WitnessKey

from .asking import Asking

_START_S = 30


@dataclass
class Running:
    """A relay's folder, and its process while there is one."""

    folder: Path
    card: RelayCard
    net: str
    process: subprocess.Popen[bytes] | None = None
    clients: list[Asking] = field(default_factory=list)

    def start(self, **environment: str) -> None:
        with (self.folder / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "darklantern", "relay", "serve", str(self.folder)],
                stderr=log,
                stdout=log,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self.is_ready():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def is_ready(self) -> bool:
        asking = Asking(self.card, self.net)
        try:
            return asking.ask("GET", "/v1/health").status == 200
        except OSError:
            return False
        finally:
            asking.close()

    def stop(self) -> int:
        """As a service manager would. The exit status."""
        if not self.process:
            return 0
        self._let_go()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_START_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """Every process of it, at once, with no chance to end anything."""
        if self.process:
            self._let_go()
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(_START_S)
            self.process = None

    def log(self) -> str:
        path = self.folder / "stderr"
        return path.read_text() if path.exists() else ""

    def client(self, who: Device | RelayKey | None = None) -> Asking:
        """A connection, logged in when it is somebody's."""
        asking = Asking(self.card, self.net, who)
        self.clients.append(asking)
        return asking.log_in() if who else asking

    def setting(self, line: str) -> None:
        """Put a line before the settings' comments, or a table behind them."""
        path = self.folder / "relay.toml"
        said = path.read_text()
        path.write_text(f"{said}\n{line}\n" if line.startswith("[") else f"{line}\n{said}")

    def _let_go(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()


@contextmanager
def relay(
    folder: Path,
    net: str,
    database: str | None = None,
    blobs: str | None = None,
    *,
    keeper: str | None = None,
    **settings: object,
) -> Iterator[Running]:
    """A relay that has been made, and is stopped at the end. `keeper` names the log key of `network.world` it has."""
    make_relay(folder, net, port=free_port(), database=database, blobs=blobs, **settings)
    if keeper:
        (folder / "keys").write_bytes(relay_key(keeper).to_bytes())
    running = Running(folder, card(folder), net)
    try:
        yield running
    finally:
        running.kill()
        assert '"defect"' not in running.log(), running.log()


@cache
def relay_key(keeper: str) -> RelayKey:
    """A relay whose logs are those that `network.world` keeps under this name."""
    return RelayKey(log_key(keeper), WitnessKey.generate(), os.urandom(32))


def load(running: Running, world: World) -> None:
    """Bring what a world's logs hold to a relay that serves none of it yet: first its network, then its circles."""
    begin(running.folder, world.logs[world.net])
    running.start()
    with_all = running.client(device("ada"))
    for log, entries in world.logs.items():
        if log != world.net:
            reply = with_all.post(log, entries)
            assert [each["refused"] for each in reply.json["results"]] == [None] * len(entries), reply


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
