"""`darklantern search` and `library …`: what a device does with its own library, without any network."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from darklantern.cli.bars import bytes_bar
from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.library_commands import Item, item_named
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, day_of, library_folder, open_own
from darklantern.cli.options import Json, PassphraseFile, check_place, passphrase, recipient_lines
from darklantern.cli.output import tell, tell_json
from darklantern.errors import StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Listed


def search(
    circle: Annotated[str | None, typer.Option(help="Only in this circle, by name or id.")] = None,
    author: Annotated[str | None, typer.Option(help="Only by this person or org, by id.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only findings with this tag.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this day on: 2026-11-21.")] = None,
    older: Annotated[bool, typer.Option("--older", help="Superseded versions too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Find findings and posts by their words.

    The best come first. The words come from stdin, and are never an argument: every user of this machine could read
    them there. "Two words" in quotes stand together; begin* finds beginnings.
    """
    from darklantern.network.clock import text as time_text

    words, day = _words(), time_text(day_of(since)) if since else None
    with open_own(folder, passphrase_file) as library:
        hits = library.search(words, circle=circle, author=author, tag=tag, since=day, older=older, limit=limit)
    if as_json:
        tell_json([plain(hit) for hit in hits])
        return
    for hit in hits:
        text = "".join(f"[{part}]" if found else part for part, found in hit.excerpt)
        tell(f"{hit.item[:16]}  {hit.time[:10]}  {hit.person} ({hit.org}) {hit.kind}: {hit.title}")
        tell(" ".join(text.split()), lead="  ")
    if not hits:
        tell("nothing found: a circle marked no-index, or at V3 or V4, is not searched unless this library indexes it")


