"""Telling its user that there is something to look at: on the desktop, to a program, in a file. Never over a network.

In: notifications. Out: a sentence that counts them, and for programs their ids. No word of what was shared leaves the
library this way: desktops keep histories, arguments can be read by every user, and files outlive their reason.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from darklantern.errors import StoreError
from darklantern.files import cannot_write
from darklantern.library.threads.notifications import Notification, summary
from darklantern.records.exact import Name, Sha256, Value, encode

PATIENCE = 60
"""seconds for a program"""


class Told(Value, frozen=True, kw_only=True):
    """One notification as a program reads it: a line of JSON."""

    kind: Name
    log: Sha256
    thread: Sha256 | None
    id: Name


def lines(found: Sequence[Notification]) -> bytes:
    """A line of JSON for each."""
    told = (Told(kind=each.kind, log=each.log, thread=each.thread, id=each.id) for each in found)
    return b"".join(encode(each) + b"\n" for each in told)


def on_desktop(found: Sequence[Notification]) -> bool:
    """Show how many there are by the desktop's own notify-send. False where there is none. Raises StoreError."""
    program = shutil.which("notify-send")
    if program is None:
        return False
    _run([program, "--app-name=Dark Lantern", "Dark Lantern", summary(found)], b"")
    return True


def to_program(program: Path, found: Sequence[Notification]) -> None:
    """Run a program of the user's choice, with a line of JSON for each on its stdin. Raises StoreError."""
    _run([str(program)], lines(found))


def to_file(path: Path, found: Sequence[Notification]) -> None:
    """Add a line of JSON for each to a file that only its owner reads. Raises StoreError."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "ab") as out:
            out.write(lines(found))
    except OSError as error:
        raise cannot_write(path, error) from error


def _run(command: list[str], given: bytes) -> None:
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"cannot run {command[0]}: {error}", hint="expected a program that ends by itself") from error
    if done.returncode:
        raise StoreError(f"{command[0]} ended with status {done.returncode}", hint="run it by hand to see why")
