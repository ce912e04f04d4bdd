"""One run of a declaration: its boxes, its supervisor, and what it leaves in its folder."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from darklantern.box.amounts import seconds, size
from darklantern.box.confine.bubblewrap import Allowed, Confined, interpreter
from darklantern.box.confine.rungs import Held, own_user, remarks, rung, small, tried
from darklantern.box.folders import Report, Run, begun, copied, inputs_hash, runs, same_lineage
from darklantern.box.inside import OUTLET, TELEMETRY
from darklantern.box.ledger import Head, Ledger, opened
from darklantern.box.outlet.pricing import shown
from darklantern.box.outlet.transcripts import least
from darklantern.box.running.hearing import Hearing
from darklantern.box.running.logs import Printed
from darklantern.box.running.releasing import Releasing, Show
from darklantern.box.running.starting import Running, handed, start
from darklantern.box.running.supervising import Supervised, supervise
from darklantern.box.running.watchdog import Looking, Together
from darklantern.box.sealed import project_key, seal_bytes, unseal_folder
from darklantern.box.spec import Declared, Spec
from darklantern.box.volume import keep, remove
from darklantern.errors import BoxError
from darklantern.files import write_whole
from darklantern.records.exact import Sha256, encode

LOG_BYTES: Final = 2**20
_MONITOR_SCRATCH: Final = 64 * 2**20
_SETTLES_S: Final = 1.0
_SETTLES_FILE_S: Final = 1e-4
_SETTLES_BYTE_S: Final = 1e-8
Begun = Callable[["Run", Held], None]
"""told when the box is about to run"""


def run(declared: Declared, show: Show, told: Begun | None = None, resumed: Run | None = None) -> Report:
    """Run a declaration in a box until its transcript is over. `show` gets each step as it is released.

    `resumed` is an earlier run of the very same declaration, whose /box/work this one goes on with. Raises BoxError
    where the box cannot be held or the budget does not allow a first step, and StoreError where another run of the
    project goes on. However it ends, nothing of the box lives on, and what was reserved stays spent.
    """
    spec = declared.spec
    _check_apart(declared.project)
    if resumed is not None:
        same_lineage(declared, resumed)
    with opened(declared.project, declared.budget) as ledger, own_user(on := rung(spec.kernel)) as user:
        _check_reports(declared.project, ledger)
        _check_left(spec, ledger)
        _swept(declared.project)
        made, held = begun(declared), None
        try:
            if resumed is not None:
                unseal_folder(resumed.folder / "volume.age", made.folder / "volume", project_key(declared.project))
            held = tried(small(on, user, made.folder / "inputs"))
            if told is not None:
                told(made, held)
            report = partial(_report, declared, made, held, ledger, inputs_hash(made.folder / "inputs"), resumed)
            try:
                over = _supervised(declared, made, held, user, ledger, show)
            except KeyboardInterrupt:
                report(broken_off=True)
                raise
            with undisturbed():
                _put_away(spec, made)
            # How long that takes is not for an observer: it tells of how much there was.
            time.sleep(max(0.0, over + settles_s(spec) - time.monotonic()))
            return report(broken_off=False)
        finally:
            with undisturbed():
                _put_away(spec, made)
                if held is None:  # nothing ran in it
                    remove(made.folder)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that end a run wait until this is over: a second Ctrl-C leaves nothing in the clear."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_reports(project: Path, ledger: Ledger) -> None:
    """Every report has a copy of the ledger's head: who cut or exchanged the ledger would have to forge them all."""
    for each in runs(project):
        if each.report.exists():
            report = each.told()
            ledger.check_copy(Head(lines=report.lines, hash=report.ledger), f"the report of {each.id}")


def _check_apart(project: Path) -> None:
    """A box sees its interpreter's folders: no project lies there."""
    for each in (*interpreter(), Path("/usr")):
        if project.resolve().is_relative_to(each):
            raise BoxError(f"{project} lies in {each}, which every box sees", hint="a folder elsewhere")


def _check_left(spec: Spec, ledger: Ledger) -> None:
    if (needs := least(spec.outlet)) > ledger.balance.left:
        what = "all that is said at the end" if spec.outlet.mode == "final" else "a first step"
        raise BoxError(
            f"{what} may cost {shown(needs)}, and {shown(ledger.balance.left)} of the project's budget are left",
            hint="nothing more comes out of these weights and data: other ones are another project",
        )


