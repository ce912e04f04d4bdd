"""What stands in the folder of a run: who runs, how far it is, what others ask of it, what was answered.

In: values. Out: files that are there whole or not at all, and values from files that are judged before they are
believed: never through a symlink, never larger than `MOST` bytes, never another user's, decoded strictly.

| file | written by | says |
|---|---|---|
| run.json | the training process | `About` |
| heartbeat.json | the training process | `Heartbeat` |
| asked/NONCE.json | who asks | `Command` |
| answered/NONCE.json | the training process | `Answer` |
| watchdog.json | the training process | which process the watchdog is |
| hung.json | the watchdog | `Hung`; goes when the loop beats again |
| events.jsonl | both, and who asks | an `Entry` a line, only ever added to |
"""

import errno
import os
import pwd
import re
import secrets
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from darklantern.drawing.lettering import harmless
from darklantern.errors import RecordError, StoreError, WatchError
from darklantern.files import cannot_write, partial_of
from darklantern.records.exact import Name, Time, Value, decode, encode
from darklantern.watch.runs.processes import Process

RUN: Final = "run.json"
HEARTBEAT: Final = "heartbeat.json"
WATCHDOG: Final = "watchdog.json"
HUNG: Final = "hung.json"
EVENTS: Final = "events.jsonl"
FINISHED: Final = "finished"
"""an entry: the process ended in good order, outside the loop; it was not closed"""
FAILED: Final = "failed"
"""an entry: an exception ended the process, or was in flight when the run was closed; its text is that one's name"""
LEFT: Final = "left"
"""an entry: the process ended in good order from within the loop"""
ASKED: Final = "asked"
ANSWERED: Final = "answered"
CHECKPOINTS: Final = "checkpoints"
"""folder of the states that are written at alarms"""
MOST: Final = 16_384
"""bytes of any one file that is believed"""
SHORT: Final = 400
"""characters of a text, at most 1,600 bytes: two of them and the rest fit in a page"""
_PAGE: Final = 4096
_TORN_S: Final = 0.01

T = TypeVar("T")
_NONCE: Final = r"^[0-9a-f]{32}\Z"
Nonce = Annotated[str, msgspec.Meta(pattern=_NONCE)]
Step = Annotated[int, msgspec.Meta(ge=0)]
Short = Annotated[str, msgspec.Meta(max_length=SHORT)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Do = Literal["stop", "pause", "go on", "roll back"]
Doing = Literal["training", "looking", "reacting", "paused", "outside the loop", "closed"]
"""`outside the loop`: the process does something else, so that it doesn't beat is no hang"""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class About(Value, frozen=True, kw_only=True):
    """Which run this folder is of. One that takes the folder over has another `run`."""

    format: Literal["run 1"] = "run 1"
    run: Nonce
    name: Name
    process: Process
    uid: int
    host: Name
    user: Name
    program: Name
    """the program's name alone: arguments may hold what nobody else should read"""
    started: Time
    darklantern: Name


class Heartbeat(Value, frozen=True, kw_only=True):
    """How far the loop is, at most a second ago."""

    format: Literal["heartbeat 1"] = "heartbeat 1"
    run: Nonce
    step: Step
    what: Doing
    time: Time
    pause: Nonce | None
    """the pause that waits for a person: a `go on` names it, so that nobody approves what they have not seen"""
    waiting: Short
    """what it waits for"""
    alarm: Short
    """the last alarm"""


class Command(Value, frozen=True, kw_only=True):
    """What somebody asks of the loop."""

    format: Literal["command 1"] = "command 1"
    nonce: Nonce
    run: Nonce
    """the run that it is for, and none that takes its folder over"""
    do: Do
    pause: Nonce | None
    """the pause that a `go on` approves"""
    grace_s: Seconds
    """how long the loop may take to heed a `stop`, before the watchdog ends its process"""
    why: Short
    user: Name
    uid: int
    time: Time

    def said(self, what: str) -> str:
        """Who asked `what`, and why if they said so."""
        return f"{self.user} {what}{f': {self.why}' if self.why else ''}"


class Answer(Value, frozen=True, kw_only=True):
    """What the loop did about a command."""

    format: Literal["answer 1"] = "answer 1"
    nonce: Nonce
    done: bool
    step: Step
    outcome: Short
    time: Time


class Hung(Value, frozen=True, kw_only=True):
    """No step for longer than was allowed."""

    format: Literal["hung 1"] = "hung 1"
    run: Nonce
    silent_s: Seconds
    then: Literal["notify", "stop"]
    time: Time


class Entry(Value, frozen=True, kw_only=True):
    """One line of what happened."""

    time: Time
    by: Literal["run", "watchdog", "asker"]
    what: Name
    run: Nonce
    nonce: Nonce | None = None
    """the command that it is about"""
    text: Short = ""


class Guard(Value, frozen=True, kw_only=True):
    """Which process watches over a run from outside."""

    run: Nonce
    process: Process


def runs_folder() -> Path:
    """Where runs lie that were given a name: `darklantern/runs` in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    return (Path(state) if Path(state).is_absolute() else Path.home() / ".local/state") / "darklantern" / "runs"


def folder_of(run: str | Path) -> Path:
    """The folder of a run: a Path, or a text with a separator in it, is the folder itself; a word is a run's name.

    Raises WatchError for a word that is no name, and for the home of a user who is none.
    """
    if isinstance(run, Path) or os.sep in run or run in (".", "..", "~"):
        try:
            return Path(run).expanduser().absolute()
        except RuntimeError as error:  # of a user whom this machine does not know
            raise WatchError(
                f"expected the folder of a run, got {str(run)!r}: {error}", hint="write it in full"
            ) from error
    if not _NAME.fullmatch(run):
        raise WatchError(
            f"expected the name of a run or its folder, got {run!r}",
            hint="a name has at most 64 letters, digits, dots, dashes and underscores; a folder is written ./folder",
        )
    return runs_folder() / run


def new_nonce() -> str:
    """128 random bits in hex."""
    return secrets.token_hex(16)


def is_nonce(text: str) -> bool:
    """Whether `text` is written like one."""
    return re.match(_NONCE, text) is not None


def now() -> str:
    """UTC to the second, as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age_s(time: str) -> float:
    """Seconds since `time`; 0 for one that is still to come."""
    then = datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - then).total_seconds())


