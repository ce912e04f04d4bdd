"""A relay's log: one JSON object on a line, for machines. No content, no names; ids by their first eight letters.

In: what happened. Out: lines on stderr. What is not given here is not logged: there is no way to log a text that a
peer wrote.
"""

import errno
import json
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final

_ID_LETTERS: Final = 8


def short(id: str) -> str:
    """The beginning of an id: enough to compare, too little to look anything up by."""
    return id[:_ID_LETTERS]


def tell(event: str, **fields: int | float | str | bool | None) -> None:
    """Write one line. `event` and fields are our own words and numbers."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    with suppress(OSError):  # a log that has no room must not end what it tells of
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()


def tell_stores(error: BaseException) -> None:
    """Stores that fail: the system's own word for why. Not its text, which holds paths and names of blobs."""
    while error.__cause__ is not None:
        error = error.__cause__
    code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    tell("stores", problem=code or getattr(error, "sqlite_errorname", None) or type(error).__name__)


def tell_defect(error: BaseException) -> None:
    """An error that nobody meant: its kind, and where. Not its text, which may quote what a peer sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    tell("defect", kind=type(error).__name__, where=where)
