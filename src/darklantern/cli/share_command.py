"""`darklantern share`: a finding to a circle."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.kinds import FORM, expecting, kind_of
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say, value_of
from darklantern.cli.naming import artifacts_of, circle_named, item_named
from darklantern.cli.options import Json, PassphraseFile, read
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.errors import RefusedError

if TYPE_CHECKING:
    from darklantern.library import Library, Listed
    from darklantern.network.links import LinkKind
    from darklantern.records.assessments import Assessment, Level
    from darklantern.records.exact import Sha256
    from darklantern.records.findings import Finding


def share(
    finding: Annotated[
        Path,
        typer.Argument(help="A form of `darklantern finding new`, filled in; or the exact JSON of a finding."),
    ],
    circle: Annotated[str, typer.Option(help="The circle, by name or id.")],
    assessment: Annotated[
        Path | None, typer.Option(help="File with the assessment's exact JSON. A form has its own answers.")
    ] = None,
    artifact: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file that the evidence names; give each. A form brings its own."),
    ] = None,
    supersedes: Annotated[str | None, typer.Option(help="Your item of which this is a newer version.")] = None,
    link: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:ITEM", help="KIND:ITEM, of the kinds relates, replicates, contradicts, builds-on."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A word by which people find it.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say who would read it, or what is refused, and share nothing.")
    ] = False,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Seal a finding to a circle.

    First it says who will be able to read it, and asks. It is refused unless its assessment's level follows and the
    circle is closed enough: --check says so beforehand. Sync, or carry a bundle, so that it reaches them.
    """
    what, judged, files = _prepared(finding, assessment, artifact or ())
    with open_own(folder, passphrase_file) as library:
        where = circle_named(library, circle)
        members = library.members.effective(where).members
        readers = sorted({f"{member.org}/{member.person}" for member in members})
        opens = "would open" if check else "will open"
        say(f"this {opens} on {counted(len(members), 'device')} of {', '.join(readers) or 'nobody'}")
        say(f"level {judged.operate}; {'; '.join(judged.binding) or 'no rule binds it'}")
        for file in files.values():
            say(f"with {file.resolve()}, {file.stat().st_size:,} bytes")
        older = item_named(library, supersedes) if supersedes else None
        _check_panels(library, what, older, judged.operate)
        same = [each for each in library.findings.same(what, where) if each.id != older]
        for each in same:
            say(_same(library, each))
        links, tags = [_link(library, each) for each in link or ()], tuple(sorted(tag or ()))
        if check:
            library.findings.check(
                what, files, circle=where, assessment=judged, supersedes=older, links=links, tags=tags
            )
            _tell_checked(readers, as_json)
            return
        again = " once more" if same else ""
        confirm(f"Seal it to them{again}? What they have opened cannot be taken back.", yes)
        with bytes_bar("sealing") as progress:
            item = library.findings.share(
                what,
                files,
                circle=where,
                assessment=judged,
                supersedes=older,
                links=links,
                tags=tags,
                progress=progress,
            )
        waits = item in library.pending
    if as_json:
        tell_json({"item": item, "waits": waits, "same": [each.id for each in same]})
    else:
        tell(f"shared: item {item}{'; it waits here: sync, or carry a bundle' if waits else ''}")


def _prepared(
    finding: Path, assessment: Path | None, artifacts: Iterable[Path]
) -> "tuple[Finding, Assessment, dict[Sha256, Path]]":
    """What is to be shared: from a form, or from the exact JSON of both. Raises DarkLanternError."""
    from darklantern.cli.finding_form import is_form, prepared
    from darklantern.library.artifact_contents import check_contents
    from darklantern.library.files import file_sha256
    from darklantern.records.assessments import Assessment
    from darklantern.records.findings import Finding

    given = {file_sha256(path): path for path in artifacts}
    with expecting(finding, FORM, kind_of(Finding)):
        made = prepared(finding) if is_form(read(finding)) else None
        what = made.finding if made else value_of(Finding, finding)
    for named in artifacts_of(what):  # a form's own are checked with the form
        if named.sha256 in given:
            check_contents(given[named.sha256], named.media)
    if made and assessment is None:
        return what, made.assessment, {**made.files, **given}
    if made:
        raise RefusedError(
            f"expected no --assessment, got {assessment}: {finding} is a form, with answers of its own",
            hint="leave --assessment out; `darklantern finding assess` says which level follows from the form",
        )
    if assessment is None:
        raise RefusedError(
            f"expected the assessment of {finding}, got none",
            hint="name its file with --assessment; or answer the questions of a form: `darklantern finding new`",
        )
    return what, value_of(Assessment, assessment), given


def _check_panels(library: "Library", finding: "Finding", older: str | None, level: "Level") -> None:
    """Refuse what raters hold more closed, in whichever circle they rated it."""
    from darklantern.cli.panel_acts import panel_of

    items = dict.fromkeys([each.id for each in library.findings.same(finding)] + ([older] if older else []))
    for item in items:
        acts = library.panels.acts(item)
        panel = panel_of(library.findings.open(item), acts) if acts.done else None
        if panel is not None and panel.standing.level > level:
            raise RefusedError(
                f"the panel of item {item[:16]} holds it at {panel.standing.level}, and this would share it at "
                f"{level}: {panel.standing.why[0]}",
                hint="`darklantern panel show` says who can open it: all raters by a vote, or two by an override",
            )


def _tell_checked(readers: list[str], as_json: bool) -> None:
    if as_json:
        tell_json({"refused": None, "readers": readers})
    else:
        tell("nothing forbids it as of now; nothing was shared")


def _same(library: "Library", item: "Listed") -> str:
    holder, id = library.identity.holder, item.id[:16]
    mine = (item.author.org, item.author.person) == (holder.org, holder.person)
    instead = f"--supersedes {id} makes a new version of it" if mine else f"--link relates:{id} puts yours beside it"
    return f"this very finding is there already: item {id}, by {item.author} on {item.time}; {instead}"


def _link(library: "Library", text: str) -> "tuple[LinkKind, str]":
    from darklantern.network.links import LinkKind

    kind, _, item = text.partition(":")
    known = get_args(LinkKind)
    if kind not in known:
        raise RefusedError(f"expected KIND:ITEM with a kind of {', '.join(known)}, got {text!r}", hint="see --help")
    return cast("LinkKind", kind), item_named(library, item)
