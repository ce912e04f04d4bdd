"""Time as rules use it: seconds since 1970, never earlier than what was already proven.

In: a clock's reading and a floor. Out: the time to judge by. It reads no clock.
"""

from datetime import UTC, datetime
from typing import Final

from darklantern.errors import RecordError, RefusedError
from darklantern.records.exact import Time

BUILD: Final = 1_790_000_000
"""2026-09-21: this code did not exist before, so no honest clock says less."""

_LAST: Final = 253_402_300_799


class ClockError(RefusedError):
    """A checkpoint whose time cannot be taken: nothing is wrong with the entries under it."""


JUMP: Final = 24 * 60 * 60
"""Seconds that a checkpoint may be ahead of the clock before a person must confirm it."""


def now(clock: int, floor: int) -> int:
    """The time to judge by. A clock set back revives nothing that had expired at `floor`."""
    return max(clock, floor, BUILD)


def seconds(time: Time) -> int:
    """Seconds since 1970. Raises RecordError for a day or an hour that does not exist."""
    try:
        return int(datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise RecordError(f"expected a time in UTC, got {time!r}", hint="write it as 2026-11-21T09:30:00Z") from error


def text(seconds: int) -> Time:
    """The way a record writes it; what a peer's checkpoint puts beyond the year 9999 stops there."""
    seconds = min(seconds, _LAST)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_as_of(as_of: Time, clock: int) -> None:
    """Raises RefusedError where the keeper of a log gets an epoch that is more than a day ahead of its own time.

    Pledges are judged by it: its author could let those of all others run out.
    """
    if seconds(as_of) > clock + JUMP:
        raise RefusedError(
            f"an epoch as of {as_of} came at {text(clock)}, more than a day before that",
            hint="its author's clock is wrong: set it right, sync, and rotate again",
        )


def check_forward(log: str, said: int, before: int) -> None:
    """Raises ClockError for a log that grew while its time went back."""
    if said < before:
        raise ClockError(
            f"log {log[:8]}… grew and went back in time, from {text(before)} to {text(said)}",
            hint="its keeper's clock was set back, or its store rolled back: ask them",
        )


def check_jump(said: int, clock: int, *, confirmed: bool) -> None:
    """Raises ClockError when a checkpoint is far ahead of the clock and nobody confirmed it.

    The floor never falls: one wrong checkpoint from the future would expire everything for good.
    """
    if said > max(clock, BUILD) + JUMP and not confirmed:
        raise ClockError(
            f"a checkpoint says that it is {text(said)}, more than a day after this machine's {text(clock)}",
            hint="set this machine's clock right; if it cannot be, and the checkpoint is right, import again with "
            "--allow-clock-jump (in Python, allow_clock_jump=True)",
        )
