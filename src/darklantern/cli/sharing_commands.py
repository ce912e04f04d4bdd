"""`darklantern share`, `open` and `seal`: findings to circles, files to people, and what is sealed to this device."""

from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.finding_text import finding_lines
from darklantern.cli.library_commands import item_named
from darklantern.cli.library_option import (
    LibraryFolder,
    Yes,
    circle_named,
    confirm,
    open_own,
    say,
    value_of,
)
from darklantern.cli.options import Json, PassphraseFile, check_place, recipient_lines
from darklantern.cli.output import tell, tell_json, tell_text
from darklantern.errors import RefusedError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network.links import LinkKind
    from darklantern.sealing import DevicePublic, Recipient

To = Annotated[
    list[str] | None,
    typer.Option(help="Who opens it: ORG/PERSON, a device by id or fingerprint, or a file of age1pq1… recipients."),
]
NewFile = Annotated[Path, typer.Option("--out", help="A new file. Nothing is replaced.")]


def share(
    finding: Annotated[Path, typer.Argument(help="File with the finding's exact JSON: `records.encode(finding)`.")],
    circle: Annotated[str, typer.Option(help="The circle, by name or id.")],
    assessment: Annotated[Path, typer.Option(help="File with the assessment's exact JSON.")],
    artifact: Annotated[
        list[Path] | None, typer.Option(help="A file that the finding's evidence names; give each of them.")
    ] = None,
    supersedes: Annotated[str | None, typer.Option(help="Your item of which this is a newer version.")] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="KIND:ITEM, of the kinds relates, replicates, contradicts, builds-on.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word by which people find it.")] = None,
    yes: Yes = False,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Seal a finding to a circle.

    First it says who will be able to read it, and asks. It is refused unless its assessment's level follows and the
    circle is closed enough. Sync, or carry a bundle, so that it reaches them.
    """
    from darklantern.library.files import file_sha256
    from darklantern.records.assessments import Assessment
    from darklantern.records.findings import Finding

    what, judged = value_of(Finding, finding), value_of(Assessment, assessment)
    with open_own(folder, passphrase_file) as library:
        where = circle_named(library, circle)
        members = library.members.effective(where).members
        readers = sorted({f"{member.org}/{member.person}" for member in members})
        say(f"this will open on {len(members)} devices of {', '.join(readers) or 'nobody'}")
        confirm("Seal it to them? What they have opened cannot be taken back.", yes)
        with bytes_bar("sealing") as progress:
            item = library.findings.share(
                what,
                {file_sha256(path): path for path in artifact or ()},
                circle=where,
                assessment=judged,
                supersedes=item_named(library, supersedes) if supersedes else None,
                links=[_link(library, each) for each in link or ()],
                tags=tuple(sorted(tag or ())),
                progress=progress,
            )
        waits = item in library.pending
    if as_json:
        tell_json({"item": item, "waits": waits})
    else:
        tell(f"shared: item {item}{'; it waits here: sync, or carry a bundle' if waits else ''}")


def open_(
    what: Annotated[str, typer.Argument(help="An item's id or its beginning, or a file that was sealed to you.")],
    artifact: Annotated[str | None, typer.Option(help="SHA-256 of an artifact of the item, to write as --out.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new file, for an artifact or what was sealed.")] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Show a finding, or open a sealed file.

    With --artifact and --out it writes one of the finding's artifacts. A file appears once all of it is verified.
    """
    if out is not None:
        check_place(out)
    with open_own(folder, passphrase_file) as library:
        if Path(what).is_file():
            if out is None or artifact is not None:
                raise RefusedError("expected a place for what is in the file", hint="name it with --out")
            with bytes_bar("opening") as progress:
                library.open_file(Path(what), out, progress)
            _tell_file(out, "opened", as_json)
            return
        item = _item(library, what)
        if artifact is not None or out is not None:
            if artifact is None or out is None:
                raise RefusedError("expected an artifact and a place for it", hint="give --artifact and --out")
            library.findings.save_artifact(item, artifact, out)
            _tell_file(out, "written", as_json)
            return
        opened = library.findings.open(item)
    if as_json:
        tell_json(plain(opened))
        return
    for is_peers, line in finding_lines(opened):
        (tell_text if is_peers else tell)(line)


def seal(
    file: Annotated[Path, typer.Argument(help="The file to seal, of any size.")],
    out: NewFile,
    to: To = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Seal a file to people or devices, as an age file.

    A stock age from 1.3 on opens it with the same key. It is not signed, and stands in no circle: nothing in it says
    who sealed it, and nothing holds its reader to a level.
    """
    from darklantern.library.files import seal_to

    check_place(out)
    with open_own(folder, passphrase_file) as library:
        recipients = [each for named in to or () for each in _recipients(library, named)]
        with bytes_bar("sealing") as progress:
            seal_to(file, out, recipients, progress)
    if as_json:
        tell_json({"file": str(out), "recipients": len(recipients)})
    else:
        tell(f"{out}: sealed to {len(recipients)} keys")


def _tell_file(file: Path, done: str, as_json: bool) -> None:
    if as_json:
        tell_json({"file": str(file)})
    else:
        tell(f"{file}: {done}")


def _item(library: "Library", what: str) -> str:
    if set(what) - set(hexdigits):
        raise RefusedError(
            f"expected a file or the beginning of an item's id, got {what!r}",
            hint="check the path, or copy an id from `darklantern library findings`",
        )
    return item_named(library, what)


def _recipients(library: "Library", named: str) -> "list[Recipient]":
    """The keys behind a name; never a guess between a file here and a device of the network. Raises RefusedError."""
    from darklantern.library.exporting import parse_recipients

    file, devices = Path(named), _devices(library, named)
    if file.is_file() and devices:
        raise RefusedError(
            f"{named!r} is a file here and names a device of the network",
            hint=f"write ./{named} for the file, and the device's whole id or ORG/PERSON for the device",
        )
    if file.is_file():
        return list(parse_recipients(recipient_lines(file)))
    if not devices or ("/" not in named and len(devices) > 1):
        raise RefusedError(
            f"expected ORG/PERSON, one device or a file of recipients, got {named!r}, which names {len(devices)} "
            "devices in use",
            hint="`darklantern member list` shows people and devices; a revoked device is sealed to no more",
        )
    return [device.receiver() for device in devices]


def _devices(library: "Library", named: str) -> "list[DevicePublic]":
    state = library.view.network
    active = {id: each for id, each in state.devices.items() if named and state.is_active(id)}
    if "/" in named:
        return [each.device for each in active.values() if "/".join(each.owner) == named]
    return [
        each.device
        for id, each in active.items()
        if id.startswith(named.lower()) or each.device.fingerprint.startswith(named.upper())
    ]


def _link(library: "Library", text: str) -> "tuple[LinkKind, str]":
    from darklantern.network.links import LinkKind

    kind, _, item = text.partition(":")
    known = get_args(LinkKind)
    if kind not in known:
        raise RefusedError(f"expected KIND:ITEM with a kind of {', '.join(known)}, got {text!r}", hint="see --help")
    return cast("LinkKind", kind), item_named(library, item)
