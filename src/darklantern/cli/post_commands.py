"""`darklantern thread begin`, `post`, `reply`, `revise`, `react` and `retract`: saying something.

Texts, titles and emoji come from stdin or a file: they are sealed, and every user of the machine can read arguments.
"""

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say
from darklantern.cli.naming import circle_named, entry_named
from darklantern.cli.near import near
from darklantern.cli.options import Json, PassphraseFile, text_to_seal
from darklantern.cli.output import tell, tell_json
from darklantern.cli.thread_commands import PostId, ThreadId, thread_app
from darklantern.errors import StoreError

if TYPE_CHECKING:
    from darklantern.library import Attached, Library

__all__ = ["thread_app"]  # with all its commands on it

TextFile = Annotated[Path | None, typer.Option("--file", help="File that holds the text; without it, stdin is read.")]
Attach = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="A file to attach. May be given several times.")
]


@thread_app.command()
def begin(
    circle: Annotated[str, typer.Argument(help="The circle's name, or the beginning of its id.")],
    file: TextFile = None,
    attach: Attach = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Begin a thread about no finding. The first line of the text is its title."""
    title, text = _title_and_text(text_to_seal(file))
    with open_own(folder, passphrase_file) as library:
        where = circle_named(library, circle)
        mentions = _mentioned(library, text, where)
        attached = _attach(library, attach or [])
        made = library.threads.begin(where, title, text, mentions=mentions, attachments=attached)
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
        whole, circle = entry_named(library, thread)
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
        whole, circle = entry_named(library, post)
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
        made = library.threads.revise(entry_named(library, post)[0], text)
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
        made = library.threads.react(entry_named(library, post)[0], emoji, remove=remove)
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
        whole, _ = entry_named(library, post)
        confirm(
            f"Take back {whole[:16]}? Its text can never be shown again, and who has read it has read it. "
            "The sealed bytes stay with those who have them.",
            yes,
        )
        made = library.threads.retract(whole)
    _said("retraction", made, (), as_json)


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
    """Whom a text mentions. Says which `@word` in it mentions nobody: it may be a slip, or code."""
    from darklantern.library.threads.mentioning import handles, mentioned, unmatched

    people = library.members.effective(circle).persons
    for word in unmatched(text, people):
        close = " or ".join(f"@{name}" for name in near(word, handles(people)))
        say(f"@{word} mentions nobody: {f'did you mean {close}?' if close else 'no member of the circle is called so'}")
    return mentioned(text, people)


def _attach(library: "Library", files: Sequence[Path]) -> "list[Attached]":
    attached = []
    for file in files:
        media = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        with bytes_bar(f"sealing {file.name}") as progress:
            attached.append(library.threads.attach(file, media=media, progress=progress))
    return attached
