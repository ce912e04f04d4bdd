"""`darklantern library backup` and `restore`, and what a restored library asks a person."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.kinds import BACKUP, expecting
from darklantern.cli.library_commands import library_app
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, library_folder, open_own, say
from darklantern.cli.naming import log_named
from darklantern.cli.options import Json, PassphraseFile, check_place, passphrase
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.errors import RefusedError
from darklantern.records.exact import plain

__all__ = ["library_app"]  # with all its commands on it


@library_app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file. Nothing is replaced.")],
    own_passphrase_file: Annotated[
        Path | None,
        typer.Option(help="File with a passphrase of the backup's own; else the library's opens it."),
    ] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write all of a library as one file.

    It is encrypted, and today's passphrase opens it, or one of its own. It holds this device's keys: keep it where the
    library would be safe too.
    """
    check_place(file)
    with open_own(folder, passphrase_file) as library, bytes_bar("backing up") as progress:
        own = passphrase(own_passphrase_file) if own_passphrase_file else None
        made = library.care.backup(file, passphrase=own, progress=progress)
    if as_json:
        tell_json({"backup": str(file), **plain(made)})
        return
    tell(f"{file}: {made.bytes:,} bytes, {counted(made.pieces, 'piece')}")
    for piece in made.left_out:
        tell(f"left out, because it is missing or damaged here: piece {piece}")


@library_app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle made since, so that what was deleted meanwhile stays deleted.")
    ] = None,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a library from its backup, in place of a lost one.

    All of it in a new folder, or nothing; it asks once the backup has opened. Use it in place of the library that is
    lost, never beside it: two that hold one device's keys would freeze it. It reads at once, and signs only after a
    sync with the keeper of each log.
    """
    from darklantern.assess import level_follows
    from darklantern.library import Library
    from darklantern.library.restored import REMEDY
    from darklantern.library.restoring import restore_unpacked, unpacked

    keep_secrets_in_memory()
    typed, new = passphrase(passphrase_file), library_folder(folder)
    with expecting(file, BACKUP), unpacked(file, new, typed) as copy:
        said = copy.said
        say(f"{file}: a library as of {said.time}")
        confirm(
            "Is the library that this was made of gone for good? Two that hold one device's keys freeze that device, "
            "for everybody, and nothing takes that back.",
            yes,
        )
        with bytes_bar("checking") as progress:
            restore_unpacked(copy, typed, follows=level_follows, bundle=bundle, progress=progress)
    with Library.open(new, typed, follows=level_follows) as library:
        waiting = library.care.restored
    if as_json:
        tell_json({"library": str(new), "backup": plain(said), "waiting": waiting})
        return
    tell(f"{new}: the library as of {said.time}")
    for reason in waiting.values():
        tell(f"signs nothing yet: {reason}")
    if waiting:
        tell(f"next: {REMEDY}")


@library_app.command()
def confirm_whole(
    log: Annotated[str, typer.Argument(help="`network`, or a circle's name or id.")],
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say that a restored library lacks nothing of a log.

    Only for a log that nobody else keeps, and after `darklantern bundle import` from everybody who reads it. Until then
    nothing is signed in it.
    """
    with open_own(folder, passphrase_file) as library:
        id = log_named(library, log)
        waiting = library.care.restored
        if id not in waiting:
            raise RefusedError(
                f"log {id[:8]}… waits for nothing: this library signs in it",
                hint=f"these wait: {', '.join(each[:8] for each in waiting) or 'none'}; a restored library has some",
            )
        if not any(each.log == id and each.kept_here for each in library.status().logs):
            raise RefusedError(
                f"log {id[:8]}… is kept by another, whose word is better than yours",
                hint="`darklantern sync`, or import a bundle that its keeper made since",
            )
        say(waiting[id])
        confirm(
            "Is everything here that this device and its log key ever signed in it? If not, the next record freezes "
            "this device, or the log for everybody, and nothing takes that back.",
            yes,
        )
        library.care.confirm_whole(id)
    if as_json:
        tell_json({"log": id})
    else:
        tell(f"log {id[:8]}… counts as whole here; this library signs in it again")
