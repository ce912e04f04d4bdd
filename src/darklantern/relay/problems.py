"""Why a request is refused, as HTTP says it."""

import errno
from typing import Final

from darklantern.errors import DarkLanternError, LogError, RecordError, RefusedError, SignatureError, StoreError
from darklantern.relay.stores import OtherBytesError, QuotaError
from darklantern.relay.telling import tell_stores


class Problem(DarkLanternError):
    """A refusal with its status. `retry_after` is in seconds, where trying again helps."""

    def __init__(self, status: int, message: str, hint: str, retry_after: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.retry_after = retry_after


_STATUS: Final[tuple[tuple[type[DarkLanternError], int], ...]] = (
    (QuotaError, 507),
    (OtherBytesError, 400),
    (RecordError, 400),
    (LogError, 400),
    (SignatureError, 403),
    (RefusedError, 403),
    (StoreError, 503),
)
_NO_SPACE: Final = ("SQLITE_FULL", "53100")
"""what SQLite and PostgreSQL (`disk_full`) say of it"""
DISK_FULL: Final = "its disk is full"
RETRY_S: Final = 2


def problem(error: DarkLanternError) -> Problem:
    """Any error of ours as a refusal. What a store says is for the relay's keeper, not for who asks."""
    if isinstance(error, Problem):
        return error
    if is_full(error):
        tell_stores(error)
        return full()
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status >= 500 and status != 507:
        tell_stores(error)
        return busy("the relay cannot use its stores now")
    return Problem(status, error.message, error.hint)


def is_full(error: BaseException | None) -> bool:
    """Whether the disk under a store took no more bytes: then nothing was changed, and all that is there is read."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if {getattr(error, "sqlite_errorname", None), getattr(error, "sqlstate", None)} & {*_NO_SPACE}:
            return True
        error = error.__cause__
    return False


def full() -> Problem:
    """507 by no account's fault."""
    return Problem(507, "the relay's disk is full", "its keeper must make room; what is there can be read", RETRY_S)


def busy(message: str) -> Problem:
    """503: not now."""
    return Problem(503, message, "wait a little, and try again", RETRY_S)


def too_many(message: str, retry_after: float) -> Problem:
    """429: not so often."""
    return Problem(429, message, "wait as long as Retry-After says", max(1, round(retry_after + 0.5)))


def malformed(message: str, hint: str = "see docs/spec/relay.md") -> Problem:
    """400."""
    return Problem(400, message, hint)


def unknown(message: str) -> Problem:
    """404."""
    return Problem(404, message, "was it dropped, or never sent here? another relay may have it")
