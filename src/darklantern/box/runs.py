"""One run of a declaration: its folder, its boxes, its supervisor, what it leaves and what it reports.

A project's folder has the ledger, the key, and `runs/N-HASH/`:

    spec.json        the declaration, exact
    inputs/          copies, gone when the run ends
    volume/          /box/work, gone when the run ends
    released.jsonl   what was shown
    report.json      what ran, on which rung, what it cost
    log.age          what it printed, sealed and padded
    volume.age       /box/work, sealed
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darklantern.box.amounts import seconds, size
from darklantern.box.confine.bubblewrap import Allowed, Confined, Kernel, interpreter
from darklantern.box.confine.rungs import REMARKS, Held, own_user, rung, small, tried
from darklantern.box.inside import OUTLET, TELEMETRY
from darklantern.box.ledger import Ledger, opened
from darklantern.box.running.hearing import Hearing
from darklantern.box.running.logs import Printed
from darklantern.box.running.releasing import Releasing, Show
from darklantern.box.running.starting import Running, handed, start
from darklantern.box.running.supervising import Supervised, supervise
from darklantern.box.running.watchdog import Together, disk_of
from darklantern.box.sealed import project_key, seal_bytes, seal_folder, unseal_folder
from darklantern.box.spec import Declared, Limits
from darklantern.errors import BoxError
from darklantern.files import write_whole
from darklantern.records.exact import Name, Sha256, Value, encode

LOG_BYTES: Final = 2**20
_MONITOR_SCRATCH: Final = 64 * 2**20
Begun = Callable[["Run", Held], None]
"""told when the box is about to run"""


class Report(Value, frozen=True, kw_only=True):
    """What a run leaves for people, and for `assess`. Nothing in it comes from the box but what the outlet released."""

    run: Name
    spec: Sha256
    inputs: Sha256
    """of the names and contents of all that went in: `inputs_hash`"""
    rung: Name
    held: tuple[str, ...]
    remarks: tuple[str, ...]
    microbits: int
    """spent by this run"""
    left: int
    """of the project's budget, in micro-bits"""
    ledger: Sha256
    """its head after the run: a copy that tells whether lines were cut off"""
    lines: int
    resumed: Name | None = None


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def released(self) -> Path:
        return self.folder / "released.jsonl"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"


def run(declared: Declared, show: Show, begun: Begun | None = None, resumed: Run | None = None) -> Report:
    """Run a declaration in a box until its transcript is over. `show` gets each step as it is released.

    `resumed` is an earlier run of the very same declaration, whose /box/work this one goes on with. Raises BoxError
    where the box cannot be held or the budget does not allow a first step, and StoreError where another run of the
    project goes on. However it ends, nothing of the box lives on, and what was reserved stays spent.
    """
    with opened(declared.project, declared.budget) as ledger, own_user(on := rung(declared.spec.kernel)) as user:
        made = _folder(declared)
        went_in = inputs_hash(made.folder / "inputs")
        key = project_key(declared.project)
        if resumed is not None:
            _check_same(declared, resumed)
            unseal_folder(resumed.folder / "volume.age", made.folder / "volume", key)
        try:
            held = tried(small(on, user, made.folder / "volume"))
            if begun is not None:
                begun(made, held)
            _supervised(declared, made, held, user, ledger, show)
        finally:
            _keep(declared, made)
    report = Report(
        run=made.id,
        spec=declared.hash,
        inputs=went_in,
        rung=held.rung,
        held=held.properties,
        remarks=REMARKS,
        microbits=ledger.of(made.id),
        left=ledger.balance.left,
        ledger=ledger.head.hash,
        lines=ledger.head.lines,
        resumed=resumed.id if resumed else None,
    )
    write_whole(made.report, encode(report))
    return report


def runs(project: Path) -> tuple[Run, ...]:
    """A project's runs, the oldest first."""
    folder = project / "runs"
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(
        sorted((Run(each) for each in found if each.is_dir()), key=lambda each: int(each.id.partition("-")[0]))
    )


def _folder(declared: Declared) -> Run:
    """A new run's folder, with copies of its inputs: two boxes share no file whose use the other could see."""
    earlier = runs(declared.project)
    number = int(earlier[-1].id.partition("-")[0]) + 1 if earlier else 1
    folder = declared.project / "runs" / f"{number}-{declared.hash[:8]}"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "volume").mkdir(mode=0o755)  # bubblewrap goes there before it is the box's user
    copied(declared, declared.spec.inputs, folder / "inputs")
    write_whole(folder / "spec.json", encode(declared.spec))
    return Run(folder)


def inputs_hash(folder: Path) -> Sha256:
    """SHA-256 over each file below a folder, by name: its path and the SHA-256 of its contents."""
    whole = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink()):
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
    return whole.hexdigest()


def copied(declared: Declared, inputs: Mapping[str, str], folder: Path) -> None:
    """Copies of what is declared, to be read by anybody and written by nobody. Raises BoxError for no plain file."""
    folder.mkdir(mode=0o755)
    try:
        _copy(declared, inputs, folder)
    except (OSError, shutil.Error) as error:
        raise BoxError(f"cannot copy the inputs: {error}", hint="plain files and folders of them") from error


def _copy(declared: Declared, inputs: Mapping[str, str], folder: Path) -> None:
    for name, given in inputs.items():
        source = declared.folder / given
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True)
        else:
            shutil.copyfile(source, folder / name)
    for each in folder.rglob("*"):
        if not each.is_symlink():
            each.chmod(0o755 if each.is_dir() else 0o444)


