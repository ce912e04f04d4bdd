"""What a project has spent, in bits: an append-only file in which each line carries the hash of all before it.

Before anything can be observed its dearest price is reserved, and the line is on the disk; then it is shown; then what
it really cost is settled. A crash between the two keeps the reservation as spent. The budget is the project's: every
run, seed and resume of one lineage of weights and data draws on it, and it is never raised.

It protects against accidents and against one's own hand in a weak hour, by an error that says so. Whoever may write
both the ledger and its head can forge both: a copy of the head elsewhere (each report has one) tells.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import msgspec

from darklantern.box.outlet.pricing import shown
from darklantern.errors import BoxError, StoreError
from darklantern.files import cannot_write, write_whole
from darklantern.locks import take_lock
from darklantern.records.exact import Name, Sha256, Value, encode

LEDGER: Final = "ledger.jsonl"
HEAD: Final = "head.json"
_FIRST: Final = "0" * 64
_WAIT_S: Final = 1.0
"""for a supervisor that was killed while it started a program, whose beginnings hold the lock for a moment more"""
Kind = Literal["budget", "reserve", "settle"]


class Line(Value, frozen=True, kw_only=True):
    """One line. `previous` is the SHA-256 of the line before it, whole."""

    previous: Sha256
    number: int
    kind: Kind
    run: Name
    what: Name
    microbits: int


class Head(Value, frozen=True, kw_only=True):
    """How long the ledger is, and its last hash: what a report keeps a copy of."""

    lines: int
    hash: Sha256


@dataclass(frozen=True)
class Balance:
    """What a ledger comes to, in micro-bits."""

    budget: int = 0
    settled: int = 0
    reserved: int = 0
    """not settled: it is being observed, or was when the power failed"""

    @property
    def left(self) -> int:
        """What may still be spent."""
        return self.budget - self.settled - self.reserved


class Ledger:
    """A project's ledger, held by this process. Made by `opened`."""

    def __init__(
        self, folder: Path, head: Head, balance: Balance, by_run: dict[str, int], heads: frozenset[Head]
    ) -> None:
        self._folder, self.head, self.balance, self._by_run = folder, head, balance, by_run
        self._heads = heads
        self._pending = 0

    def reserve(self, run: str, what: str, microbits: int) -> None:
        """Put a price aside before anything is shown.

        Raises BoxError where it does not fit, and StoreError where the disk does not take it: nothing is reserved then.
        """
        if self._pending:
            raise BoxError("the last reservation was not settled", hint="settle it first: one step at a time")
        if microbits > self.balance.left:
            raise BoxError(
                f"{what} may cost {shown(microbits)}, and {shown(self.balance.left)} are left",
                hint="the budget is the project's, over all its runs, and is never raised",
            )
        self._append("reserve", run, what, microbits)
        self._pending = microbits
        self.balance = replace(self.balance, reserved=self.balance.reserved + microbits)

    def settle(self, run: str, what: str, microbits: int) -> None:
        """Say what was really spent of the last reservation: the rest may be spent again."""
        if not 0 <= microbits <= self._pending:
            raise BoxError(
                f"{microbits} micro-bits of {self._pending} reserved", hint="nothing costs more than its worst"
            )
        self._append("settle", run, what, microbits)
        held = self.balance
        self.balance = replace(held, settled=held.settled + microbits, reserved=held.reserved - self._pending)
        self._by_run[run] = self._by_run.get(run, 0) + microbits
        self._pending = 0

    def of(self, run: str) -> int:
        """What a run has spent, in micro-bits, settled."""
        return self._by_run.get(run, 0)

    def check_copy(self, copy: Head, where: str) -> None:
        """Raises BoxError where a head that was copied earlier is not one that this ledger had."""
        if copy not in self._heads:
            raise _altered(self._folder / LEDGER, f"{where} has another line {copy.lines} of it")

    def _append(self, kind: Kind, run: str, what: str, microbits: int) -> None:
        line = Line(previous=self.head.hash, number=self.head.lines, kind=kind, run=run, what=what, microbits=microbits)
        data = encode(line)
        path = self._folder / LEDGER
        try:
            with open(path, "ab", buffering=0, opener=_own) as file:
                end = file.tell()
                try:
                    if file.write(data + b"\n") <= len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(end)  # half a line would spoil the next one
                    raise
        except OSError as error:
            raise cannot_write(path, error) from error
        self.head = Head(lines=line.number + 1, hash=hashlib.sha256(data).hexdigest())
        write_whole(self._folder / HEAD, encode(self.head))


