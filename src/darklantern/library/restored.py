"""A library that came from a backup signs nothing before it knows what it had signed before.

In: a view, the settings and the logs that this library keeps. Out: why it must not sign in a log yet, or None. After
the backup was made, this device may have written records that the backup lacks. A second record at the same place of
its chain is proof that its key is in two hands, and freezes it; a second entry at one place of a log that it keeps
freezes the log for everybody.

A log that another appends to is known again by its keeper's own word since the restore: a checkpoint that it signed
since, or, where its relay was asked, all that this one showed. That the log is as long as in the backup would say
nothing, for the records that matter came later. A log that this library keeps itself has nobody to ask, so a person
says that it is whole, after importing from those who read it.

Not covered: a record that left in a bundle, is in no log yet, and arrives after the new one. Nothing here can know it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.clock import seconds, text
from darklantern.network.reading import read
from darklantern.network.view import View
from darklantern.records.exact import Sha256, Time, Value, decode, encode

COPIED: Final = "copied"
"""Setting in the database of a backup. Whoever opens it, however it got there, opens a copy."""
REMEDY: Final = (
    "`darklantern sync` with the log's keeper, or import a bundle that it made since; where this library keeps the log "
    "itself, import from everybody who reads it, and then say so: `darklantern library confirm-whole LOG`"
)
"""What makes a restored library sign again."""
_RESTORED: Final = "restored"
"""Setting: when a copy was opened for the first time, in seconds."""
_WHOLE: Final = "whole "
"""Setting, with a log's id behind it: a person says that nothing is missing in it."""


class Copied(Value, frozen=True, kw_only=True):
    """What a backup says of itself."""

    v: Literal[1] = 1
    time: Time
    missing: tuple[Sha256, ...]
    """pieces that the library lacked already, or had damaged, when the backup was made"""


def copied(missing: Collection[str], now: int) -> dict[str, str]:
    """The setting that makes a database one of a backup."""
    return {COPIED: encode(Copied(time=text(now), missing=tuple(sorted(missing)))).decode()}


def read_copied(settings: Mapping[str, str]) -> Copied | None:
    """What a backup says of itself, or None where this is none."""
    return decode(Copied, settings[COPIED].encode()) if COPIED in settings else None


def opened(settings: Mapping[str, str], now: int) -> dict[str, str]:
    """The settings of a copy that has been opened: from here on it is a library that was restored at `now`."""
    kept = {name: value for name, value in settings.items() if name != COPIED and not name.startswith(_WHOLE)}
    return {**kept, _RESTORED: str(now)}


def confirmed(settings: Mapping[str, str], log: str) -> dict[str, str]:
    """The settings after a person has said that a log is whole here."""
    return {**settings, f"{_WHOLE}{log}": "yes"}


def heard(settings: Mapping[str, str], logs: Collection[str]) -> Mapping[str, str]:
    """The settings after the keepers of these logs were asked, and everything that they showed is held. The same where
    nothing waits for that."""
    fresh = {f"{_WHOLE}{log}": "yes" for log in logs} if _RESTORED in settings else {}
    return settings if fresh.keys() <= settings.keys() else {**settings, **fresh}


def waits(
    view: View, entries: Mapping[str, Sequence[bytes]], settings: Mapping[str, str], kept: Collection[str], log: str
) -> str | None:
    """Why nothing may be signed in a log yet, or None."""
    if _RESTORED not in settings or f"{_WHOLE}{log}" in settings:
        return None
    since = int(settings[_RESTORED])
    head = view.heads.get(log)
    founded_since = head is None and _founded(view, entries, log) >= since
    if founded_since or (log not in kept and head is not None and head.time >= since):
        return None
    if log in kept:
        return (
            f"this library was restored from a backup and keeps log {log[:8]}… itself: what it appended after the "
            "backup is with others only"
        )
    return (
        f"this library was restored from a backup on {text(since)}, and log {log[:8]}… has not been synced with its "
        "keeper since"
    )


def check(reason: str | None) -> None:
    """Raises RefusedError for a reason to wait."""
    if reason is not None:
        raise RefusedError(
            f"{reason}; signing now could put two records at one place, which freezes this device or the log",
            hint=REMEDY,
        )


def _founded(view: View, entries: Mapping[str, Sequence[bytes]], log: str) -> int:
    """When a circle's record says that it was founded; 0 for anything else. Who lies here harms only themselves."""
    for data in entries.get(view.net, ()):
        try:
            found = read(data)
        except DarkLanternError:  # an opaque leaf founds nothing
            continue
        if found.id == log:
            return seconds(found.record.time)
    return 0
