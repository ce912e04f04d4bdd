"""`darklantern library …`: a device's own library, kept whole. No network is needed."""

from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say
from darklantern.cli.naming import circle_named, entry_named, waiting_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library

library_app = typer.Typer(
    help="This device's encrypted store: verified, backed up, compacted.", no_args_is_help=True, rich_markup_mode=None
)


@library_app.command()
def verify(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Verify every record and every sealed piece on disk."""
    with open_own(folder, passphrase_file) as library, bytes_bar("verifying") as progress:
        problems = [str(problem) for problem in library.care.verify(progress)]
    if as_json:
        tell_json({"problems": problems})
    else:
        for line in problems or ("everything that this library holds is whole",):
            tell(line)
    if problems:
        raise typer.Exit(1)


@library_app.command()
def compact(
    forget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EPOCH",
            help="An epoch by id, in place of those whose retention has ended: all that only it opens goes.",
        ),
    ] = None,
    give_up: Annotated[
        list[str] | None,
        typer.Option(metavar="SEALING", help="An unfinished sealing, by its file's SHA-256 or its journal's name."),
    ] = None,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say what would go, ask, and remove that.

    It gives space back: pieces that nothing names, and epochs whose time has come. Without a yes, nothing goes. With
    `--json` nothing is asked, and nothing removed without `--yes`.
    """
    with open_own(folder, passphrase_file) as library:
        _give_up(library, give_up or [], yes, as_json)
        planned = library.care.compaction(forget)
        if not as_json:
            for line in str(planned).split("\n"):
                tell(line)
            if planned.pieces or planned.abandoned or planned.forgotten:
                confirm("Remove this? It does not come back.", yes)
        going = yes or not as_json
        freed = library.care.compact(planned) if going else 0
    if as_json:
        tell_json({"planned": plain(planned), "removed": going, "bytes": freed})
    else:
        tell(f"{freed:,} bytes are free again")


@library_app.command()
def bury(
    entry: Annotated[str, typer.Argument(help="Id of an item or a post, or the beginning of one.")],
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Ask everybody to drop an item or a post.

    One's own goes at once, here and wherever the request arrives; somebody else's once a quorum of the circle's admins
    has asked. It does not come back, and copies that others made stay.
    """
    with open_own(folder, passphrase_file) as library:
        whole, circle = entry_named(library, entry)
        say(f"{whole} in circle {library.circles()[circle].name if circle in library.circles() else circle[:16]}")
        confirm("Ask everybody to drop it? It does not come back.", yes)
        request = library.bury(whole)
    if as_json:
        tell_json({"request": request})
    else:
        tell(f"asked: {request[:16]}; a sync or a bundle carries it to the others")


@library_app.command()
def drop(
    record: Annotated[list[str], typer.Argument(help="Id of a record that waits, or the beginning of one; several.")],
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Drop what waits and cannot leave.

    Such as a post whose piece was lost: `status` lists what waits, and why. Its content is gone with it; what this
    device wrote after it is signed anew. What others may hold already is refused, unless its log takes nothing from
    this device any more, which was removed or revoked.
    """
    with open_own(folder, passphrase_file) as library:
        ids = [waiting_named(library, each) for each in record]
        say(f"{', '.join(id[:16] for id in ids)} would go, with what is in them")
        if held := library.care.may_be_held(ids):
            say(
                f"{', '.join(sorted(id[:16] for id in held))} left this library before: others may hold it. Let in "
                "again, this device would write another in its place, and be frozen if both turn up: join with a "
                "new device then"
            )
        confirm("Drop this? It does not come back.", yes)
        remade = library.care.drop_waiting(ids)
    if as_json:
        tell_json({"dropped": ids, "remade": dict(remade)})
    else:
        tell(f"dropped; {len(remade)} that followed were signed anew")


@library_app.command()
def index(
    circle: Annotated[str, typer.Argument(help="The circle's name, or the beginning of its id.")],
    off: Annotated[bool, typer.Option("--off", help="Take its texts out of the index, and keep them out.")] = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Have a circle's texts found by search here, or not.

    Whatever the circle asks for: those marked no-index, or at V3 or V4, are left out unless you say so. An index is one
    more place on this disk where their words lie, encrypted like the rest.
    """
    with open_own(folder, passphrase_file) as library:
        id = circle_named(library, circle)
        library.care.set_indexed(id, not off)
    if as_json:
        tell_json({"circle": id, "indexed": not off})
    else:
        tell(f"{'out of' if off else 'in'} the index of this device")


@library_app.command()
def reindex(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Make the index of texts anew."""
    with open_own(folder, passphrase_file) as library:
        count = library.care.reindex()
    if as_json:
        tell_json({"texts": count})
    else:
        tell(f"in the index: {counted(count, 'text')} of findings and posts")


def _give_up(library: "Library", sealings: list[str], yes: bool, as_json: bool) -> None:
    if not sealings or (as_json and not yes):
        return
    count = counted(len(sealings), "unfinished sealing")
    confirm(f"Give up {count}? To share such a file, it must be sealed anew.", yes)
    for sealing in sealings:
        library.findings.give_up(sealing)
