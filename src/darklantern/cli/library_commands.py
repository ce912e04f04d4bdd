"""`darklantern library …`, `rerun` and `page`: what a member does with what was shared."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.options import Folder, Json, PassphraseFile, passphrase
from darklantern.errors import RecipeError, StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library

library_app = typer.Typer(
    help="A device's encrypted store of findings and threads.", no_args_is_help=True, rich_markup_mode=None
)
Item = Annotated[str, typer.Argument(help="Id of an item, or the beginning of one.")]


@library_app.command()
def findings(folder: Folder, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """List the findings that this device holds."""
    with open_library(folder, passphrase_file) as library:
        listed = library.findings()
    if as_json:
        print(json.dumps([plain(entry) for entry in listed]))
        return
    for entry in listed:
        what = entry.title or f"does not open: {entry.problem}"
        _print(f"{entry.id[:16]}  {entry.level or '–'}  {entry.time[:10]}  {entry.author}: {what}")
    if not listed:
        _print("no findings yet: import a bundle with `darklantern library import`")


@library_app.command()
def thread(folder: Folder, item: Item, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Print the posts about a finding."""
    with open_library(folder, passphrase_file) as library:
        posts = library.thread(_whole(library, item))
    if as_json:
        print(json.dumps([plain(post) for post in posts]))
        return
    for post in posts:
        _print(f"{post.author}, {post.time}{' (not yet in the log)' if post.pending else ''}\n  {post.text}")


@library_app.command()
def post(
    folder: Folder,
    item: Item,
    text: Annotated[str, typer.Argument(help="What to say. It is sealed to the finding's circle.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Answer in a finding's thread. A bundle carries the answer to the others."""
    with open_library(folder, passphrase_file) as library:
        made = library.post(_whole(library, item), text)
    _print(f"posted {made[:16]}; export a bundle so that the others get it")


@library_app.command("import")
def import_bundle(
    folder: Folder,
    bundle: Annotated[Path, typer.Argument(help="A bundle file that another library exported.")],
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take in a bundle, whole or not at all."""
    data = _read(bundle)
    with open_library(folder, passphrase_file) as library:
        imported = library.import_bundle(data)
    if as_json:
        print(json.dumps(plain(imported)))
        return
    _print(
        f"{sum(imported.entries.values())} new entries, {imported.pieces} new pieces, {len(imported.appended)} appended"
    )
    for opaque in imported.opaque:
        _print(f"does not count: {opaque.reason}")
    for problem in (*imported.problems, *(f"not appended: {reason}" for _, reason in imported.refused)):
        _print(problem)


@library_app.command("export")
def export_bundle(
    folder: Folder,
    bundle: Annotated[Path, typer.Argument(help="Where the bundle goes; an existing file is replaced.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write all this library holds as one sealed file."""
    from darklantern.files import write_whole

    with open_library(folder, passphrase_file) as library:
        data = library.export_bundle()
    write_whole(bundle, data)
    _print(f"{bundle}: {len(data):,} bytes")


@library_app.command()
def check(folder: Folder, passphrase_file: PassphraseFile = None) -> None:
    """Verify every record and every sealed piece on disk."""
    with open_library(folder, passphrase_file) as library:
        problems = library.problems()
    for problem in problems:
        _print(problem)
    if problems:
        raise typer.Exit(1)
    _print("everything that this library holds is whole")


def rerun(folder: Folder, item: Item, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Run a finding's evidence again and compare each figure.

    It starts from the shared artifacts. A recipe names one of darklantern's own functions; nothing
    that a peer wrote is executed.
    """
    from darklantern.replication import rerun as run_again

    with open_library(folder, passphrase_file) as library:
        whole = _whole(library, item)
        opened = library.open_item(whole)
        evidence = [e for e in opened.finding.evidence if e.recipe is not None]
        held = {a.sha256: library.artifact(whole, a.sha256) for e in evidence for a in e.artifacts}
    if not evidence:
        raise RecipeError("no evidence of this finding carries a recipe", hint="ask its author how it was made")
    results = [run_again(e, held) for e in evidence]
    if as_json:
        print(json.dumps([{**plain(result), "holds": result.holds} for result in results]))
    else:
        for result in results:
            _print(str(result))
    if not all(result.holds for result in results):
        raise typer.Exit(1)


def open_library(folder: Path, passphrase_file: Path | None) -> "Library":
    """Loads the room late: `--help` needs no cryptography."""
    from darklantern.assess import level_follows
    from darklantern.library import Library

    keep_secrets_in_memory()
    return Library.open(folder, passphrase(passphrase_file), follows=level_follows)


def _whole(library: "Library", item: str) -> str:
    """The one item whose id begins with `item`."""
    found = [entry.id for entry in library.findings() if entry.id.startswith(item)]
    if len(found) != 1:
        raise StoreError(
            f"{len(found)} items have an id that begins with {item!r}",
            hint="`darklantern library findings` lists them; give more letters",
        )
    return found[0]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", hint="check the path") from error


def _print(line: str) -> None:
    """Peers' text is data: never markup."""
    Console(highlight=False, soft_wrap=True).print(Text(line))
