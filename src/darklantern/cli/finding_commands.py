"""`darklantern finding …`: what was shared, listed and taken out; and `rerun`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.library_option import LibraryFolder, Yes, confirm, day_of, open_own
from darklantern.cli.naming import artifact_named, artifacts_of, circle_named, item_named
from darklantern.cli.options import Json, PassphraseFile, check_place
from darklantern.cli.output import tell, tell_json
from darklantern.cli.seal_command import To, recipients_named
from darklantern.errors import RecipeError
from darklantern.records.assessments import Level
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Listed

finding_app = typer.Typer(
    help="Findings: what was shared, their versions and links.\n\n"
    "Each is an item of its circle's log, with an id. `darklantern share` shares one, `darklantern open` shows it, and "
    "`darklantern thread` is what people say about it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Item = Annotated[str, typer.Argument(help="Id of an item, or the beginning of one.")]


@finding_app.command("list")
def list_findings(
    circle: Annotated[str | None, typer.Option(help="Only of this circle, by name or id.")] = None,
    author: Annotated[str | None, typer.Option(help="Only by this person or org: ada, Aurora/ada or Aurora.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only with this tag.")] = None,
    level: Annotated[Level | None, typer.Option(help="Only at this level.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this day on: 2026-11-21.")] = None,
    older: Annotated[bool, typer.Option("--older", help="Superseded versions too.")] = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """List the findings that this device holds."""
    from darklantern.network.clock import text

    day = text(day_of(since)) if since else ""
    with open_own(folder, passphrase_file) as library:
        where = circle_named(library, circle) if circle else None
        listed = library.findings.listed(older=older)
    found = [
        each
        for each in listed
        if where in (None, each.circle)
        and author in (None, each.author.org, each.author.person, f"{each.author.org}/{each.author.person}")
        and (tag is None or tag in each.tags)
        and level in (None, each.level)
        and each.time >= day
    ]
    if found or not listed or as_json:
        _tell_listed(found, as_json)
    else:
        tell(f"none of the {len(listed)} findings here fits")


@finding_app.command()
def versions(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """List all versions of a finding, older before newer."""
    with open_own(folder, passphrase_file) as library:
        found = library.findings.versions(item_named(library, item))
    _tell_listed(found, as_json)


@finding_app.command()
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


@finding_app.command()
def artifacts(
    item: Item, folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False
) -> None:
    """List the files that go with a finding.

    `darklantern open ITEM --artifact NAME --out FILE` writes one of them.
    """
    with open_own(folder, passphrase_file) as library:
        found = artifacts_of(library.findings.open(item_named(library, item)).finding)
    if as_json:
        tell_json([plain(each) for each in found])
        return
    for each in found:
        tell(f"{each.sha256[:16]}  {each.size:,} bytes  {each.media}  {each.name}")
    if not found:
        tell("no files go with it")


@finding_app.command()
def export_age(
    item: Item,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new file. Nothing is replaced.")],
    to: To = None,
    artifact: Annotated[
        str | None,
        typer.Option(help="An artifact, by its name or the beginning of its SHA-256, in place of the finding."),
    ] = None,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write a finding as an age file, out of its circle.

    Or one of its artifacts. A stock age opens it, from version 1.3 on: `age-keygen -pq` makes the key whose age1pq1…
    goes to --to, and `age -d -i KEY` opens the file. From then on nothing holds its readers to its level, and
    nothing takes it back.
    """
    check_place(out)
    with open_own(folder, passphrase_file) as library:
        whole, recipients = item_named(library, item), recipients_named(library, to)
        confirm(f"Let this leave its circle for {len(recipients)} recipients? It cannot be taken back.", yes)
        sha256 = artifact_named(library, whole, artifact) if artifact else None
        library.findings.export_age(out, whole, map(str, recipients), artifact=sha256)
    if as_json:
        tell_json({"file": str(out), "bytes": out.stat().st_size})
    else:
        tell(f"{out}: {out.stat().st_size:,} bytes")


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


def _tell_listed(found: "tuple[Listed, ...] | list[Listed]", as_json: bool) -> None:
    if as_json:
        tell_json([plain(entry) for entry in found])
        return
    for entry in found:
        what = entry.title or f"does not open: {entry.problem}"
        tell(f"{entry.id[:16]}  {entry.level or '–'}  {entry.time[:10]}  {entry.author}: {what}")
    if not found:
        tell("no findings yet: `darklantern sync`, or import a bundle")