def reindex(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Make the index of texts anew."""
    with open_own(folder, passphrase_file) as library:
        count = library.care.reindex()
    if as_json:
        tell_json({"texts": count})
    else:
        tell(f"{count} findings and posts are in the index")


def versions(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """List all versions of a finding, older before newer."""
    with open_own(folder, passphrase_file) as library:
        found = library.findings.versions(item_named(library, item))
    _tell_listed(found, as_json)


def links(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """List the links from a finding and to it."""
    with open_own(folder, passphrase_file) as library:
        found = library.findings.links(item_named(library, item))
    if as_json:
        tell_json([plain(each) for each in found])
        return
    for each in found:
        way = f"{each.kind} →" if each.outgoing else f"← {each.kind}"
        tell(f"{way}  {each.item[:16]}  {each.title or 'this device cannot open it, or never had it'}")
    if not found:
        tell("no links")


def compact(
    forget: Annotated[
        list[str] | None,
        typer.Option(help="An epoch by id, in place of those whose retention has ended: all that only it opens goes."),
    ] = None,
    give_up: Annotated[
        list[str] | None, typer.Option(help="An unfinished sealing, by its file's SHA-256 or its journal's name.")
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
        for sealing in give_up or []:
            library.findings.give_up(sealing)
        planned = library.care.compaction(forget)
        if not as_json:
            for line in str(planned).split("\n"):
                tell(line)
            confirm("Remove this? It does not come back.", yes)
        going = yes or not as_json
        freed = library.care.compact(planned) if going else 0
    if as_json:
        tell_json({"planned": plain(planned), "removed": going, "bytes": freed})
    else:
        tell(f"{freed:,} bytes are free again")


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
    tell(f"{file}: {made.bytes:,} bytes, {made.pieces} pieces")
    for piece in made.left_out:
        tell(f"left out, because it is missing or damaged here: piece {piece}")


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle made since, so that what was deleted meanwhile stays deleted.")
    ] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a library from its backup.

    All of it in a new folder, or nothing. Use it in place of the library that is lost, never beside it: two that hold
    one device's keys would freeze it. It reads at once, and signs only after a sync with the keeper of each log.
    """
    from darklantern.assess import level_follows
    from darklantern.library import Library
    from darklantern.library import restore as restore_library

    keep_secrets_in_memory()
    typed, new = passphrase(passphrase_file), library_folder(folder)
    with bytes_bar("checking") as progress:
        said = restore_library(file, new, typed, follows=level_follows, bundle=bundle, progress=progress)
    with Library.open(new, typed, follows=level_follows) as library:
        waiting = library.care.restored
    if as_json:
        tell_json({"library": str(new), "backup": plain(said), "waiting": waiting})
        return
    tell(f"{new}: the library as of {said.time}")
    for reason in waiting.values():
        tell(f"signs nothing yet: {reason}")


def export_age(
    item: Item,
    file: Annotated[Path, typer.Argument(help="A new file. Nothing is replaced.")],
    recipients_file: Annotated[Path, typer.Option(help="File with one recipient age1pq1… a line; # begins a comment.")],
    artifact: Annotated[str | None, typer.Option(help="SHA-256 of an artifact, in place of the finding.")] = None,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write a finding as an age file.

    Or one of its artifacts; a stock age from 1.3 on opens it. It leaves its circle with this: nothing holds its
    readers to its level any more, and nothing takes it back.
    """
    check_place(file)
    recipients = recipient_lines(recipients_file)
    confirm(f"Let this leave its circle for {len(recipients)} recipients? It cannot be taken back.", yes)
    with open_own(folder, passphrase_file) as library:
        library.findings.export_age(file, item_named(library, item), recipients, artifact=artifact)
    if as_json:
        tell_json({"file": str(file), "bytes": file.stat().st_size})
    else:
        tell(f"{file}: {file.stat().st_size:,} bytes")


def bury(
    entry: Annotated[str, typer.Argument(help="Whole id of an item or a post.")],
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Ask that an item or a post be dropped.

    One's own goes at once, here and wherever the request arrives; somebody else's once a quorum of the circle's admins
    has asked. It does not come back, and copies that others made stay.
    """
    confirm("Ask everybody to drop it? It does not come back.", yes)
    with open_own(folder, passphrase_file) as library:
        request = library.bury(entry)
    if as_json:
        tell_json({"request": request})
    else:
        tell(f"asked: {request[:16]}; a sync or a bundle carries it to the others")


def opened(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Print what was opened here, and when.

    Once the chain of entries is found whole; each hour in which something was opened has one entry.
    """
    with open_own(folder, passphrase_file) as library:
        log = library.care.opened_log()
    if as_json:
        tell_json(plain(log))
        return
    for entry in log.entries:
        tell(f"{entry.time}  {entry.act}  {entry.item}{f'  {entry.artifact}' if entry.artifact else ''}")
    tell(f"{len(log.entries)} entries, which come to {log.head}")


def report(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Print who may read what, and who said so.

    And what was opened here. For somebody who is cleared for none of it: no title and no text is in it.
    """
    from darklantern.library.report_text import lines

    with open_own(folder, passphrase_file) as library:
        made = library.care.report()
    if as_json:
        tell_json(plain(made))
        return
    for line in lines(made):
        text = line.lstrip(" ")
        tell(text, lead=" " * (len(line) - len(text)))


def add_to(app: typer.Typer) -> None:
    """Make these functions commands of `app`."""
    for command in (reindex, versions, links, compact, backup, restore, export_age, bury, opened, report):
        app.command(command.__name__.replace("_", "-"))(command)


def _words() -> str:
    """What to look for, from stdin. Raises StoreError where there is none."""
    if sys.stdin is None:  # the shell closed it
        raise StoreError("no words to look for, and no stdin to read them from", hint="pipe them in")
    if sys.stdin.isatty():
        tell("look for:", console=Console(stderr=True))
    return sys.stdin.readline()


def _tell_listed(found: "tuple[Listed, ...]", as_json: bool) -> None:
    if as_json:
        tell_json([plain(entry) for entry in found])
        return
    for entry in found:
        what = entry.title or f"does not open: {entry.problem}"
        tell(f"{entry.id[:16]}  {entry.level or '–'}  {entry.time[:10]}  {entry.author}: {what}")