@contextmanager
def opened(folder: Path, budget: int) -> Iterator[Ledger]:
    """The ledger of a project, begun with `budget` micro-bits where there is none.

    Raises BoxError for a ledger that was altered or cut, or that has another budget, and StoreError where another
    process holds it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    lock = take_lock(folder / "ledger.lock", lambda by: _held(folder, by), _WAIT_S)
    try:
        ledger = _read(folder)
        if ledger.head.lines == 0 and (folder / "runs").exists():
            raise _altered(folder / LEDGER, "there are runs, and no line tells of them")
        if ledger.head.lines == 0:
            ledger._append("budget", "project", "the whole budget", budget)
            ledger.balance = Balance(budget=budget)
        elif ledger.balance.budget != budget:
            raise BoxError(
                f"{folder} has a budget of {shown(ledger.balance.budget)}, not of {shown(budget)}",
                hint="a project keeps its budget; other weights and other data are another project",
            )
        elif _head(folder) != ledger.head:  # a crash came between a line and its head
            write_whole(folder / HEAD, encode(ledger.head))
        yield ledger
    finally:
        os.close(lock)


def read(folder: Path) -> tuple[Head, Balance]:
    """Head and balance as they stand, without holding the ledger. Raises BoxError for one that was altered or cut."""
    ledger = _read(folder, mend=False)
    return ledger.head, ledger.balance


def _held(folder: Path, by: str) -> StoreError:
    return StoreError(f"the ledger in {folder} is held by {by}", hint="a run of this project goes on: one at a time")


def _read(folder: Path, mend: bool = True) -> Ledger:
    path = folder / LEDGER
    data = path.read_bytes() if path.exists() else b""
    whole, newline, _ = data.rpartition(b"\n")
    head, balance, pending = Head(lines=0, hash=_FIRST), Balance(), 0
    by_run: dict[str, int] = {}
    heads: list[Head] = []
    known = _head(folder)
    kept = 0
    for number, text in enumerate(whole.split(b"\n") if newline else []):
        line = _line(path, number, text)
        if known is not None and number == known.lines and line.kind == "settle":
            break  # whether a crash came before its head or somebody wrote it: the reservation stays spent
        kept += len(text) + 1
        if line.previous != head.hash or line.number != number:
            raise _altered(path, f"line {number + 1} does not follow the one before it")
        balance, pending = _after(path, balance, pending, line)
        if line.kind == "settle":
            by_run[line.run] = by_run.get(line.run, 0) + line.microbits
        head = Head(lines=number + 1, hash=hashlib.sha256(text).hexdigest())
        heads.append(head)
        if known is not None and known.lines == head.lines and known.hash != head.hash:
            raise _altered(path, f"line {head.lines} is not the one that {HEAD} names")
    if (known is None and head.lines > 1) or (known is not None and not known.lines <= head.lines <= known.lines + 1):
        raise _altered(path, f"{HEAD} names {known.lines if known else 'no'} lines, and {head.lines} are there")
    if kept < len(data) and mend:  # the power failed while it was written, before anything was shown for it
        with path.open("r+b") as file:
            file.truncate(kept)
            os.fsync(file.fileno())
    return Ledger(folder, head, balance, by_run, frozenset(heads))


def _own(name: str, flags: int) -> int:
    """What each step cost is nobody else's."""
    return os.open(name, flags, 0o600)


def _after(path: Path, balance: Balance, pending: int, line: Line) -> tuple[Balance, int]:
    """A balance after one more line, and what is reserved last."""
    if (line.kind == "budget") != (line.number == 0) or line.microbits < 0:
        raise _altered(path, f"line {line.number + 1} is a {line.kind} of {line.microbits}")
    if line.kind == "budget":
        return Balance(budget=line.microbits), 0
    if line.kind == "reserve":  # an earlier one that was never settled stays reserved for good
        return replace(balance, reserved=balance.reserved + line.microbits), line.microbits
    if line.microbits > pending:
        raise _altered(path, f"line {line.number + 1} settles more than was reserved")
    settled, reserved = balance.settled + line.microbits, balance.reserved - pending
    return replace(balance, settled=settled, reserved=reserved), 0


def _line(path: Path, number: int, text: bytes) -> Line:
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _altered(path, f"line {number + 1} is none: {error}") from error


def _head(folder: Path) -> Head | None:
    path = folder / HEAD
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _altered(path, f"it is no head: {error}") from error


def _altered(path: Path, what: str) -> BoxError:
    return BoxError(
        f"{path} was altered: {what}",
        hint="nothing of this project can be run or unsealed until it is as it was: restore both files from a backup",
    )