def settles_s(spec: Spec) -> float:
    """How long a run takes to be put away after its transcript is over, by its limits: a machine is rarely slower."""
    limits = spec.limits
    sealed = limits.files * _SETTLES_FILE_S + size(limits.disk) * _SETTLES_BYTE_S if spec.resumable else 0.0
    return _SETTLES_S + sealed


def _report(
    declared: Declared, made: Run, held: Held, ledger: Ledger, went_in: Sha256, resumed: Run | None, broken_off: bool
) -> Report:
    """What is told of a run, written into its folder."""
    report = Report(
        run=made.id,
        spec=declared.hash,
        inputs=went_in,
        rung=held.rung,
        held=held.properties,
        remarks=remarks(),
        microbits=ledger.of(made.id),
        left=ledger.balance.left,
        ledger=ledger.head.hash,
        lines=ledger.head.lines,
        resumed=resumed.id if resumed else None,
        broken_off=broken_off,
    )
    write_whole(made.report, encode(report))
    return report


def _swept(project: Path) -> None:
    """Put away what a supervisor that was killed left in the clear."""
    for each in runs(project):
        if not (each.folder / "spec.json").exists():  # killed before anything was laid out
            remove(each.folder)
        elif each.volume.exists() or (each.folder / "inputs").exists():
            _put_away(each.spec, each)


def _put_away(spec: Spec, made: Run) -> None:
    """Seal /box/work where it can be taken up again, and remove what lay in the clear."""
    if made.volume.exists() and spec.resumable:
        limits, key = spec.limits, project_key(made.project)
        keep(made.volume, size(limits.disk), limits.files, made.folder / "volume.age", key.recipient)
    remove(*(made.folder / each for each in ("volume", "inputs", "monitor")))


def _supervised(declared: Declared, made: Run, held: Held, user: int, ledger: Ledger, show: Show) -> float:
    """When the transcript was over."""
    spec = declared.spec
    work = made.volume if spec.resumable else None
    if work is not None:
        _own(work, held, user)
    releasing = Releasing(spec.outlet, ledger, made.id, made.released, show)
    with _boxes(declared, made, held, user) as (box, monitor, said, printed):
        hearing, log = Hearing(said, spec.outlet.channels), Printed(printed, LOG_BYTES)
        try:
            with Looking(box.first, work, _together(spec)) as watchdog, _monitors(spec, monitor) as its:
                supervised = Supervised(box, hearing, log, watchdog, monitor, its)
                supervise(supervised, spec.outlet, declared.wall_s, releasing)
                return time.monotonic()
        finally:
            with undisturbed():
                box.kill()
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
    allowed = Allowed(
        memory=size(tripwire.memory), scratch=_MONITOR_SCRATCH, processes=tripwire.processes,
        cpu_s=max(1, int(seconds(declared.spec.limits.cpu))), disk=_MONITOR_SCRATCH,
    )  # fmt: skip
    return Confined(held.rung, user, folder / "inputs", None, allowed, interpreter(), environment)


def _confined(declared: Declared, made: Run, held: Held, user: int, environment: Mapping[str, str]) -> Confined:
    limits = declared.spec.limits
    allowed = Allowed(
        memory=size(limits.memory),
        scratch=size(limits.scratch),
        processes=limits.processes,
        cpu_s=max(1, int(seconds(limits.cpu))),
        disk=size(limits.disk),
    )
    work = made.volume if declared.spec.resumable else None
    return Confined(held.rung, user, made.folder / "inputs", work, allowed, interpreter(), environment)


def _together(spec: Spec) -> Together:
    limits = spec.limits
    return Together(
        memory=size(limits.memory),
        cpu_s=seconds(limits.cpu),
        disk=size(limits.disk),
        files=limits.files,
        kernel=spec.kernel,
    )


@contextmanager
def _monitors(spec: Spec, monitor: Running | None) -> Iterator[Looking | None]:
    """The watchdog of a tripwire's box."""
    if spec.tripwire is None or monitor is None:
        yield None
        return
    most = Together(size(spec.tripwire.memory), seconds(spec.limits.cpu), _MONITOR_SCRATCH, 0, spec.kernel)
    with Looking(monitor.first, None, most) as watchdog:
        yield watchdog


def _own(folder: Path, held: Held, user: int) -> None:
    """Give a folder to the box's own user, with all that is in it; links are not followed."""
    if held.rung == "B":
        return
    os.chown(folder, user, user)
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(at) / name, user, user, follow_symlinks=False)
