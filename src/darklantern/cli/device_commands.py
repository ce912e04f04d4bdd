"""`darklantern device …`: this machine's keys, and the other devices of the same person."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.handing_out import check_card, check_new, hand_out, hand_out_new
from darklantern.cli.library_option import LibraryFolder, either, library_folder, open_own
from darklantern.cli.options import Json, PassphraseFile, new_passphrase, secret_line
from darklantern.cli.output import tell, tell_json

device_app = typer.Typer(
    help="This device's keys, its card, and your other devices.", no_args_is_help=True, rich_markup_mode=None
)
Keystore = Annotated[
    bool,
    typer.Option("--keystore", help="Keep a random passphrase in the operating system's keystore, and ask for none."),
]


@device_app.command()
def new(
    org: Annotated[str, typer.Option(help="Your organisation, spelled as your colleagues spell it.")],
    person: Annotated[str, typer.Option(help="Your id within it: short, and the same for life, on all devices.")],
    name: Annotated[str, typer.Option(help="What others see.")],
    keeper: Annotated[
        bool, typer.Option("--keeper", help="Make the key of logs, too: this library can keep the network's.")
    ] = False,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    keystore: Keystore = False,
    as_json: Json = False,
) -> None:
    """Make this device's keys, in a new encrypted library.

    It belongs to no network yet.
    """
    from darklantern.assess import level_follows
    from darklantern.cli.hardening import keep_secrets_in_memory
    from darklantern.library import create
    from darklantern.network.cards import Holder, check_holder
    from darklantern.sealing import Device, LogKey
    from darklantern.stores.keystore import keep_passphrase

    keep_secrets_in_memory()
    where = library_folder(folder)
    holder = Holder(org=org, person=person, name=name)
    check_holder(holder)  # before a passphrase is asked for
    with keep_passphrase() if keystore else new_passphrase(file) as secret:
        made = create(
            where,
            secret.passphrase,
            device=Device.generate(),
            holder=holder,
            log_key=LogKey.generate() if keeper else None,
            follows=level_follows,
            keystore=secret.id,
        )
        fingerprint = made.device.fingerprint
        made.close()
    if as_json:
        tell_json({"library": str(where), "fingerprint": fingerprint})
        return
    tell(f"{where}: a library for {name} ({person} of {org}), with the device {fingerprint}")
    tell("there is no way in without its passphrase, and no other copy of its keys")
    tell("next: `darklantern device join` with an invitation, or `darklantern device card` for who founds a network")


@device_app.command()
def show(folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """Show whose device this is, its keys and its network.

    With `--json` also its recipient, to which anybody with a stock age from 1.3 on can seal files.
    """
    with open_own(folder, file) as library:
        holder = library.identity.holder
        told = {
            "holder": f"{holder.name} ({holder.person} of {holder.org})",
            "device": library.device.id,
            "fingerprint": library.device.fingerprint,
            "recipient": library.device.recipient,
            "roots": {role: key.fingerprint for role, key in library.identity.roots.items()},
            "log": library.identity.card.log.fingerprint if library.identity.card.log else None,
            "net": library.net if library.identity.is_joined else None,
            "active": library.identity.is_joined and library.view.network.is_active(library.device.id),
        }
    if as_json:
        tell_json(told)
        return
    tell(f"{told['holder']}: device {told['fingerprint']}")
    tell(f"id {told['device']}")
    for role, shown in library.identity.roots.items():
        tell(f"root of the {role}: {shown.fingerprint}")
    if told["log"]:
        tell(f"key of logs: {told['log']}")
    tell(f"network {told['net']}" if told["net"] else "no network yet")
    if told["net"]:
        tell("its org's manifest lists it" if told["active"] else "no manifest that is here lists it yet")


@device_app.command()
def card(
    out: Annotated[Path, typer.Option(help="Where it goes; in place of an older card of this device alone.")],
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write this device's card: public keys, and who you are.

    Others need it to know the device.
    """
    from darklantern.records.exact import encode

    with open_own(folder, file) as library:
        made = library.identity.card
        check_card(out, library.device.id)
    hand_out(out, encode(made))
    if as_json:
        tell_json({"card": str(out), "fingerprint": made.fingerprint})
    else:
        tell(f"{out}: the card of {made.holder.name}. Whoever gets it compares this with you, aloud:")
        tell(made.fingerprint, copied=True)


@device_app.command()
def join(
    came: Annotated[Path, typer.Argument(help="The invitation, or the welcome, that you were given.")],
    out: Annotated[Path, typer.Option(help="A new file for the request that you send back.")] = Path("request.json"),
    code_file: Annotated[
        Path | None, typer.Option(help="File that holds the invitation's code; without it you are asked.")
    ] = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Answer an invitation; then join by the welcome to it.

    The answer is a request that you send back; a welcome comes for it.
    """
    from darklantern.network.invitations import Invitation, Welcome, comparison, parse_code
    from darklantern.records.exact import encode

    found = either(came, Invitation, Welcome)
    if isinstance(found, Invitation):
        check_new(out)
    with open_own(folder, file) as library:
        if isinstance(found, Welcome):
            net = library.identity.welcomed(found)
            if as_json:
                tell_json({"net": net})
            else:
                tell("joined. Next: `darklantern sync --relay CARD`, or `darklantern bundle import`. The network is")
                tell(net, copied=True)
            return
        code = parse_code(secret_line("code of the invitation: ", code_file, "--code-file"))
        request = library.identity.answer(code, found)
    hand_out_new(out, encode(request))
    shown = comparison(found, request.card)
    if as_json:
        tell_json({"request": str(out), "comparison": shown, "network": found.network, "net": found.net})
        return
    who = found.inviter.holder
    tell(f"{who.name} ({who.person} of {who.org}) invites you into the network {found.network!r}")
    tell(f"{out}: send it back. Both of you are shown the same fingerprint, or somebody stands between you:")
    tell(shown, copied=True)


@device_app.command()
def passphrase(
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    new_file: Annotated[
        Path | None,
        typer.Option("--new-passphrase-file", help="File that holds the new one; without it you are asked."),
    ] = None,
    keystore: Keystore = False,
    as_json: Json = False,
) -> None:
    """Change the library's passphrase.

    Or move it to the operating system's keystore. The whole database is encrypted anew. The old passphrase opens older
    copies of the folder still.
    """
    from darklantern.stores.keystore import forget_passphrase, keep_passphrase
    from darklantern.stores.vault import read_headers

    with open_own(folder, file) as library, keep_passphrase() if keystore else new_passphrase(new_file) as secret:
        before = [header.keystore for header in read_headers(library_folder(folder))]
        library.care.change_passphrase(secret.passphrase, keystore=secret.id)
        for id in before:
            forget_passphrase(id)
    if as_json:
        tell_json({"keystore": keystore})
    else:
        tell("changed; backups of before still open with the old one")
