"""Giving an artifact to a relay and getting it from there, beside an rsync daemon: all on loopback, without TLS.

Ours is all of `Relays.sync`: records, checkpoints, each piece hashed at both ends, the writes. Processor time is that
of both ends.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from darklantern.library import Library
from sharing.bare import bare_server, put_in_pieces
from sharing.founding import CIRCLE
from sharing.libraries import at_v2, finding
from sharing.measuring import Case, Line, Took, in_turns, line, middle, times_faster
from sharing.scratch import random_file, scratch
from sharing.served import Served, served, sync
from sharing.sizes import Sizes
from sharing.waiting import free_port, until_listening

LEAST = 0.85
_TICK = os.sysconf("SC_CLK_TCK")


def lines(sizes: Sizes) -> list[Line]:
    """`sync put` and `sync get`, and what a server that does nothing but store would take for the put."""
    size, turns, bare_port = sizes.bundle // 2, min(5, sizes.repeats), free_port()
    with (
        scratch((turns + 1) * 5 * size) as folder,
        _daemon(folder) as (module, daemon),
        bare_server(folder / "bare", bare_port) as bare,
        served(folder, free_port()) as made,
    ):
        source = folder / "source"
        cases = {
            "put": _put(made, source, size),
            "bare put": _spent(lambda: put_in_pieces(source, bare_port), bare),
            "rsync put": _copied(str(source), f"{module}/there", folder / "module/there", daemon),
            "get": _spent(lambda: sync(made.beacon, made.remotes[1]), made.pid),
            "rsync get": _copied(f"{module}/there", str(folder / "back"), folder / "back", daemon),
        }
        took = in_turns(cases, turns)
        _check(made.beacon, turns + 1)
    daemons = ("rsync daemon", _version())
    put, get = (_beside_rsync(name, took, size, daemons) for name in ("put", "get"))
    floor, wall = times_faster(took["bare put"], took["rsync put"])
    bare_line = line("sync put · a bare server", floor, "× rsync", "–", None, daemons, by_the_wall=wall)
    return [*put, bare_line, *get]


def _beside_rsync(name: str, took: dict[str, list[Took]], size: int, daemon: tuple[str, str]) -> list[Line]:
    """By processor time and by the wall, each judged: both ends work at once, which only the wall shows."""
    cpu, wall = times_faster(took[name], took[f"rsync {name}"])
    rates = {end: round(size / 1e6 / middle(took[end]).wall) for end in (name, f"rsync {name}")}
    unit, bar = "× rsync", f"≥ {LEAST}"
    return [
        line(f"sync {name}", cpu, unit, bar, cpu >= LEAST, daemon),
        line(f"sync {name} · by the wall", wall, unit, bar, wall >= LEAST, daemon, megabytes_per_second=rates),
    ]


def _put(made: Served, source: Path, size: int) -> Case:
    """What a relay has seen it does not take again: each turn another artifact, which is sealed before."""
    turn = iter(range(1 << 30))

    def case() -> Took:
        random_file(source, size, seed=next(turn))
        what, sha256 = finding(source)
        made.aurora.findings.share(what, {sha256: source}, circle=CIRCLE, assessment=at_v2(what))
        return _spent(lambda: sync(made.aurora, made.remotes[0]), made.pid)()

    return case


def _copied(source: str, target: str, made: Path, daemon: int) -> Case:
    """Into a file that was not there, as ours are: one that is written over needs no memory."""
    spent = _spent(lambda: subprocess.run(["rsync", "-W", "--inplace", source, target], check=True), daemon)

    def case() -> Took:
        made.unlink(missing_ok=True)
        return spent()

    return case


def _spent(work: Callable[[], object], other_end: int) -> Case:
    """`work`, with what this process, its children that have ended, and the other end have spent on it."""

    def case() -> Took:
        wall, cpu = time.perf_counter(), _cpu(os.getpid()) + _tree_cpu(other_end)
        work()
        return Took(_cpu(os.getpid()) + _tree_cpu(other_end) - cpu, time.perf_counter() - wall)

    return case


def _tree_cpu(pid: int) -> float:
    """Seconds that a process and those that it has started have spent, those that have ended too."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _cpu(pid) + sum(_tree_cpu(int(child)) for child in children if Path(f"/proc/{child}").exists())


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK  # utime, stime, and both of the children that were waited for


@contextmanager
def _daemon(folder: Path) -> Iterator[tuple[str, int]]:
    """An rsync daemon's module, and the daemon's process."""
    (folder / "module").mkdir()
    settings, port = folder / "rsyncd.conf", free_port()
    settings.write_text(
        f"use chroot = no\naddress = 127.0.0.1\nport = {port}\nlog file = /dev/null\nuid = {os.getuid()}\n"
        f"gid = {os.getgid()}\n[module]\npath = {folder / 'module'}\nread only = no\n"
    )
    process = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={settings}"])
    try:
        until_listening(port)
        yield f"rsync://127.0.0.1:{port}/module", process.pid
    finally:
        process.terminate()
        process.wait()


def _check(beacon: Library, items: int) -> None:
    found, problems = beacon.findings.listed(), beacon.care.verify()
    if len(found) != items or problems:
        raise ValueError(f"expected {items} findings without problems, got {len(found)} and {problems}")


def _version() -> str:
    said = subprocess.run(["rsync", "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[2]