def _supervised(declared: Declared, made: Run, held: Held, user: int, ledger: Ledger, show: Show) -> None:
    spec = declared.spec
    volume = made.folder / "volume"
    _own(volume, held, user)
    releasing = Releasing(spec.outlet, ledger, made.id, made.released, show)
    with _boxes(declared, made, held, user) as (box, monitor, said, printed):
        hearing, log = Hearing(said, spec.outlet.channels), Printed(printed, LOG_BYTES)
        supervised = Supervised(box, hearing, log, volume, _together(spec.limits, spec.kernel), monitor)
        try:
            supervise(supervised, spec.outlet, declared.wall_s, releasing)
        finally:
            seal_bytes(log.padded(), made.folder / "log.age", project_key(declared.project))


@contextmanager
def _boxes(declared: Declared, made: Run, held: Held, user: int) -> Iterator[tuple[Running, Running | None, int, int]]:
    """The box and its tripwire's, with the ends to read the outlet and the log from."""
    spec, open_ = declared.spec, set[int]()

    def pipe() -> tuple[int, int]:
        ends = os.pipe()
        open_.update(ends)
        return ends

    def close(*ends: int) -> None:
        for each in ends:
            os.close(each)
            open_.discard(each)

    monitor: Running | None = None
    box: Running | None = None
    try:
        said, say = pipe()
        printed, print_ = pipe()
        hand = [say]
        with _monitor_user(declared, held) as other:
            if spec.tripwire is not None:
                telemetry, tell = pipe()
                hand.append(tell)
                (number,) = handed(held.rung, [telemetry])
                confined = _monitor(declared, made, held, other, {TELEMETRY: str(number)})
                monitor = start(confined, spec.tripwire.command, hand=[telemetry])
                close(telemetry)
            names = json.dumps([each.name for each in spec.outlet.channels])
            ends = zip((OUTLET, TELEMETRY), handed(held.rung, hand), (f" {names}", ""), strict=False)
            environment = {name: f"{number}{more}" for name, number, more in ends} | spec.environment
            box = start(_confined(declared, made, held, user, environment), spec.command, said=print_, hand=hand)
            close(print_, *hand)
            yield box, monitor, said, printed
    finally:
        for each in (box, monitor):
            if each is not None:
                each.kill()
        close(*tuple(open_))


@contextmanager
def _monitor_user(declared: Declared, held: Held) -> Iterator[int]:
    if declared.spec.tripwire is None:
        yield -1
        return
    with own_user(held.rung) as user:
        yield user


def _monitor(declared: Declared, made: Run, held: Held, user: int, environment: Mapping[str, str]) -> Confined:
    tripwire = declared.spec.tripwire
    assert tripwire is not None
    folder = made.folder / "monitor"
    folder.mkdir(mode=0o700)
    copied(declared, tripwire.inputs, folder / "inputs")
    work = folder / "work"
    work.mkdir(mode=0o755)
    _own(work, held, user)
    allowed = Allowed(
        memory=size(tripwire.memory), scratch=_MONITOR_SCRATCH, processes=tripwire.processes,
        cpu_s=int(seconds(declared.spec.limits.cpu)), disk=_MONITOR_SCRATCH,
    )  # fmt: skip
    return Confined(held.rung, user, folder / "inputs", work, allowed, interpreter(), environment)


def _confined(declared: Declared, made: Run, held: Held, user: int, environment: Mapping[str, str]) -> Confined:
    limits = declared.spec.limits
    allowed = Allowed(
        memory=size(limits.memory),
        scratch=size(limits.scratch),
        processes=limits.processes,
        cpu_s=max(1, int(seconds(limits.cpu))),
        disk=size(limits.disk),
    )
    return Confined(
        held.rung, user, made.folder / "inputs", made.folder / "volume", allowed, interpreter(), environment
    )


def _together(limits: Limits, kernel: Kernel) -> Together:
    return Together(
        memory=size(limits.memory),
        cpu_s=seconds(limits.cpu),
        disk=size(limits.disk),
        files=limits.files,
        kernel=kernel,
    )


def _own(folder: Path, held: Held, user: int) -> None:
    """Give a folder to the box's own user, with all that is in it; links are not followed."""
    if held.rung == "B":
        return
    os.chown(folder, user, user)
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(at) / name, user, user, follow_symlinks=False)


def _keep(declared: Declared, made: Run) -> None:
    """Seal /box/work, and remove what lay in the clear. One that grew beyond its limit meanwhile is kept empty."""
    volume, limits = made.folder / "volume", declared.spec.limits
    space, files = disk_of(volume, limits.files)
    if space > size(limits.disk) or files > limits.files:
        shutil.rmtree(volume)
        volume.mkdir()
    seal_folder(volume, made.folder / "volume.age", project_key(declared.project))
    for each in ("volume", "inputs", "monitor"):
        shutil.rmtree(made.folder / each, ignore_errors=each == "monitor")


def _check_same(declared: Declared, resumed: Run) -> None:
    path = resumed.folder / "spec.json"
    if not path.exists() or path.read_bytes() != encode(declared.spec):
        raise BoxError(
            f"{resumed.id} ran another declaration",
            hint="a run goes on under the very same one; a changed one begins anew",
        )
