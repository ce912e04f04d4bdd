"""`darklantern seal`: any file, for people, devices or a stock age."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.options import Json, PassphraseFile, recipient_lines, source_of, target_of, tell_target
from darklantern.counted import counted
from darklantern.errors import RefusedError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.sealing import DevicePublic, Recipient

To = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHO",
        help="Who opens it: ORG/PERSON, a device by id or fingerprint, age1pq1…, or a file of such lines.",
    ),
]
NewFile = Annotated[Path, typer.Option("--out", "-o", help="A new file, or - for stdout. Nothing is replaced.")]


def seal(
    file: Annotated[Path, typer.Argument(help="The file to seal, of any size, or - for stdin.")],
    out: NewFile,
    to: To = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Seal a file to people or devices, as an age file.

    It is not signed, and stands in no circle: nothing in it says who sealed it, and nothing holds its reader to a
    level. A device opens it with `darklantern open`; whoever has no library, with a stock age from 1.3 on: `age-keygen
    -pq` writes them a key and says its age1pq1…, which goes to --to, and `age -d -i KEY` opens the file.
    """
    from darklantern.library.files import seal_to

    target = target_of(out, as_json)
    with open_own(folder, passphrase_file) as library:
        recipients = recipients_named(library, to)
        with bytes_bar("sealing") as progress:
            seal_to(source_of(file), target, recipients, progress)
    tell_target(out, f"sealed to {counted(len(recipients), 'key')}", as_json, recipients=len(recipients))


def recipients_named(library: "Library", to: list[str] | None) -> "list[Recipient]":
    """The keys of everybody who was named, in that order. Raises RefusedError."""
    if not to:
        raise RefusedError(
            "expected somebody to seal it to, got nobody",
            hint="name them with --to: ORG/PERSON (`darklantern member list`), a device, age1pq1… or a file of such "
            "lines; for a stock age from 1.3 on, `age-keygen -pq` makes a key, and prints its age1pq1…",
        )
    return [each for named in to or () for each in _recipients(library, named)]


def _recipients(library: "Library", named: str) -> "list[Recipient]":
    """The keys behind a name; never a guess between a file here and a device of the network. Raises RefusedError."""
    from darklantern.library.exporting import parse_recipients

    if named.startswith("age1"):
        return list(parse_recipients([named]))
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
