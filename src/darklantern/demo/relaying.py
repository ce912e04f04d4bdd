"""The demo's relay: `darklantern relay serve` in a process of its own, on loopback, with SQLite and a folder."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darklantern.errors import StoreError
from darklantern.records.exact import encode
from darklantern.relay.setting_up import begin, make_relay
from darklantern.sealing import Envelope, RelayCard

_START_S: Final = 60
_STOP_S: Final = 30


@dataclass
class Relaying:
    """A relay's folder and card, and its process while there is one."""

    folder: Path
    card: RelayCard
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def made(cls, folder: Path) -> "Relaying":
        """A relay that knows no network yet. Plain HTTP: it is on loopback, and what it carries is sealed."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return cls(folder, make_relay(folder, port=port, tls=False))

    def begin(self, *envelopes: Envelope) -> None:
        """Give its log a beginning, and start it."""
        begin(self.folder, [encode(envelope) for envelope in envelopes])
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers. Raises StoreError where it does not."""
        command = [sys.executable, "-m", "darklantern", "relay", "serve", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StoreError("the relay did not start", hint=f"{self.folder / 'log'} may say why")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a service manager would."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.card.urls[0]}/v1/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError):
            return False
