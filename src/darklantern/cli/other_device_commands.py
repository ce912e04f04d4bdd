"""`darklantern device vouch`, `handover`, `recover` and `revoke`: a person's other devices, and lost ones."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.device_commands import device_app
from darklantern.cli.draft_commands import pass_on
from darklantern.cli.handing_out import DraftOut
from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say
from darklantern.cli.naming import circle_named, device_named, whose
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.errors import RefusedError

__all__ = ["device_app"]  # with all its commands on it

DeviceName = Annotated[str, typer.Argument(help="Beginning of the device's id or fingerprint.")]


@device_app.command()
def vouch(
    device: DeviceName,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Vouch for your own other device, or for a lost member's.

    The second, for somebody who has lost all others, takes a notice (`darklantern device recover`) that has stood for
    72 hours, and a quorum of admins.
    """
    with open_own(folder, file) as library:
        id = device_named(library, device)
        standing = library.view.network.devices[id]
        say(f"{whose(standing)}: device {standing.device.fingerprint}")
        own = standing.owner == (library.identity.holder.org, library.identity.holder.person)
        named = [each for each in library.members.notices() if each.device == id]
        if not own and not named:
            raise RefusedError(
                "this is another person's device, and no notice of it stands in the network's log",
                hint="its owner gives notice first: `darklantern device recover`",
            )
        confirm("Have you compared this fingerprint with its owner, in person or by voice?", yes)
        if own:
            library.members.vouch(id)
        for each in () if own else named:
            library.members.vouch_for(each.id)
    _done(as_json, {"device": id}, "vouched; sync, or carry a bundle, so that the others get it")


@device_app.command()
def handover(
    device: DeviceName,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give your own other device this one's keys to the past.

    With them it opens what this device can open of each circle's past. Keys that were handed over cannot be taken back.
    """
    with open_own(folder, file) as library:
        id = device_named(library, device)
        say(f"device {library.view.network.devices[id].device.fingerprint}")
        confirm("Is this fingerprint your own other device's? What it is given cannot be taken back.", yes)
        circles = library.members.hand_over(id)
    _done(
        as_json,
        {"circles": list(circles)},
        f"handed over, for {counted(len(circles), 'circle')}; sync, or carry a bundle to the device",
    )


@device_app.command()
def recover(
    circle: Annotated[str, typer.Argument(help="The circle's name, or the beginning of its id.")],
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Give notice that you have lost all your other devices.

    You want this one to count in a circle: its admins may vouch for it once the notice has stood in the network's log
    for 72 hours.
    """
    with open_own(folder, file) as library:
        library.members.give_notice(circle_named(library, circle))
    _done(
        as_json, {"device": library.device.id}, "notice is given; sync, or carry a bundle, and call the circle's admins"
    )


@device_app.command()
def revoke(
    device: DeviceName,
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft your org's next manifest without a lost device.

    Or one that is stolen or given back: it never comes back.
    """
    with open_own(folder, file) as library:
        id = device_named(library, device)
        draft = library.drafts.manifest(library.view.network.devices[id].org, revoke=[id])
        pass_on(library, draft, out, as_json)


def _done(as_json: bool, value: dict[str, object], line: str) -> None:
    if as_json:
        tell_json(value)
    else:
        tell(line)
