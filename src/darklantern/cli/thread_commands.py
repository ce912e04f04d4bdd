"""`darklantern thread …`: what people say about findings and to a circle.

Texts, titles and emoji come from stdin or a file: they are sealed, and every user of the machine can read arguments.
"""

import mimetypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own
from darklantern.cli.options import Json, PassphraseFile, check_place, text_to_seal
from darklantern.cli.output import tell, tell_json, tell_text
from darklantern.errors import StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Attached, Library, Thread, ThreadPost
    from darklantern.library.artifact_sealing import Progress

thread_app = typer.Typer(
    help="What people say about findings, and to a circle.\n\n"
    "Ids may be given by their beginning. A text, a title or an emoji is read from stdin or from --file, never from "
    "the command itself. What you write is sealed to the circle; a sync or a bundle carries it to the others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ThreadId = Annotated[str, typer.Argument(help="Id of a finding or of a thread, or the beginning of one.")]
PostId = Annotated[str, typer.Argument(help="Id of a post, or the beginning of one.")]
TextFile = Annotated[Path | None, typer.Option("--file", help="File that holds the text; without it, stdin is read.")]
Attach = Annotated[list[Path] | None, typer.Option(help="A file to attach. May be given several times.")]


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
        tell(f"{each.id[:16]}  {each.newest[:10]}  {each.posts} posts{new}  {where}: {title}")
    if not listed:
        tell("nothing unread" if unread else "no threads yet: `darklantern thread begin` begins one")


@thread_app.command()
def show(
    thread: ThreadId, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Print a thread. It stays unread until `darklantern thread read`."""
    with open_own(folder, passphrase_file) as library:
        found = library.threads.open(_whole(library, thread)[0])
    if as_json:
        tell_json(plain(found))
        return
    _tell_thread(found)


@thread_app.command()
def begin(
    circle: Annotated[str, typer.Argument(help="Id of a circle; its name would stand on the command line.")],
    file: TextFile = None,
    attach: Attach = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Begin a thread about no finding. The first line of the text is its title."""
    title, text = _title_and_text(text_to_seal(file))
    with open_own(folder, passphrase_file) as library:
        mentions = _mentioned(library, text, circle)
        attached = _attach(library, attach or [])
        made = library.threads.begin(circle, title, text, mentions=mentions, attachments=attached)
    _said("thread", made, mentions, as_json)


@thread_app.command()
def post(
    thread: ThreadId,
    file: TextFile = None,
    attach: Attach = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Say something in a thread. `@person` mentions a member of the circle, `@person@org` one of two."""
    text = text_to_seal(file)
    with open_own(folder, passphrase_file) as library:
        whole, circle = _whole(library, thread)
        mentions = _mentioned(library, text, circle)
        made = library.threads.post(whole, text, mentions=mentions, attachments=_attach(library, attach or []))
    _said("post", made, mentions, as_json)


@thread_app.command()
def reply(
    post: PostId,
    file: TextFile = None,
    attach: Attach = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Answer a post."""
    text = text_to_seal(file)
    with open_own(folder, passphrase_file) as library:
        whole, circle = _whole(library, post)
        mentions = _mentioned(library, text, circle)
        made = library.threads.reply(whole, text, mentions=mentions, attachments=_attach(library, attach or []))
    _said("post", made, mentions, as_json)


@thread_app.command()
def revise(
    post: PostId,
    file: TextFile = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Give a post of yours another text. Readers see the earlier ones too."""
    text = text_to_seal(file)
    with open_own(folder, passphrase_file) as library:
        made = library.threads.revise(_whole(library, post)[0], text)
    _said("revision", made, (), as_json)


@thread_app.command()
def react(
    post: PostId,
    file: TextFile = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the emoji back.")] = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Put an emoji from stdin on a post, or take it back."""
    emoji = text_to_seal(file)
    with open_own(folder, passphrase_file) as library:
        made = library.threads.react(_whole(library, post)[0], emoji, remove=remove)
    _said("reaction", made, (), as_json)


@thread_app.command()
def retract(
    post: PostId,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take back a post of yours, for good. Who has read it has read it."""
    with open_own(folder, passphrase_file) as library:
        whole, _ = _whole(library, post)
        confirm(
            f"Take back {whole[:16]}? Its text can never be shown again, and who has read it has read it. "
            "The sealed bytes stay with those who have them.",
            yes,
        )
        made = library.threads.retract(whole)
    _said("retraction", made, (), as_json)


@thread_app.command()
def read(
    thread: Annotated[
        str | None, typer.Argument(help="A finding, a thread, or a circle for its alarms. Without it: --all.")
    ] = None,
    up_to: Annotated[str | None, typer.Option(help="The last post that was read; without it, all of them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that this library holds.")] = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Note that a thread was read. It stays on this device, and is never synced."""
    if (thread is None) != everything:
        raise StoreError("expected a thread, or --all and no thread", hint="`darklantern thread list` lists them")
    with open_own(folder, passphrase_file) as library:
        if thread is None:
            library.threads.mark_all_read()
        elif thread == library.net or thread in library.view.circles:
            library.threads.mark_read(thread)
        else:
            library.threads.mark_read(_whole(library, thread)[0], _whole(library, up_to)[0] if up_to else None)
    _noted({"read": thread, "up_to": up_to}, as_json)


@thread_app.command()
def save(
    post: PostId,
    sha256: Annotated[str, typer.Argument(help="SHA-256 of the attachment, or the beginning of it.")],
    out: Annotated[Path, typer.Argument(help="Where it goes. Nothing is overwritten, nothing is opened.")],
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write an attachment, in the clear, to a file. It appears once all of it is verified."""
    check_place(out)
    with open_own(folder, passphrase_file) as library:
        whole, _ = _whole(library, post)
        found = [each for each in library.threads.open_post(whole).attachments if each.sha256.startswith(sha256)]
        if len(found) != 1:
            raise StoreError(
                f"expected the beginning of one attachment's SHA-256, got {sha256!r}, with which {len(found)} begin",
                hint="`darklantern thread show` lists them",
            )
        library.threads.save_attachment(whole, found[0].sha256, out)
    if as_json:
        tell_json({"file": str(out), "bytes": found[0].size})
    else:
        tell(f"{out}: {found[0].size:,} bytes, as they were sealed; whether they are harmless is for you to judge")


@thread_app.command()
def notifications(
    desktop: Annotated[bool, typer.Option("--desktop", help="Tell the desktop how many are new.")] = False,
    run: Annotated[
        Path | None, typer.Option(help="A program to run when some are new; a line of JSON for each is its stdin.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="A file to which a line of JSON is added for each new one.")] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """List what to look at. With --desktop, --run or --to, announce what is new since the last time.

    Announcements hold ids and counts, and no word of what was shared. Nothing goes over a network.
    """
    from darklantern.library.threads import announcing

    with open_own(folder, passphrase_file) as library:
        found = library.threads.notifications(untold=bool(desktop or run or to))
        if found and desktop and not announcing.on_desktop(found):
            tell("this machine has no notify-send, so the desktop was not told")
        if found and run:
            announcing.to_program(run, found)
        if found and to:
            announcing.to_file(to, found)
        if desktop or run or to:
            library.threads.mark_told()
    if as_json:
        tell_json([plain(each) for each in found])
        return
    for each in found:
        by = f" by {each.author}" if each.author else ""
        where = f"thread {each.thread[:16]}" if each.thread else f"log {each.log[:16]}"
        tell(f"{each.kind}{by}, {where}")
    if not found:
        tell("nothing to look at")


@thread_app.command()
def quiet(
    what: Annotated[str, typer.Argument(help="A finding, a thread or a circle.")],
    rule: Annotated[
        Literal["muted", "mentions", "off"], typer.Option(help="No notifications, only mentions, or all of them again.")
    ] = "muted",
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Want fewer notifications. Alarms always come."""
    with open_own(folder, passphrase_file) as library:
        whole = what if what in library.view.circles else _whole(library, what)[0]
        library.threads.quiet(whole, None if rule == "off" else rule)
    _noted({"quiet": whole, "rule": rule}, as_json)


def _noted(what: dict[str, object], as_json: bool) -> None:
    if as_json:
        tell_json(what)
    else:
        tell("noted, on this device only")


def _tell_thread(thread: "Thread") -> None:
    tell(thread.title or "its title does not open here, or was taken back", lead="thread: ")
    for each in thread.posts:
        _tell_post(each)
    for ignored in thread.ignored:
        tell(f"counts for nothing: {ignored.what} {ignored.id[:16]} by {ignored.author}: {ignored.reason}")
    for shut in thread.unreadable:
        tell(f"does not open: {shut.id[:16]} by {shut.author}, {shut.time}: {shut.reason}")
    if not thread.posts:
        tell("no posts yet: `darklantern thread post` writes one")


def _tell_post(post: "ThreadPost") -> None:
    marks = [
        f"answers {post.reply_to[:16]}" if post.reply_to else "",
        "new" if post.unread else "",
        f"revised {len(post.versions)} times" if post.versions else "",
        "not yet in the log" if post.pending else "",
    ]
    said = "".join(f"  ({mark})" for mark in marks if mark)
    tell(f"{post.id[:16]}  {post.author}, {post.time}{said}")
    if post.text is None:
        tell("its author took it back", lead="  ")
        return
    tell_text(post.text)
    for each in post.attachments:
        tell(f"attached: {each.sha256[:16]}  {each.size:,} bytes  {each.media}  {each.name}", lead="  ")
    for reacted in post.reactions:
        tell(f"{reacted.emoji} {', '.join(map(str, reacted.people))}", lead="  ")


def _said(what: str, made: str, mentions: Sequence[tuple[str, str]], as_json: bool) -> None:
    if as_json:
        tell_json({what: made})
        return
    reached = f", mentioning {', '.join(f'{person} of {org}' for org, person in mentions)}" if mentions else ""
    tell(f"sealed {what} {made[:16]}{reached}; sync, or carry a bundle, so that the others get it")


def _title_and_text(typed: str) -> tuple[str, str]:
    title, _, text = typed.partition("\n")
    if not title.strip() or not text.strip():
        raise StoreError("expected a title in the first line and a text below it", hint="separate them by a line break")
    return title.strip(), text.strip("\n")


def _mentioned(library: "Library", text: str, circle: str) -> tuple[tuple[str, str], ...]:
    from darklantern.library.threads.mentioning import mentioned

    return mentioned(text, library.members.effective(circle).persons)


def _whole(library: "Library", beginning: str) -> tuple[str, str]:
    """The one item or post whose id begins so, and its circle."""
    held = library.entries
    found = [entry for entry in held if beginning and entry.startswith(beginning)]
    if len(found) != 1:
        raise StoreError(
            f"expected the beginning of one id, got {beginning!r}, with which {len(found)} begin",
            hint="`darklantern thread list` and `show` give them; "
            + ("give more letters" if found else "copy the id from the first column"),
        )
    return found[0], held[found[0]]


def _attach(library: "Library", files: Sequence[Path]) -> "list[Attached]":
    with _bars() as bar:
        return [library.threads.attach(file, media=_media(file), progress=bar(file)) for file in files]


def _media(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


@contextmanager
def _bars() -> Iterator[Callable[[Path], "Progress"]]:
    """A bar for each file, on stderr where that is a terminal."""
    from darklantern.drawing.lettering import harmless

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:

        def begun(file: Path) -> "Progress":
            task = bars.add_task(f"sealing {harmless(file.name)}", total=None)
            return lambda done, size: bars.update(task, completed=done, total=size)

        yield begun
