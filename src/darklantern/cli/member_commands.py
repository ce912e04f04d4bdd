"""`darklantern member …`: people of one's org and their devices, and how they come in."""

from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.draft_commands import described, pass_on
from darklantern.cli.handing_out import DraftOut, NewOut, check_apart, check_draft, check_new, hand_out, hand_out_new
from darklantern.cli.library_option import LibraryFolder, open_own, value_of, values_of
from darklantern.cli.naming import own_org, person_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RefusedError

member_app = typer.Typer(
    help="The people of orgs and their devices, and inviting them.", no_args_is_help=True, rich_markup_mode=None
)


@member_app.command()
def invite(
    out: NewOut = Path("invitation.json"),
    code_out: Annotated[
        Path | None, typer.Option(help="File for the code; without it, it is shown, once. Remove it after use.")
    ] = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Invite one person or device.

    It takes a file to send, and a code to tell by another channel. The code is good for one request, right or wrong.
    """
    from darklantern.records.exact import encode

    check_new(out, *([code_out] if code_out else ()))
    if as_json and code_out is None:
        raise RefusedError("--json prints no secret", hint="name a file for the code with --code-out")
    with open_own(folder, file) as library:
        code, invitation = library.identity.invite()
    hand_out_new(out, encode(invitation))
    if code_out is not None:
        hand_out_new(code_out, code.spoken().encode() + b"\n")
    if as_json:
        tell_json({"invitation": str(out), "id": invitation.id, "until": invitation.until})
        return
    tell(f"{out}: send it, by any channel. It is good until {invitation.until}, for one answer")
    if code_out is None:
        tell("the code: tell it by another channel, to nobody else. It is not shown again:")
        tell(code.spoken(), copied=True)


@member_app.command()
def accept(
    request: Annotated[Path, typer.Argument(help="The request that came back.")],
    out: DraftOut = Path("draft.json"),
    welcome: Annotated[Path, typer.Option(help="A new file for the welcome that you send back.")] = Path(
        "welcome.json"
    ),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Take the request that answers your invitation.

    It drafts the manifest of the person's org, and welcomes them. A request that was not made with the code burns the
    invitation.
    """
    from darklantern.network.invitations import Request, comparison
    from darklantern.records.exact import encode

    found = value_of(Request, request)
    with open_own(folder, file) as library:
        invitation = library.identity.invitation(found)
        shown, holder = comparison(invitation, found.card), found.card.holder
        draft = library.drafts.manifest(holder.org, add=[found.card])
        # The invitation is used up by accepting: whatever may stand in the way is found before.
        check_draft(out, library, draft)
        check_new(welcome)
        check_apart(out, welcome)
        came = library.identity.accept(found)
        hand_out_new(welcome, encode(came))
        if as_json:
            hand_out(out, library.drafts.to_bytes(draft))
            told = described(library, draft)
            tell_json({"comparison": shown, "welcome": str(welcome), "draft": str(out), **told})
            return
        tell(f"{holder.name} ({holder.person} of {holder.org}) answers. Both of you are shown the same fingerprint:")
        tell(shown, copied=True)
        tell(f"{welcome}: send it back")
        pass_on(library, draft, out, as_json)


@member_app.command()
def add(
    cards: Annotated[list[Path], typer.Argument(metavar="CARD", help="Cards, compared with their holders.")],
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft your org's next manifest with more people.

    Or with further devices of people who are in it: those of these cards.
    """
    from darklantern.network.cards import Card

    with open_own(folder, file) as library:
        compared = values_of(Card, cards)
        draft = library.drafts.manifest(own_org(library), add=compared)
        pass_on(library, draft, out, as_json, compared)


@member_app.command()
def remove(
    person: Annotated[str, typer.Argument(help="ORG/PERSON to leave out.")],
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft your org's next manifest without a person.

    In no circle anything of theirs counts any more.
    """
    with open_own(folder, file) as library:
        org, id = person_named(library, person)
        pass_on(library, library.drafts.manifest(org, remove=[id]), out, as_json)


@member_app.command()
def settle(
    out: DraftOut = Path("draft.json"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft the manifest that settles a fork of your org's.

    Of two that claim to be the newest, the first counts.
    """
    with open_own(folder, file) as library:
        pass_on(library, library.drafts.manifest(own_org(library), settle=True), out, as_json)


@member_app.command("list")
def list_people(folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """List all orgs' people and their devices."""
    with open_own(folder, file) as library:
        state = library.view.network
        people = [
            (org, person)
            for org in state.manifests
            if (manifest := state.manifest(org)) is not None
            for person in manifest.people
        ]
    if as_json:
        tell_json(
            [
                {
                    "org": org,
                    "person": person.id,
                    "name": person.name,
                    "devices": [{"id": each.id, "fingerprint": each.fingerprint} for each in person.devices],
                }
                for org, person in people
            ]
        )
        return
    for org, person in people:
        tell(f"{org}/{person.id}  {person.name}")
        for device in person.devices:
            tell(f"    {device.fingerprint}", copied=True)
    if not people:
        tell("nobody yet: `darklantern member add` drafts an org's manifest")
