"""`darklantern search`."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from darklantern.cli.library_option import LibraryFolder, day_of, open_own
from darklantern.cli.naming import circle_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.errors import StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library


def search(
    circle: Annotated[str | None, typer.Option(help="Only in this circle, by name or id.")] = None,
    author: Annotated[str | None, typer.Option(help="Only by this person or org: ada or Aurora.")] = None,
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
        where = circle_named(library, circle) if circle else None
        hits = library.search(words, circle=where, author=author, tag=tag, since=day, older=older, limit=limit)
        why_none = () if hits else _why_none(library, filtered=any((circle, author, tag, since)))
    if as_json:
        tell_json([plain(hit) for hit in hits])
        return
    for hit in hits:
        text = "".join(f"[{part}]" if found else part for part, found in hit.excerpt)
        what = "finding" if hit.kind == "item" else "post in"
        title = hit.title or "a thread whose title is not searched here"
        tell(f"{hit.item[:16]}  {hit.time[:10]}  {hit.person} ({hit.org}), {what}: {title}")
        tell(" ".join(text.split()), lead="  ")
    for line in why_none:
        tell(line)


def _why_none(library: "Library", *, filtered: bool) -> tuple[str, ...]:
    """That nothing fits, and each reason why that may be so here."""
    relays = library.status().relays
    synced = max((relay.synced for relay in relays if relay.synced), default=None)
    news = f"the last sync was at {synced}" if synced else "this library has never synced with a relay"
    return (
        "nothing found",
        "  all words must stand in one text, each whole: try fewer, or the beginning of one, like begin*",
        *(["  only a part was searched: without --circle, --author, --tag or --since there may be more"] * filtered),
        *(
            f"  circle {name} is not searched here: `darklantern library index {shlex.quote(name)}`"
            for name in library.unsearched
        ),
        f"  what has not come here is not found: {news}; `darklantern sync`, or take in a bundle",
    )


def _words() -> str:
    """What to look for, from stdin. Raises StoreError where there is none."""
    if sys.stdin is None:  # the shell closed it
        raise StoreError("no words to look for, and no stdin to read them from", hint="pipe them in")
    if sys.stdin.isatty():
        tell("look for:", console=Console(stderr=True))
    return sys.stdin.readline()
