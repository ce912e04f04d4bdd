"""Machines for a test: a network namespace, an address and a disk of its own for each, on one switch that can be cut.

Needs root and Linux. Nothing here reaches any other network: the switch ends in no machine but these.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_SWITCH = "dl-switch"


@dataclass
class Machine:
    """One host. What it runs sees only its own network; its `disk` is as large as it was made."""

    name: str
    address: str
    disk: Path
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def _namespace(self) -> str:
        return f"dl-{self.name}"

    def run(
        self, *command: object, stdin: bytes = b"", environment: Mapping[str, str] | None = None, ok: bool = True
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command to its end. With `ok`, raises AssertionError with all that it printed unless it ends well."""
        done = subprocess.run(
            self._inside(command), input=stdin, capture_output=True, cwd=self.disk, env=_with(environment), timeout=300
        )
        assert not ok or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
        return done

    def start(
        self, *command: object, log: Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a process, in a group of its own that ends with the machine; what it prints goes to `log`."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                self._inside(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.disk,
                env=_with(environment),
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", f"dl-{self.name}-o", "down")

    def heal(self) -> None:
        """Plug it in again."""
        _ip("link", "set", f"dl-{self.name}-o", "up")

    def _inside(self, command: Sequence[object]) -> list[str]:
        return ["ip", "netns", "exec", self._namespace, *map(str, command)]


@contextmanager
def machines(folder: Path, *names: str, disk_mib: int = 256) -> Iterator[list[Machine]]:
    """As many machines, 10.213.0.1 and on. Takes down all of it, whatever happens."""
    made: list[Machine] = []
    try:
        _ip("link", "add", _SWITCH, "type", "bridge")
        _ip("link", "set", _SWITCH, "up")
        for number, name in enumerate(names, start=1):
            disk = folder / name
            disk.mkdir()
            machine = Machine(name, f"10.213.0.{number}", disk)
            made.append(machine)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m", f"dl-{name}", str(disk)], check=True)
            inside, outside = f"dl-{name}-i", f"dl-{name}-o"
            _ip("netns", "add", machine._namespace)
            _ip("link", "add", inside, "type", "veth", "peer", "name", outside)
            _ip("link", "set", outside, "master", _SWITCH, "up")
            _ip("link", "set", inside, "netns", machine._namespace)
            for command in (("addr", "add", f"{machine.address}/24", "dev", inside), ("link", "set", inside, "up")):
                _ip("-n", machine._namespace, *command)
            _ip("-n", machine._namespace, "link", "set", "lo", "up")
        yield made
    finally:
        for machine in made:
            for process in machine.processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", machine._namespace)
            with suppress(subprocess.CalledProcessError):
                _ip("link", "delete", f"dl-{machine.name}-o")
            subprocess.run(["umount", "-l", str(machine.disk)], check=False)
        with suppress(subprocess.CalledProcessError):
            _ip("link", "delete", _SWITCH)


def can_make_machines() -> str | None:
    """Why this test cannot make machines here, or None."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if shutil.which("ip") is None:
        return "making network namespaces needs ip: apt install iproute2"
    probe = subprocess.run(["ip", "netns", "add", "dl-probe"], capture_output=True)
    if probe.returncode:
        return f"no network namespaces here: {probe.stderr.decode().strip()}"
    _ip("netns", "delete", "dl-probe")
    return None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _with(environment: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(environment or {})}
