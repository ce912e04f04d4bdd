"""`darklantern library findings` and `check`, and `rerun`: what a member does with what was shared."""

from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RecipeError, StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Imported, Library, Notification

library_app = typer.Typer(
    help="A device's encrypted store: what it holds, kept whole.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Item = Annotated[str, typer.Argument(help="Id of an item, or the beginning of one.")]


@library_app.command()
def findings(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List the findings that this device holds."""
    with open_own(folder, passphrase_file) as library:
        listed = library.findings.listed()
    if as_json:
        tell_json([plain(entry) for entry in listed])
        return
    for entry in listed:
        what = entry.title or f"does not open: {entry.problem}"
        tell(f"{entry.id[:16]}  {entry.level or '–'}  {entry.time[:10]}  {entry.author}: {what}")
    if not listed:
        tell("no findings yet: `darklantern sync`, or import a bundle")


@library_app.command()
def check(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Verify every record and every sealed piece on disk."""
    with open_own(folder, passphrase_file) as library, bytes_bar("checking") as progress:
        problems = [str(problem) for problem in library.care.verify(progress)]
    if as_json:
        tell_json({"problems": problems})
    else:
        for line in problems or ("everything that this library holds is whole",):
            tell(line)
    if problems:
        raise typer.Exit(1)


def rerun(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Run a finding's evidence again and compare each figure.

    It starts from the shared artifacts. A recipe names one of darklantern's own functions; nothing
    that a peer wrote is executed.
    """
    from darklantern.replication import rerun as run_again

    with open_own(folder, passphrase_file) as library:
        whole = item_named(library, item)
        opened = library.findings.open(whole)
        evidence = [e for e in opened.finding.evidence if e.recipe is not None]
        held = {a.sha256: library.findings.artifact(whole, a.sha256) for e in evidence for a in e.artifacts}
    if not evidence:
        raise RecipeError("no evidence of this finding carries a recipe", hint="ask its author how it was made")
    if not as_json:
        tell(f"running {', '.join(str(e.recipe.function) for e in evidence if e.recipe)} again …")
    results = [run_again(e, held) for e in evidence]
    if as_json:
        tell_json([{**plain(result), "holds": result.holds} for result in results])
    else:
        for line in (line for result in results for line in str(result).split("\n")):
            tell(line)
    if not all(result.holds for result in results):
        raise typer.Exit(1)


def item_named(library: "Library", item: str) -> str:
    """The one item whose id begins with `item`."""
    found = [entry.id for entry in library.findings.listed(older=True) if item and entry.id.startswith(item)]
    if len(found) != 1:
        raise StoreError(
            f"expected the beginning of one item's id, got {item!r}, with which {len(found)} begin",
            hint="`darklantern library findings` lists them; "
            + ("give more letters" if found else "copy the id from the first column"),
        )
    return found[0]


def noticed(fresh: "list[Notification]") -> list[str]:
    """That there is something to look at, and where."""
    from darklantern.library.threads.notifications import summary

    return [f"{summary(fresh)}: `darklantern thread notifications` lists them"] if fresh else []


def told(imported: "Imported") -> list[str]:
    """What came of an import, and all that did not."""
    entries, appended = sum(imported.entries.values()), len(imported.appended)
    return [
        f"{entries} new entries, {imported.pieces} new pieces, {appended} appended"
        if entries or imported.pieces or appended
        else "nothing new: this library had all of it",
        *([f"{len(imported.carried)} records of others wait here now: sync"] if imported.carried else []),
        *(f"does not count: {leaf.reason}" for leaf in imported.opaque),
        *(f"sealed and signed again: {old[:16]} is now {new[:16]}" for old, new in imported.remade),
        *imported.problems,
        *(f"not appended: {reason}" for _, reason in imported.refused),
        *(f"missing: piece {name}, in neither the bundle nor this library" for name in imported.missing),
        *(
            f"skipped: log {log}, which no record that counts here names, or which is frozen"
            for log in imported.skipped
        ),
    ]
