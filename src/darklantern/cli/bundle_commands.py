"""`darklantern bundle …`: a sync as one file."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.bars import bytes_bar, count_bar
from darklantern.cli.handing_out import check_holdings, hand_out
from darklantern.cli.imported_text import noticing, told
from darklantern.cli.kinds import BUNDLE, SEALED, expecting
from darklantern.cli.library_option import AllowClockJump, LibraryFolder, open_own, value_of
from darklantern.cli.options import Json, PassphraseFile, check_place
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.records.exact import encode, plain

bundle_app = typer.Typer(
    help="A sync as one file, for where there is no network.", no_args_is_help=True, rich_markup_mode=None
)


@bundle_app.command("export")
def export_bundle(
    bundle: Annotated[Path, typer.Argument(help="Where the bundle goes; an existing file is replaced.")],
    theirs: Annotated[
        Path | None,
        typer.Option(
            "--holdings", help="What the other side holds, by its `darklantern bundle holdings`: export only the rest."
        ),
    ] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write a bundle: all, or what the other side lacks."""
    from darklantern.library import Holdings

    check_place(bundle)
    other = value_of(Holdings, theirs) if theirs else None
    with open_own(folder, passphrase_file) as library, count_bar("pieces") as progress:
        made = library.bundles.export_to(bundle, since=other, progress=progress)
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
    """Take in a bundle, whole or not at all.

    All of it is verified first. Twice changes nothing.
    """
    with open_own(folder, passphrase_file) as library:
        noticed = noticing(library)
        with expecting(bundle, BUNDLE, SEALED), bytes_bar("reading") as progress:
            imported = library.bundles.import_from(bundle, allow_clock_jump=allow_clock_jump, progress=progress)
        then = noticed()
    if as_json:
        tell_json(plain(imported))
        return
    for line in (*told(imported), *then):
        tell(line)


@bundle_app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle file that another library exported.")],
    allow_clock_jump: AllowClockJump = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say what `import` would take in, and take in nothing.

    It is judged as `import` would judge it now: whole, by a maker who is known, in one history with what is here.
    """
    with (
        open_own(folder, passphrase_file) as library,
        expecting(bundle, BUNDLE, SEALED),
        bytes_bar("reading") as progress,
    ):
        found = library.bundles.verify(bundle, allow_clock_jump=allow_clock_jump, progress=progress)
    if as_json:
        tell_json(plain(found))
        return
    for line in told(found):
        tell(line)
    tell("it holds together; nothing was taken in")


@bundle_app.command()
def holdings(
    file: Annotated[Path, typer.Argument(help="Where they go; in place of older ones alone.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write down what this library holds, for others' `--holdings`.

    Whoever has that file can export only what this library lacks. It shows log ids, sizes and hashes, and no title,
    text or name.
    """
    check_holdings(file)
    with open_own(folder, passphrase_file) as library:
        held = library.bundles.holdings
    hand_out(file, encode(held))
    entries = sum(seen.size for seen in held.logs.values())
    if as_json:
        tell_json({"holdings": str(file), "entries": entries, "missing": len(held.missing)})
    else:
        tell(f"{file}: {counted(entries, 'entry')}, {counted(len(held.missing), 'piece')} missing")
