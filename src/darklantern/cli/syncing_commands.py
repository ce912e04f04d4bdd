"""`darklantern sync` and `status`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import count_bar
from darklantern.cli.imported_text import noticing, told
from darklantern.cli.known_relay_commands import add_compared
from darklantern.cli.library_option import AllowClockJump, LibraryFolder, Yes, open_own, say
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_error, tell_json
from darklantern.counted import counted
from darklantern.errors import RefusedError, RelayError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library.syncing.reports import RelaySync, Synced


def sync(
    relay: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CARD", help="Card of a relay to sync with from now on: `darklantern relay add`, and then sync."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the relays, say what would come and go, and change nothing.")
    ] = False,
    allow_clock_jump: AllowClockJump = False,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take in what the relays have, and give them what waits.

    Each relay is judged for itself; what one cannot give comes from another. All that arrives is verified first.
    `darklantern relay list` says which relays are known here.
    """
    if dry_run and relay:
        raise RefusedError("--dry-run adds no relay", hint="`darklantern relay add` first")
    with open_own(folder, passphrase_file) as library:
        for path in relay or ():
            add_compared(library, path, yes)
        if dry_run:
            _tell_synced(library.relays.preview(allow_clock_jump=allow_clock_jump), [], as_json, would=True)
            return
        noticed = noticing(library)
        if not library.view.network.is_active(library.device.id):
            for line in library.ended()[:1]:  # relays let it in no more, and do not say why
                say(line)
        with count_bar("pieces") as progress:
            synced = library.relays.sync(allow_clock_jump=allow_clock_jump, progress=progress)
        then = noticed()
    _tell_synced(synced, then, as_json)


def status(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Say what is held, what waits, what is stale and why."""
    with open_own(folder, passphrase_file) as library:
        found = library.status()
    if as_json:
        tell_json(plain(found))
        return
    for line in found.lines():
        tell(line)


def _tell_synced(synced: "Synced", then: list[str], as_json: bool, *, would: bool = False) -> None:
    """Print a report, relay by relay. Exits with 1 where one failed."""
    if as_json:
        tell_json({name: _plain(report) for name, report in synced.relays.items()})
    else:
        for name, report in synced.relays.items():
            for line in _lines(report, would):
                tell(f"{name}: {line}")
        for line in then:
            tell(line)
    for name, error in synced.failed.items():
        which = "" if name in error.message else f"{name}: "
        tell_error(RelayError(f"{which}{error.message}", hint=error.hint))
    if synced.failed:
        raise typer.Exit(1)


def _lines(report: "RelaySync", would: bool) -> list[str]:
    news = bool(report.imported.entries or report.imported.pieces)
    came, *but = told(report.imported)
    return [
        *([f"would come: {came}" if would else came] if news else []),
        *(["nothing new"] if not news and not report.sent and not report.error else []),
        *but,
        *([f"{counted(len(report.sent), 'record')} {'would be ' if would else ''}sent"] if report.sent else []),
        *(f"not taken: {reason}" for _, reason in report.refused),
        *(f"not shown there: log {log}" for log in report.hidden),
    ]


def _plain(report: "RelaySync") -> dict[str, object]:
    return {
        "imported": plain(report.imported),
        "sent": report.sent,
        "refused": report.refused,
        "hidden": report.hidden,
        "error": report.error.message if report.error else None,
    }
