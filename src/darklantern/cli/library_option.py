"""Which library a command is for, and what such commands share: files that travel, questions, days.

In: options. Out: an open library, values from files, or an error with a hint. A secret is never among them.
"""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.kinds import expecting, kind_of
from darklantern.cli.options import has_terminal, passphrase, read
from darklantern.cli.output import tell
from darklantern.errors import DarkLanternError, RecordError, RefusedError, StoreError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.sealing import LogVerifyKey

LibraryFolder = Annotated[
    Path | None,
    typer.Option(
        "--library",
        envvar="DARKLANTERN_LIBRARY",
        help="The library's folder; without it, `darklantern/library` in your data folder.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before what cannot be undone: for scripts.")]
AllowClockJump = Annotated[
    bool,
    typer.Option(
        "--allow-clock-jump",
        help="Believe a log that says it is more than a day later than this machine's clock. This cannot be "
        "taken back: if it is wrong, whatever has expired by then stays expired here.",
    ),
]

_OTHERS_S = 2.0
"""how long a command waits for another one on the same library"""
_SPANS = {"d": 86_400, "h": 3_600, "m": 60}
T = TypeVar("T")


def library_folder(given: Path | None) -> Path:
    """The folder that was named, or the one in the user's data folder."""
    if given is not None:
        return given
    data = os.environ.get("XDG_DATA_HOME") or ""
    return (Path(data) if Path(data).is_absolute() else Path.home() / ".local/share") / "darklantern" / "library"


def open_own(folder: Path | None, passphrase_file: Path | None) -> "Library":
    """The user's library. Loads the rooms late: `--help` needs no cryptography."""
    from darklantern.assess import level_follows
    from darklantern.library import Library
    from darklantern.stores.keystore import kept_passphrases

    keep_secrets_in_memory()
    where = library_folder(folder)
    newer, *older = (kept_passphrases(where) if passphrase_file is None else ()) or (passphrase(passphrase_file),)
    try:
        return Library.open(where, newer, follows=level_follows, wait_s=_OTHERS_S)
    except StoreError:
        if not older:  # another one only while a change of passphrase is unfinished
            raise
        return Library.open(where, older[0], follows=level_follows)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless the user said yes beforehand. Raises RefusedError for a no, and where there is nobody to ask."""
    if yes:
        return
    if not has_terminal():
        raise RefusedError(f"no terminal to ask at: {question}", hint="where the answer is yes, add --yes")
    from darklantern.drawing.lettering import harmless

    try:
        agreed = typer.confirm(harmless(question), err=True)  # it may name a peer
    except typer.Abort as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        agreed = False
    if not agreed:
        raise RefusedError("nothing was done: you said no", hint="call it again when you are sure")


def value_of(kind: type[T], path: Path) -> T:
    """The value in a file that somebody handed over. White space around it is what mail and editors add."""
    from darklantern.records.exact import decode

    with expecting(path, kind_of(kind)):
        try:
            return decode(kind, read(path).strip())
        except RecordError as error:
            raise RecordError(f"{path}: {error.message}", hint=error.hint) from error


def values_of(kind: type[T], paths: "list[Path] | None") -> list[T]:
    """The values in several files."""
    return [value_of(kind, path) for path in paths or ()]


def either(path: Path, *kinds: type[Any]) -> Any:
    """The value in a file that is one of these kinds. Raises RecordError when it is none."""
    read(path)  # or that it is not there would look like another kind of file
    for kind in kinds:
        try:
            return value_of(kind, path)
        except DarkLanternError:
            continue
    wanted = [kind_of(kind) for kind in kinds]
    with expecting(path, *wanted):
        raise RecordError(
            f"expected {' or '.join(kind.name for kind in wanted)}, got another file: {path}",
            hint="ask for it again, or check the path",
        )


def keeper_of(path: Path | None) -> "LogVerifyKey | None":
    """The key of logs on the card of a library or of a relay. Raises RefusedError for a card without one."""
    if path is None:
        return None
    from darklantern.network.cards import Card
    from darklantern.sealing import RelayCard

    found = either(path, Card, RelayCard)
    log: LogVerifyKey | None = found.public.log if isinstance(found, RelayCard) else found.log
    if log is None:
        raise RefusedError("the keeper's card has no log key", hint="its library is made with --keeper")
    return log


def seconds_of(span: str) -> int:
    """Seconds in `30d`, `12h` or `90m`. Raises StoreError."""
    found = re.fullmatch(r"(\d{1,5})([dhm])", span)
    if not found or int(found[1]) == 0:
        raise StoreError(f"expected a length of time, got {span!r}", hint="for example 30d, 12h or 90m")
    return int(found[1]) * _SPANS[found[2]]


def day_of(day: str) -> int:
    """Seconds since 1970 of a day in UTC. Raises StoreError."""
    from darklantern.network.clock import seconds

    try:
        return seconds(day if "T" in day else f"{day}T00:00:00Z")
    except DarkLanternError as error:
        raise StoreError(f"expected a day, got {day!r}", hint="for example 2027-11-21") from error


def in_a_year() -> int:
    """A year from now: how long rosters and pledges hold where nobody says otherwise."""
    return int(time.time()) + 365 * 86_400


def say(line: str) -> None:
    """A line on stderr: what is asked and told besides a command's result."""
    tell(line, console=Console(stderr=True))
