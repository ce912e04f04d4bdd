"""`darklantern circle …`: who reads together, at which level, under which pledges."""

from typing import Annotated

import typer

from darklantern.cli.library_option import LibraryFolder, Yes, confirm, open_own, say
from darklantern.cli.naming import circle_named, device_named, person_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.records.exact import plain

circle_app = typer.Typer(
    help="Circles: who reads together, and under which pledges.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
CircleName = Annotated[str, typer.Argument(help="The circle's name, or the beginning of its id.")]


@circle_app.command("list")
def list_circles(folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """List the circles; of others' only the id is known."""
    with open_own(folder, file) as library:
        terms = library.circles()
        circles = [(id, terms.get(id)) for id in library.view.circles]
    if as_json:
        tell_json(
            [
                {"id": id, "name": each.name if each else None, "level": each.level if each else None}
                for id, each in circles
            ]
        )
        return
    for id, each in circles:
        tell(f"{id[:16]}  {f'{each.level}  {each.name}' if each else '(not yours)'}")
    if not circles:
        tell("no circles yet: `darklantern circle found` drafts one")


@circle_app.command()
def show(circle: CircleName, folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False) -> None:
    """Show a circle's rules, and who is in it now.

    For everyone else it says why they are not.
    """
    from darklantern.network.wording import words

    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        state, rules, found = library.view.network, library.view.rules(id), library.members.effective(id)
        epoch = library.view.circle(id).epoch
        removals = state.removals_in(id)
        lines = words(rules, None, library.circles().get(id))
    if as_json:
        tell_json(
            {
                "id": id,
                "circle": plain(rules),
                "epoch": epoch.body.number if epoch else None,
                "members": [{"org": m.org, "person": m.person, "device": m.id} for m in found.members],
                "excluded": [str(each) for each in found.excluded],
                "removals": {key: plain(each) for key, each in removals.items()},
            }
        )
        return
    tell(f"circle {id}, version {rules.version}, {f'epoch {epoch.body.number}' if epoch else 'no epoch yet'}")
    for line in lines[1:]:
        tell(line)
    for member in found.members:
        tell(f"member: {member.person} of {member.org}, device {member.device.fingerprint}")
    for excluded in found.excluded:
        tell(f"not a member: {excluded}")
    for key, removal in removals.items():
        tell(f"removal {key[:16]}: {removal.person} of {removal.org}: {removal.reason}")


@circle_app.command()
def remove(
    circle: CircleName,
    person: Annotated[str, typer.Argument(help="ORG/PERSON to remove.")],
    reason: Annotated[str, typer.Option(help="Why: a sentence or two. All members read it.")],
    device: Annotated[str | None, typer.Option(help="Only this device of theirs.")] = None,
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove a person, or one of their devices, from a circle.

    One admin is enough; only a quorum brings back. They keep what they have read, and what was sealed to an epoch
    whose key they hold.
    """
    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        org, name = person_named(library, person)
        which = device_named(library, device) if device else None
        say(f"{name} of {org} keeps what they have read, and can open what was sealed to them before now")
        confirm(f"Remove {'that device of ' if which else ''}{name} of {org}? Only a quorum of admins undoes it.", yes)
        before = set(library.pending)
        library.members.remove(id, org, name, reason, device=which)
        waits = not before.issuperset(library.pending)
    if as_json:
        tell_json({"circle": id, "org": org, "person": name, "device": which, "waits": waits})
    elif waits:
        tell("the removal waits for the keeper of the network's log, and binds nobody before it is there")
        tell("sync before you seal anything or rotate: until then it is sealed to them, too")
    else:
        tell("removed; sync, or carry a bundle. `darklantern circle rotate` makes the epoch without them")


@circle_app.command()
def rotate(
    circle: CircleName, folder: LibraryFolder = None, file: PassphraseFile = None, as_json: Json = False
) -> None:
    """Make a new epoch, for exactly the members of now.

    Sealing does it by itself where it must.
    """
    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        library.members.rotate(id)
        members = library.members.effective(id).members
    if as_json:
        tell_json({"circle": id, "members": len(members)})
    else:
        tell(f"a new epoch, for {counted(len(members), 'device')}; sync, or carry a bundle, so that the others get it")
