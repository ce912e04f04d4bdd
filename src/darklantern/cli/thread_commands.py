"""`darklantern thread list`, `show` and `save`: reading what people say about findings, and to a circle."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.naming import entry_named
from darklantern.cli.options import Json, PassphraseFile, check_place
from darklantern.cli.output import tell, tell_json
from darklantern.cli.thread_text import tell_thread
from darklantern.counted import counted
from darklantern.errors import StoreError
from darklantern.records.exact import plain

thread_app = typer.Typer(
    help="What people say about findings, and to a circle.\n\n"
    "Ids may be given by their beginning. A text, a title or an emoji is read from stdin or from --file, never from "
    "the command itself. What you write is sealed to the circle; a sync or a bundle carries it to the others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ThreadId = Annotated[str, typer.Argument(help="Id of a finding or of a thread, or the beginning of one.")]
PostId = Annotated[str, typer.Argument(help="Id of a post, or the beginning of one.")]


@thread_app.command("list")
def list_threads(
    unread: Annotated[bool, typer.Option("--unread", help="Only those with something unread.")] = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """List findings and threads, and what is unread."""
    with open_own(folder, passphrase_file) as library:
        listed = [each for each in library.threads.listed() if each.unread or not unread]
        names = {circle: terms.name for circle, terms in library.circles().items()}
    if as_json:
        tell_json([plain(each) for each in listed])
        return
    for each in listed:
        new = f", {each.unread} new" if each.unread else ""
        title = each.title or "does not open here, or was taken back"
        where = names.get(each.circle, each.circle[:16])
        tell(f"{each.id[:16]}  {each.newest[:10]}  {counted(each.posts, 'post')}{new}  {where}: {title}")
    if not listed:
        tell("nothing unread" if unread else "no threads yet: `darklantern thread begin` begins one")


@thread_app.command()
def show(
    thread: ThreadId, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Print a thread. It stays unread until `darklantern thread read`."""
    with open_own(folder, passphrase_file) as library:
        found = library.threads.open(entry_named(library, thread)[0])
    if as_json:
        tell_json(plain(found))
        return
    tell_thread(found)


@thread_app.command()
def save(
    post: PostId,
    sha256: Annotated[str, typer.Argument(help="SHA-256 of the attachment, or the beginning of it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new file. Nothing is replaced, nothing is opened.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write an attachment, in the clear, to a file. It appears once all of it is verified."""
    check_place(out)
    with open_own(folder, passphrase_file) as library:
        whole, _ = entry_named(library, post)
        found = [each for each in library.threads.open_post(whole).attachments if each.sha256.startswith(sha256)]
        if len(found) != 1:
            raise StoreError(
                f"expected the beginning of one attachment's SHA-256, got {sha256!r}, with which {len(found)} begin",
                hint="`darklantern thread show` lists them",
            )
        with bytes_bar("opening") as progress:
            library.threads.save_attachment(whole, found[0].sha256, out, progress)
    if as_json:
        tell_json({"file": str(out), "bytes": found[0].size})
    else:
        tell(f"{out}: {found[0].size:,} bytes, as they were sealed; whether they are harmless is for you to judge")
