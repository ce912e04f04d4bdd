"""The folder of a run as it is opened: whose it was, and whether it may be taken.

In: a folder. Out: that folder, made ready, and who runs there from now on; or an error that names who does already.
"""

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from darklantern.counted import counted
from darklantern.errors import StoreError, WatchError
from darklantern.files import PARTIAL, cannot_write
from darklantern.locks import take_lock
from darklantern.watch.runs.files import (
    ANSWERED,
    ASKED,
    CHECKPOINTS,
    EVENTS,
    HEARTBEAT,
    HUNG,
    RUN,
    WATCHDOG,
    About,
    Entry,
    Heartbeat,
    add_line,
    age_s,
    check_ours,
    get,
    new_nonce,
    now,
    put,
    put_over,
    short,
    user_name,
)
from darklantern.watch.runs.processes import life, this_process

_STALE_S: Final = 300.0
"""a run on another machine that has not beaten for so long is taken for dead"""
_OPENING_S: Final = 5.0


@dataclass(frozen=True)
class Opened:
    """A folder that is this process's."""

    about: About
    takes_over: bool
    """from another run of this process that was not closed"""


def opened(folder: Path) -> Opened:
    """Make `folder` the run's of this process. Raises WatchError, StoreError."""
    _make(folder)
    lock = take_lock(folder / "lock", lambda holder: _being_opened(folder, holder), _OPENING_S)
    try:
        earlier, left = _earlier(folder)
        _sweep(folder)
        about = _about(folder)
        own = earlier is not None and earlier.process == about.process and not _was_closed(folder, earlier)
        put(folder / RUN, about)
        first = Heartbeat(run=about.run, step=0, what="outside the loop", time=now(), pause=None, waiting="", alarm="")
        put_over(folder / HEARTBEAT, first)
        for name in (HUNG, WATCHDOG):
            (folder / name).unlink(missing_ok=True)
        over = f"; takes over from process {earlier.process.pid} of {earlier.started}" if earlier else ""
        unheard = f"; {counted(left, 'command')} never heard" if left else ""
        text = f"process {about.process.pid}{over}{unheard}"
        add_line(folder / EVENTS, Entry(time=now(), by="run", what="opened", run=about.run, text=text), sync=False)
    except OSError as error:
        raise StoreError(
            f"cannot open the run's folder {folder}: {error.strerror or error}", hint="name another, or look there"
        ) from error
    finally:
        os.close(lock)
    return Opened(about, own)


def _make(folder: Path) -> None:
    """The run's folder and those in it. Raises WatchError, StoreError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        check_ours(folder)
        for name in (ASKED, ANSWERED):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _being_opened(folder: Path, holder: str) -> StoreError:
    return StoreError(f"the run's folder {folder} is being opened by {holder}", hint="name another folder")


def check_over(folder: Path) -> About | None:
    """Whose run the folder was, if any. Raises WatchError, naming it, if it goes on."""
    try:
        earlier = get(folder / RUN, About, frozenset((os.geteuid(),)), may_be_blank=True)
    except WatchError as error:
        raise WatchError(
            f"expected a folder of a run, or one without a {RUN}: {error.message}", hint="name another folder"
        ) from error
    if earlier is not None and earlier.process != this_process() and _may_live(folder, earlier):
        raise WatchError(
            f"the run in {folder} goes on: process {earlier.process.pid} ({earlier.program}) of {earlier.user} on "
            f"{earlier.host}, since {earlier.started}",
            hint="name another folder, or `darklantern watch stop` that run first",
        )
    return earlier


def _earlier(folder: Path) -> tuple[About | None, int]:
    """Whose the folder was, and how many unheard commands were removed. Raises WatchError if it lives."""
    earlier = check_over(folder)
    left = [path for path in (folder / ASKED).iterdir() if path.is_symlink() or not path.is_dir()]
    for path in left:
        path.unlink()
    return earlier, len(left)


def _sweep(folder: Path) -> None:
    """Remove what a killed process was writing here: of a checkpoint that can be as much as the checkpoint."""
    for place in (folder, folder / ANSWERED, folder / CHECKPOINTS):
        if place.is_symlink():  # it may be others' too, who write there now
            continue
        for path in place.glob(f".*{PARTIAL}"):
            if path.is_file() and not path.is_symlink():
                path.unlink()


def _was_closed(folder: Path, run: About) -> bool:
    beat = get(folder / HEARTBEAT, Heartbeat, frozenset((run.uid,)), in_place=True, may_be_blank=True)
    return beat is not None and beat.run == run.run and beat.what == "closed"


def _may_live(folder: Path, run: About) -> bool:
    if _was_closed(folder, run):
        return False
    beat = get(folder / HEARTBEAT, Heartbeat, frozenset((run.uid,)), in_place=True, may_be_blank=True)
    where = life(run.process)
    if where == "elsewhere":
        return beat is not None and age_s(beat.time) < _STALE_S
    return where != "ended"


def _about(folder: Path) -> About:
    return About(
        run=new_nonce(),
        name=folder.name[:200] or "run",
        process=this_process(),
        uid=os.geteuid(),
        host=platform.node() or "unknown",
        user=user_name(os.geteuid()),
        program=short(Path(sys.argv[0]).name if sys.argv and sys.argv[0] else Path(sys.executable).name) or "python",
        started=now(),
        darklantern=version("darklantern"),
    )
