"""How far a long sealing has come, so that a crash costs one piece and not the whole.

    begin <base64>         what the sealing needs to go on, itself sealed
    mark <piece> <hash>    written and synced before anything of that piece is sealed
    done <piece> <name>    the piece is stored

In: facts, one line each. Out: the same after a crash; a last line that was cut short is dropped. A file
that holds anything else is refused. No line tells what is being sealed.
"""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Final

from darklantern.errors import StoreError
from darklantern.files import cannot_write, write_whole

_BEGIN: Final = re.compile(rb"begin ([A-Za-z0-9+/=]+)")
_FACT: Final = re.compile(rb"(mark|done) (0|[1-9][0-9]{0,9}) ([0-9a-f]{64})")


class Journal:
    """The journal of one sealing. Use `begin_journal` or `open_journal`; close it."""

    def __init__(self, path: Path, begun: bytes, marks: dict[int, str], done: dict[int, str]) -> None:
        self.begun = begun
        self.marks = marks
        """piece → mark of its plaintext"""
        self.done = done
        """piece → name"""
        self._path = path
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.fsync(self._handle)  # a mark that a killed process did not sync is relied upon from here
        except OSError as error:
            raise cannot_write(path, error) from error

    def mark(self, piece: int, mark: str) -> None:
        """Say which plaintext is about to be sealed. It is on the disk when this returns. Raises StoreError."""
        self._append(f"mark {piece} {mark}\n")
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self.marks[piece] = mark

    def finish(self, piece: int, name: str) -> None:
        """Say that a piece is stored. Not synced: where the line is lost, the same bytes are sealed again."""
        self._append(f"done {piece} {name}\n")
        self.done[piece] = name

    def remove(self) -> None:
        """Remove the file. Raises StoreError."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._handle)

    def _append(self, line: str) -> None:
        data = line.encode()
        try:
            if os.write(self._handle, data) != len(data):
                raise OSError("the disk took only a part of a line")
        except OSError as error:
            raise cannot_write(self._path, error) from error


def begin_journal(path: Path, begun: bytes) -> Journal:
    """A new journal, which appears with its first line. Raises StoreError."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    write_whole(path, b"begin " + base64.b64encode(begun) + b"\n")
    return Journal(path, begun, {}, {})


def open_journal(path: Path) -> Journal | None:
    """The journal that is there, ready to go on; None when there is none. Raises StoreError for a damaged one."""
    try:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):  # the next line must not be written behind half of one
            os.truncate(path, whole)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_write(path, error) from error
    first, *lines = data[:whole].split(b"\n")[:-1] or [b""]
    begin = _BEGIN.fullmatch(first)
    facts = [_FACT.fullmatch(line) for line in lines]
    marks: dict[int, str] = {}
    done: dict[int, str] = {}
    for fact in facts:
        known = {b"mark": marks, b"done": done}[fact[1]] if fact else {}
        if not fact or known.setdefault(int(fact[2]), fact[3].decode()) != fact[3].decode():
            raise _damaged(path)
    if not begin:
        raise _damaged(path)
    try:
        return Journal(path, base64.b64decode(begin[1], validate=True), marks, done)
    except binascii.Error as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"the journal of an unfinished sealing, {path}, is damaged",
        hint="give the sealing up, and begin it again: nothing that was shared depends on it",
    )
