"""`darklantern log …`: what stands in the logs that are held here, entry by entry."""

from typing import Annotated

import typer

from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.naming import log_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.records.exact import plain

log_app = typer.Typer(
    help="The network's log and those of circles, entry by entry.", no_args_is_help=True, rich_markup_mode=None
)
_SETTLING = {
    "log": "it is frozen for everybody: show the proof (`--json`) to its keeper and the others",
    "device": "nothing of it counts any more: its org revokes it (`darklantern device revoke`)",
    "roster": "`darklantern org change --settle` drafts what settles it",
    "org": "`darklantern member settle` drafts what settles it",
    "circle": "`darklantern circle change --settle` drafts what settles it",
}


@log_app.command("list")
def list_logs(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List the logs that are held here, and which are frozen."""
    with open_own(folder, passphrase_file) as library:
        logs = library.status().logs
    if as_json:
        tell_json([plain(each) for each in logs])
        return
    for each in logs:
        marks = [f"{len(each.waiting)} wait" if each.waiting else "", "kept here" if each.kept_here else ""]
        marks += ["frozen" if each.frozen else "", f"stale since {each.stale_since}" if each.stale_since else ""]
        said = "".join(f", {mark}" for mark in marks if mark)
        seen = f"as of {each.as_of}" if each.as_of else "never seen"
        tell(f"{each.log[:16]}  {counted(each.held, 'entry')}, {seen}{said}")
        tell(each.name, lead="  ")


@log_app.command()
def show(
    log: Annotated[str, typer.Argument(help="`network`, or a circle's name or the beginning of its id.")] = "network",
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only entries of this kind: roster, org, circle, removal, epoch, item …"),
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only entries that do not count.")] = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Print a log's entries: what, by whom, and whether it counts.

    Each with its place, its id, its kind, when its author says it was, and who signed it; where it does not count, why.
    What waits here for the log's keeper is in `darklantern status`.
    """
    with open_own(folder, passphrase_file) as library:
        acts = library.acts(log_named(library, log))
    found = [act for act in acts if (not kind or act.kind in kind) and (act.refused is not None or not refused)]
    if as_json:
        tell_json([plain(each) for each in found])
        return
    for each in found:
        tell(f"{each.position}  {each.id[:16]}  {each.kind or 'unknown'}  {each.time}  {', '.join(each.by)}")
        tell(each.what, lead="  ")
        if each.refused is not None:
            tell(f"does not count: {each.refused}", lead="  ")
    if not found:
        tell("no entries here" if not acts else f"none of its {len(acts)} entries fits")


@log_app.command()
def forks(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List what contradicted itself, and is frozen for it.

    Logs with two histories, devices with two records at one place, and versions that both claim to be the newest. With
    `--json` also the proof that a log signed both, for others to check.
    """
    with open_own(folder, passphrase_file) as library:
        found = library.forks()
    if as_json:
        tell_json([plain(each) for each in found])
        return
    for each in found:
        ids = f": {each.first[:16]} and {each.second[:16]}" if each.first and each.second else ""
        tell(f"{each.kind} {each.of[:16]} in log {each.log[:16]}{ids}")
        tell(_SETTLING[each.kind], lead="  ")
    if not found:
        tell("none: nothing here contradicts itself")
