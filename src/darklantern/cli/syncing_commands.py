"""`darklantern sync` and `status`, `bundle …`, and which relays are synced with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import count_bar
from darklantern.cli.library_commands import noticed, told
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, hand_out, open_own, say, value_of
from darklantern.cli.options import Json, PassphraseFile, check_place
from darklantern.cli.output import tell, tell_error, tell_json
from darklantern.errors import RefusedError, RelayError
from darklantern.records.exact import encode, plain

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.library.syncing.reports import RelaySync

bundle_app = typer.Typer(
    help="A sync as one file, for where there is no network.", no_args_is_help=True, rich_markup_mode=None
)
AllowClockJump = Annotated[
    bool,
    typer.Option(
        "--allow-clock-jump",
        help="Believe a log that says it is more than a day later than this machine's clock. This cannot be "
        "taken back: if it is wrong, whatever has expired by then stays expired here.",
    ),
]


def sync(
    relay: Annotated[
        list[Path] | None, typer.Option(help="Card of a relay to sync with from now on (`darklantern relay public`).")
    ] = None,
    forget: Annotated[
        str | None, typer.Option(help="A relay to sync with no longer: its address, or its id's beginning.")
    ] = None,
    allow_clock_jump: AllowClockJump = False,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take in what the relays have, and give them what waits.

    Each relay is judged for itself; what one cannot give comes from another. All that arrives is verified first.
    """
    from darklantern.sealing import RelayCard

    with open_own(folder, passphrase_file) as library:
        for path in relay or ():
            card = value_of(RelayCard, path)
            say(f"relay at {', '.join(card.urls)} with the fingerprint {card.public.fingerprint}")
            confirm("Have you compared the fingerprint with the relay's keeper?", yes)
            library.relays.add(card)
        if forget is not None:
            library.relays.remove(_relay_named(library, forget))
        if forget is not None and not library.relays.known:
            _tell_none_left(as_json)
            return
        before = {each.id for each in library.threads.notifications()}
        with count_bar("pieces") as progress:
            synced = library.relays.sync(allow_clock_jump=allow_clock_jump, progress=progress)
        fresh = [each for each in library.threads.notifications() if each.id not in before]
    if as_json:
        tell_json({name: _plain(report) for name, report in synced.relays.items()})
    else:
        for name, report in synced.relays.items():
            for line in _lines(report):
                tell(f"{name}: {line}")
        for line in noticed(fresh):
            tell(line)
    for name, error in synced.failed.items():
        which = "" if name in error.message else f"{name}: "
        tell_error(RelayError(f"{which}{error.message}", hint=error.hint))
    if synced.failed:
        raise typer.Exit(1)


def status(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Say what is held, what waits, what is stale and why."""
    with open_own(folder, passphrase_file) as library:
        found = library.status()
    if as_json:
        tell_json(plain(found))
        return
    for line in found.lines():
        tell(line)


@bundle_app.command("export")
def export_bundle(
    bundle: Annotated[Path, typer.Argument(help="Where the bundle goes; an existing file is replaced.")],
    since: Annotated[
        Path | None,
        typer.Option(help="What the other side holds, by its `darklantern bundle holdings`: export only the rest."),
    ] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write a bundle: all, or what the other side lacks."""
    from darklantern.library import Holdings

    check_place(bundle)
    other = value_of(Holdings, since) if since else None
    with open_own(folder, passphrase_file) as library:
        made = library.bundles.export_to(bundle, since=other)
    if as_json:
        tell_json({"bundle": str(bundle), "bytes": made.size, "lacking": made.lacking})
        return
    tell(f"{bundle}: {made.size:,} bytes")
    for name in made.lacking:
        tell(f"left out: piece {name}, which is missing or damaged in this library")


@bundle_app.command("import")
def import_bundle(
    bundle: Annotated[Path, typer.Argument(help="A bundle file that another library exported.")],
    allow_clock_jump: AllowClockJump = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take in a bundle, whole or not at all."""
    with open_own(folder, passphrase_file) as library:
        before = {each.id for each in library.threads.notifications()}
        imported = library.bundles.import_from(bundle, allow_clock_jump=allow_clock_jump)
        fresh = [each for each in library.threads.notifications() if each.id not in before]
    if as_json:
        tell_json(plain(imported))
        return
    for line in (*told(imported), *noticed(fresh)):
        tell(line)


@bundle_app.command()
def holdings(
    file: Annotated[Path, typer.Argument(help="Where they go; an existing file is replaced.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write down what this library holds, for others' `--since`.

    Whoever has that file can export only what this library lacks. It shows log ids, sizes and hashes, and no title,
    text or name.
    """
    check_place(file)
    with open_own(folder, passphrase_file) as library:
        held = library.bundles.holdings
    hand_out(file, encode(held))
    entries = sum(seen.size for seen in held.logs.values())
    if as_json:
        tell_json({"holdings": str(file), "entries": entries, "missing": len(held.missing)})
    else:
        tell(f"{file}: {entries} entries, {len(held.missing)} pieces missing")


def _relay_named(library: "Library", named: str) -> str:
    found = [id for id, card in library.relays.known.items() if named and (id.startswith(named) or named in card.urls)]
    if len(found) != 1:
        raise RefusedError(
            f"expected a relay's address, or the beginning of its id, got {named!r}, which names {len(found)}",
            hint="`darklantern status` shows their addresses",
        )
    return found[0]


def _tell_none_left(as_json: bool) -> None:
    if as_json:
        tell_json({})
    else:
        tell("forgotten; no relay is left to sync with")


def _lines(report: "RelaySync") -> list[str]:
    nothing = not report.sent and not report.imported.entries and not report.imported.pieces
    came, *but = told(report.imported)
    return [
        *([] if nothing else [came]),
        *(["nothing new"] if nothing and not report.error else []),
        *but,
        *([f"{len(report.sent)} records sent"] if report.sent else []),
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
