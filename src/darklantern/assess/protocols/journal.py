"""The outcomes of trials on disk, line by line: what an interrupted measurement goes on from, and its evidence.

A line is written whole and synced before the next trial begins, so that power may fail at any time; half a line at the
end is cut off. One process holds a journal at a time.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from darklantern.assess.protocols.trials import Outcome, Outcomes
from darklantern.errors import AssessmentError, StoreError
from darklantern.files import cannot_write
from darklantern.locks import take_lock

_VERSION: Final = 1


class Journal:
    """What was measured of one subject so far. Made by `opened`."""

    def __init__(self, path: Path | None, subject: str, lines: list[dict[str, Any]], code: str | None = None) -> None:
        self._path, self.subject, self._lines, self.code = path, subject, lines, code

    def outcomes(self, protocol: str) -> Outcomes:
        """Trial → what it found, of one protocol, in the order of running."""
        return {line["trial"]: line["outcome"] for line in self._lines if line["protocol"] == protocol}

    def seconds(self, protocol: str) -> dict[str, list[float]]:
        """Kind of trial → how long those that ran took."""
        found: dict[str, list[float]] = {}
        for line in self._lines:
            if line["protocol"] == protocol:
                found.setdefault(line["kind"], []).append(line["seconds"])
        return found

    def evidence(self, protocol: str) -> tuple[bytes, str]:
        """The outcomes of one protocol as exact JSON, and their SHA-256."""
        told = {"subject": self.subject, "protocol": protocol, "outcomes": self.outcomes(protocol)}
        data = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
        return data, hashlib.sha256(data).hexdigest()

    def otherwise(self) -> int:
        """How many outcomes other code found than this journal was opened for, as far as both are known."""
        return sum(self.code is not None and line.get("code", self.code) != self.code for line in self._lines)

    def add(self, protocol: str, trial: str, kind: str, outcome: Outcome, seconds: float) -> None:
        """Note what a trial found. Raises StoreError where it cannot be written, and AssessmentError for no JSON."""
        line = {"protocol": protocol, "trial": trial, "kind": kind, "outcome": outcome, "seconds": round(seconds, 3)}
        line |= {} if self.code is None else {"code": self.code}
        try:
            data = json.dumps(line, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssessmentError(
                f"{protocol}, {trial}: expected an outcome of plain JSON, got {str(outcome)[:100]}: {error}",
                hint="numbers must be finite; arrays become lists",
            ) from error
        if self._path is not None:
            _append(self._path, data)
        self._lines.append(json.loads(data))


@contextmanager
def opened(path: Path | None, subject: str, code: str | None = None) -> Iterator[Journal]:
    """The journal of a subject in a file, made where there is none; without a file, in memory alone.

    `code` is a hash of what measures, which each outcome notes. Raises StoreError where another process holds it, and
    AssessmentError for a file that is no journal of this subject.
    """
    if path is None:
        yield Journal(None, subject, [], code)
        return
    held = take_lock(path.with_name(path.name + ".lock"), lambda by: _held(path, by))
    try:
        yield Journal(path, subject, _read(path, subject), code)
    finally:
        os.close(held)


def _held(path: Path, by: str) -> StoreError:
    return StoreError(f"{path} is being written by {by}", hint="wait for it, or give this run a journal of its own")


def kept(data: bytes, subject: str) -> Journal:
    """A journal from what a file of one holds, in memory: to conclude from, or to go on with elsewhere. Raises
    AssessmentError for what is no journal of this subject.
    """
    return Journal(None, subject, _parsed(data, subject, "this") if data else [])


def _read(path: Path, subject: str) -> list[dict[str, Any]]:
    if not path.exists() or not path.stat().st_size:
        _append(path, json.dumps({"journal": _VERSION, "subject": subject}))
    data = path.read_bytes()
    lines = _parsed(data, subject, str(path))
    whole = data.rfind(b"\n") + 1
    if whole < len(data):  # the power failed while it was written
        with path.open("r+b") as file:
            file.truncate(whole)
    return lines


def _parsed(data: bytes, subject: str, what: str) -> list[dict[str, Any]]:
    """Its whole lines but the head."""
    try:
        head, *lines = map(json.loads, data.rpartition(b"\n")[0].splitlines())
        known, of = head["journal"] == _VERSION and all(map(_is_line, lines)), head["subject"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AssessmentError(f"{what} is no journal of measurements: {error}", hint="give another file") from error
    if not known or of != subject:
        raise AssessmentError(
            f"{what} is a journal of {of!r}, not of {subject!r}",
            hint="outcomes of another subject do not count for this one: give another file",
        )
    return lines


def _is_line(line: Any) -> bool:
    """What `Journal.add` writes."""
    texts = all(isinstance(line[name], str) for name in ("protocol", "trial", "kind"))
    return texts and "outcome" in line and isinstance(line["seconds"], int | float)


def _append(path: Path, line: str) -> None:
    try:
        with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error
