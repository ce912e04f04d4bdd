"""One tree of errors. Each says what was expected, what came, and a hint on what to try."""

from collections.abc import Callable
from typing import TypeVar

Refused = TypeVar("Refused", bound="DarkLanternError")


class DarkLanternError(Exception):
    """Base of all errors raised on purpose.

    `str(error)` is the message; the hint is kept apart so that a terminal, a page and a program
    can each show it in their own way. A traceback shows it as a note.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.add_note(f"hint: {hint}")


def cause_of(error: BaseException) -> str:
    """What an error says, for a line of ours: our own message, of any other its name and arguments."""
    return error.message if isinstance(error, DarkLanternError) else repr(error)


class SiteError(DarkLanternError):
    """A site that does not exist, or one that was asked for and never fired."""


class MethodError(DarkLanternError):
    """Data, labels or numbers that a method cannot make a result of."""


class SnapshotError(DarkLanternError):
    """A training-state snapshot that is missing, half-written or of another model."""


class WatchError(DarkLanternError):
    """A watch that could not attach, a tap that saw no data, or a monitor that failed."""


class RecordError(DarkLanternError):
    """Bytes that are not exactly one valid record."""


class RecipeError(DarkLanternError):
    """A recipe that names something not in the local table, or whose artifacts do not match."""


class AssessmentError(DarkLanternError):
    """An answer outside the criteria, or a table that is not total."""


class BoxError(DarkLanternError):
    """A box that cannot be held as strictly as it was asked for, or whose budget does not allow it."""


class SealError(DarkLanternError):
    """A sealed file that is damaged, or that none of the given keys opens."""


class NoKeyError(SealError):
    """A sealed file that none of the given keys opens: it is for others."""


class SignatureError(DarkLanternError):
    """A signature that is missing, unknown, out of order or wrong."""


class LogError(DarkLanternError):
    """A log or bundle that is truncated, altered or inconsistent with what was seen before."""


class RelayError(DarkLanternError):
    """A relay that cannot be reached, breaks off, or does not answer as the wire says."""


class NotAdmittedError(RelayError):
    """A relay takes this from members of a circle alone, and this device is none."""


class RefusedError(DarkLanternError):
    """A decision of the rules: this may not be sealed, added or shared. The message names the rule."""


class StoreError(DarkLanternError):
    """A file or an encrypted store that cannot be opened or written."""


class SearchError(DarkLanternError):
    """A search that names nothing to look for."""


class PageError(DarkLanternError):
    """The local page cannot be served."""


class MissingExtraError(DarkLanternError):
    """An optional part is not installed."""


def refusing(kind: type[Refused], what: str, hint: str) -> Callable[[str, str], Refused]:
    """The errors of one file, which are all about one thing and have one hint: `raise _refused(expected, got)`."""

    def refused(expected: str, got: str) -> Refused:
        return kind(f"{what}: expected {expected}, got {got}", hint)

    return refused
