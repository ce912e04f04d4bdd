"""`darklantern thread notifications`, `read` and `quiet`: what to look at. None of it leaves this device."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.naming import entry_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.cli.post_commands import thread_app
from darklantern.errors import StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library

__all__ = ["thread_app"]  # with all its commands on it


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
def read(
    thread: Annotated[
        str | None, typer.Argument(help="A finding, a thread, or `network` or a circle for its alarms.")
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
        elif (log := _log(library, thread)) is not None:
            library.threads.mark_read(log)
        else:
            last = entry_named(library, up_to)[0] if up_to else None
            library.threads.mark_read(entry_named(library, thread)[0], last)
    _noted({"read": thread, "up_to": up_to}, as_json)


@thread_app.command()
def quiet(
    what: Annotated[str, typer.Argument(help="A finding, a thread or a circle.")],
    rule: Annotated[
        Literal["muted", "mentions", "all"], typer.Option(help="No notifications, only mentions, or all of them again.")
    ] = "muted",
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Want fewer notifications. Alarms always come."""
    with open_own(folder, passphrase_file) as library:
        whole = _log(library, what) or entry_named(library, what)[0]
        library.threads.quiet(whole, None if rule == "all" else rule)
    _noted({"quiet": whole, "rule": rule}, as_json)


def _log(library: "Library", what: str) -> str | None:
    """The log that is named in full, or by its circle's name. A beginning is an entry's."""
    if what in (library.net, "network"):
        return library.net
    names = {terms.name: id for id, terms in library.circles().items()}
    return what if what in library.view.circles else names.get(what)


def _noted(what: dict[str, object], as_json: bool) -> None:
    if as_json:
        tell_json(what)
    else:
        tell("noted, on this device only")
