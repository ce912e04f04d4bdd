"""Offices of three orgs: each a machine with a person's library and a relay, and files carried by hand between them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hosts.machines import Machine, machines

_PORT = 7447
_START_S = 60
_PEOPLE = {"Aurora": ("ada", "Ada Lind"), "Beacon": ("bo", "Bo Tanaka"), "Cairn": ("cy", "Cy Roth")}
_PROGRAM = (sys.executable, "-m", "darklantern")
_UNVERIFIED = "ssl._create_unverified_context()"
_TOLD_LINES = 10
_TOLD_LETTERS = 400


@dataclass(eq=False)
class Office:
    """What one org has. Called, it runs a command with its person's library, and gives what that says as JSON."""

    org: str
    person: str
    name: str
    machine: Machine
    told: list[str] = field(default_factory=list)
    """all commands, and what they said: for a failure"""
    serving: "subprocess.Popen[bytes] | None" = None

    @property
    def library(self) -> Path:
        return self.machine.disk / "library"

    @property
    def relay(self) -> Path:
        return self.machine.disk / "relay"

    @property
    def card(self) -> Path:
        """What the keeper of its relay hands to the others."""
        return self.machine.disk / f"{self.org}.relay"

    @property
    def relay_log(self) -> Path:
        return self.machine.disk / "relay.log"

    @property
    def screen(self) -> Path:
        """What a command that was begun says: to its person, and on no disk."""
        return self.machine.disk.parent / f"screen of {self.person}"

    @property
    def url(self) -> str:
        return f"https://{self.machine.address}:{_PORT}"

    def __call__(self, *words: object, said: str = "", environment: dict[str, str] | None = None) -> Any:
        done = self.attempt(*words, "--json", said=said, environment=environment)
        assert done.returncode == 0, f"{self.org}: {words} failed\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def refuses(self, *words: object, said: str = "", environment: dict[str, str] | None = None) -> str:
        """The error and its hint."""
        done = self.attempt(*words, said=said, environment=environment)
        assert done.returncode == 1, f"{self.org}: {words} was expected to fail\n{done.stdout}\n{done.stderr}"
        assert "hint:" in done.stderr and "Traceback" not in done.stderr, done.stderr
        return done.stderr

    def attempt(
        self, *words: object, said: str = "", environment: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command, whatever comes of it. `said` is typed into it."""
        done = self.machine.run(
            *_PROGRAM, *words, *self._whose, stdin=said.encode(), environment=_environment(environment), ok=False
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        self._note(words, done.returncode, out, err)
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def begin(self, *words: object) -> "subprocess.Popen[bytes]":
        """Start a command, to be killed."""
        self.told.append(f"$ {' '.join(map(str, words))} &")
        return self.machine.start(*_PROGRAM, *words, *self._whose, log=self.screen, environment=_environment(None))

    def sync(self) -> "subprocess.CompletedProcess[str]":
        """Sync with all relays; those that cannot be reached make it fail, and stop no other."""
        return self.attempt("sync", "--json")

    def keeps(self, *words: object) -> str:
        """A command for the keeper of its relay: `darklantern relay …` with its folder."""
        command, *rest = words
        done = self.machine.run(
            *_PROGRAM, "relay", command, self.relay, *rest, environment=_environment(None), ok=False
        )
        self._note(("relay", *words), done.returncode, done.stdout.decode(), done.stderr.decode())
        assert done.returncode == 0, f"{self.org}: relay {words} failed\n{done.stderr.decode()}"
        return done.stdout.decode()

    def serve(self) -> None:
        """Start its relay, and wait until it answers."""
        self.told.append("$ relay serve &")
        self.serving = self.machine.start(
            *_PROGRAM, "relay", "serve", self.relay, log=self.relay_log, environment=_environment(None)
        )
        # Only whether it answers: its certificate is for those who know its card.
        ask = f"from urllib.request import *; import ssl; urlopen('{self.url}/v1/health', context={_UNVERIFIED})"
        deadline = time.monotonic() + _START_S
        while self.machine.run(sys.executable, "-c", ask, ok=False).returncode:
            assert self.serving.poll() is None, f"{self.org}'s relay ended\n{self.relay_log.read_text()}"
            assert time.monotonic() < deadline, f"{self.org}'s relay does not answer\n{self.relay_log.read_text()}"

    def kill_relay(self) -> None:
        """Every process of its relay at once, with no chance to end anything."""
        assert self.serving is not None
        self.told.append("$ kill -9 of the relay")
        os.killpg(self.serving.pid, signal.SIGKILL)
        self.serving.wait()
        self.serving = None

    def report(self) -> str:
        """What was done here, and what its relay logged: the end of it."""
        log = self.relay_log.read_text().splitlines() if self.relay_log.exists() else []
        return "\n".join((f"=== {self.org}", *self.told[-_TOLD_LINES:], "--- its relay's log", *log[-_TOLD_LINES:]))

    @property
    def _whose(self) -> tuple[object, ...]:
        passphrase = self.machine.disk / "passphrase"
        passphrase.write_text(f"passphrase of {self.person}")
        return ("--library", self.library, "--passphrase-file", passphrase)

    def _note(self, words: Sequence[object], status: int, out: str, err: str) -> None:
        self.told.append(f"$ {' '.join(map(str, words))}  → {status}\n{out[-_TOLD_LETTERS:]}{err[-_TOLD_LETTERS:]}")


@contextmanager
def offices(folder: Path) -> Iterator[tuple[Office, Office, Office]]:
    """Aurora, Beacon and Cairn on one switch, with nothing on their disks. A failure shows what each of them said."""
    made: list[Office] = []
    with machines(folder, *(org.lower() for org in _PEOPLE)) as found:
        made += [Office(org, *_PEOPLE[org], machine) for org, machine in zip(_PEOPLE, found, strict=True)]
        try:
            yield made[0], made[1], made[2]
        except BaseException as error:
            error.add_note("\n".join(office.report() for office in made))
            raise


def hand(file: Path, *takers: Office) -> None:
    """Carry a file to others, on a stick say."""
    for taker in takers:
        place = taker.machine.disk / file.name
        if place != file:
            shutil.copy(file, place)


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(more or {})}
