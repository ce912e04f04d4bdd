"""`darklantern library sync`, `status` and the relays that a library knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import count_bar
from darklantern.cli.library_commands import open_library, told
from darklantern.cli.options import Folder, Json, PassphraseFile, read
from darklantern.cli.output import tell, tell_json
from darklantern.records.exact import decode, plain

if TYPE_CHECKING:
    from darklantern.library.syncing import RelaySync


def sync(
    folder: Folder,
    passphrase_file: PassphraseFile = None,
    allow_clock_jump: Annotated[
        bool,
        typer.Option(
            "--allow-clock-jump",
            help="Believe a relay that says it is more than a day later than this machine's clock. This cannot be "
            "taken back: if it is wrong, whatever has expired by then stays expired here.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Sync with every known relay, both ways: verify everything, take in what is new, send what waits.

    Interrupted, it goes on where it was. Exits with 1 when a relay failed; what the others gave is kept.
    """
    with open_library(folder, passphrase_file) as library, count_bar("pieces") as progress:
        synced = library.sync(allow_clock_jump=allow_clock_jump, progress=progress)
    if as_json:
        tell_json({name: _plain(report) for name, report in synced.relays.items()})
    else:
        for report in synced.relays.values():
            for line in _lines(report):
                tell(line)
    if synced.failed:
        raise typer.Exit(1)


def status(folder: Folder, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Say what is held, what relays showed last, what waits and for whom, what is stale and since when."""
    with open_library(folder, passphrase_file) as library:
        found = library.status()
    if as_json:
        tell_json(plain(found))
        return
    for line in found.lines():
        tell(line)


def add_relay(
    folder: Folder,
    card: Annotated[Path, typer.Argument(help="The relay's card: what `darklantern relay public` prints.")],
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sync with a relay from now on.

    Compare the fingerprint that this prints with the relay's keeper: whoever you add sees when you sync, and how much.
    """
    from darklantern.sealing import RelayCard

    found = decode(RelayCard, read(card).strip())
    with open_library(folder, passphrase_file) as library:
        library.add_relay(found)
    if as_json:
        tell_json({"relay": found.public.id, "fingerprint": found.public.fingerprint})
    else:
        tell(f"relay {found.public.id[:16]} at {found.urls[0] if found.urls else 'no address'}")
        tell(f"fingerprint {found.public.fingerprint}")


def remove_relay(
    folder: Folder,
    relay: Annotated[str, typer.Argument(help="Its id, or the beginning of one; `status --json` lists them.")],
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Forget a relay. What came from it stays."""
    with open_library(folder, passphrase_file) as library:
        known = [id for id in library.relays if id.startswith(relay)]
        library.remove_relay(known[0] if len(known) == 1 else relay)
    if as_json:
        tell_json({"removed": known})
    else:
        tell(f"relay {known[0][:16]} is forgotten")


def add_to(app: typer.Typer) -> None:
    """Make these functions commands of `app`."""
    for command in (sync, status, add_relay, remove_relay):
        app.command(command.__name__.replace("_", "-"))(command)


def _plain(report: "RelaySync") -> dict[str, object]:
    return {
        "imported": plain(report.imported),
        "sent": report.sent,
        "refused": report.refused,
        "hidden": report.hidden,
        "error": report.error.message if report.error else None,
    }


def _lines(report: "RelaySync") -> list[str]:
    nothing = not report.sent and not report.imported.entries and not report.imported.pieces
    return [
        f"{report.relay}:",
        *(["nothing new"] if nothing and not report.error else []),
        *([] if nothing else told(report.imported)),
        *([f"sent: {len(report.sent)} records are in their log now"] if report.sent else []),
        *(f"not appended: {reason}" for _, reason in report.refused),
        *(f"it does not show log {log}, which is held here" for log in report.hidden),
        *([f"ended early: {report.error.message}", report.error.hint] if report.error else []),
    ]