def short(text: str) -> str:
    """`text` as it may stand in a file here: on one line, at most `SHORT` characters."""
    kept = harmless(text[: SHORT + 1])
    return kept if len(kept) <= SHORT else f"{kept[: SHORT - 1]}…"


def user_name(uid: int) -> str:
    """The name of a user, or their number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def put(path: Path, value: Value, mode: int = 0o600) -> None:
    """`value` as the file `path`, there whole or not at all, replacing what was there. Raises StoreError.

    Not synced: after a power cut there is no run that it could be about.
    """
    data, partial = encode(value), partial_of(path)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            if mode != 0o600:
                os.fchmod(file.fileno(), mode)
            file.write(data)
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _remove(partial)


def put_over(path: Path, value: Value) -> None:
    """`value` in place of what stands in the file `path`, in one write of one page. Raises StoreError.

    For what is written every second: ten microseconds, where ext4 takes up to four milliseconds to rename a file over
    another; and a full disk doesn't keep it from being written. Not even SIGKILL ends a write within a page, but who
    reads in that very moment may see half of it: see `get`.
    """
    data = encode(value).ljust(_PAGE)
    if len(data) > _PAGE:
        raise StoreError(f"expected at most {_PAGE} bytes for {path}, got {len(data)}", hint="shorten its texts")
    try:
        held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            written = os.pwrite(held, data, 0)
        finally:
            os.close(held)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise cannot_write(path, error) from error


def get(
    path: Path, kind: type[T], owners: frozenset[int], *, in_place: bool = False, may_be_blank: bool = False
) -> T | None:
    """The value in the file `path`; None where there is no such file. Raises WatchError for one not to be believed.

    One that is written `in_place` is read again when it cannot be decoded: it may be written just now. Where one
    `may_be_blank`, without a byte or of zeros, it says nothing, as if it were not there: nothing is synced here, so a
    machine that loses its power can leave it so.
    """
    data = _read(path, owners)
    if data is None:
        return None
    try:
        return decode(kind, data)
    except RecordError as error:
        if not in_place:
            if may_be_blank and not data.strip(b"\0"):
                return None
            raise _unbelieved(path, error.message) from error
    time.sleep(_TORN_S)
    return get(path, kind, owners, may_be_blank=may_be_blank)


def _read(path: Path, owners: frozenset[int]) -> bytes | None:
    try:
        # Without O_NONBLOCK a named pipe in its place would hold whoever opens it.
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        what = "a symlink, which is not followed" if path.is_symlink() else error.strerror
        raise _unbelieved(path, f"cannot be read: {what}") from error
    try:
        about = os.fstat(held)
        if not stat.S_ISREG(about.st_mode):
            raise _unbelieved(path, "is no plain file")
        if about.st_uid not in owners:
            raise _unbelieved(path, f"belongs to {user_name(about.st_uid)}")
        data = os.read(held, MOST + 1)
    except OSError as error:
        raise _unbelieved(path, f"cannot be read: {error.strerror}") from error
    finally:
        os.close(held)
    if len(data) > MOST:
        raise _unbelieved(path, f"has more than {MOST:,} bytes")
    return data.rstrip(b" ")


def add_line(path: Path, value: Value, *, sync: bool) -> None:
    """Add `value` as a line, in one write, after whatever a full disk cut off. Raises StoreError."""
    line = encode(value) + b"\n"
    try:
        how = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, how, 0o600), "r+b", buffering=0) as file:
            end = os.fstat(file.fileno()).st_size
            torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
            line = b"\n" + line if torn else line
            if os.write(file.fileno(), line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def entries(folder: Path) -> list[Entry]:
    """All that is known to have happened in a run's folder; lines that a full disk cut off are left out."""
    try:
        held = os.open(folder / EVENTS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    if not stat.S_ISREG(os.fstat(held).st_mode):
        os.close(held)
        return []
    found = []
    with os.fdopen(held, "rb") as file:
        for line in file:
            try:
                found.append(decode(Entry, line.rstrip(b"\n")))
            except RecordError:
                continue
    return found


def check_ours(folder: Path) -> None:
    """Raises WatchError unless `folder` is a folder that its owner, who is the caller, keeps to themselves."""
    about = folder.stat()
    if not stat.S_ISDIR(about.st_mode):
        raise WatchError(f"expected a folder for the run, got a file: {folder}", hint="name another")
    if about.st_uid != os.geteuid():
        raise WatchError(
            f"the folder {folder} belongs to {user_name(about.st_uid)}: whoever can write there could stop this run",
            hint="name a folder that is not there yet",
        )
    if about.st_mode & 0o077:
        raise WatchError(
            f"the folder {folder} is open to other users (mode {about.st_mode & 0o777:o})",
            hint=f"`chmod 700 {folder}`, or name one that is not there yet",
        )


def _unbelieved(path: Path, why: str) -> WatchError:
    return WatchError(f"{path} {why}", hint="nothing was done about it; see who put it there, and remove it")


def _remove(path: Path) -> None:
    """After a replace it is gone already; on a folder that vanished there is nothing left to remove."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
