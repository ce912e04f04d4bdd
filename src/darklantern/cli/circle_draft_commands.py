"""`darklantern circle found`, `change`, `add` and `restore`: what a quorum of a circle's admins signs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from darklantern.cli.circle_commands import CircleName, circle_app
from darklantern.cli.circle_options import (
    Admins,
    Compared,
    Freshness,
    History,
    Orgs,
    People,
    Pledges,
    Quorum,
    Retention,
    Rotation,
    Witnesses,
)
from darklantern.cli.circle_rules import admins_of, changes, named_people, orgs_of, pledges_of, quorum_of, spans
from darklantern.cli.draft_commands import pass_on
from darklantern.cli.handing_out import DraftOut
from darklantern.cli.library_option import LibraryFolder, keeper_of, open_own, seconds_of
from darklantern.cli.naming import circle_named, person_named
from darklantern.cli.options import Json, PassphraseFile
from darklantern.errors import RefusedError

__all__ = ["circle_app"]  # with all its commands on it


@circle_app.command()
def found(
    name: Annotated[str, typer.Argument(help="What its members call it; nobody else learns it.")],
    level: Annotated[Literal["V1", "V2", "V3", "V4"], typer.Option(help="Its level, for good.")],
    orgs: Orgs = None,
    people: People = None,
    compared: Compared = None,
    pledges: Pledges = None,
    admins: Admins = None,
    quorum: Quorum = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="use:safety-only, no-index or airgap-only.")
    ] = None,
    history: History = None,
    freshness: Freshness = None,
    witnesses: Witnesses = None,
    rotation: Rotation = None,
    retention: Retention = None,
    keeper: Annotated[
        Path | None,
        typer.Option(help="Card of the library, or relay, that keeps its log; by default the network's keeper."),
    ] = None,
    out: DraftOut = Path("circle.draft"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft a new circle, for its admins to sign.

    The draft is sealed to them. V3 and V4 take people one by one, devices that somebody has vouched for, epochs of
    30 days and a retention of 90.
    """
    from darklantern.network import Circle, new_terms
    from darklantern.network.changing import majority

    closed = level in ("V3", "V4")
    with open_own(folder, file) as library:
        roster = library.view.network.roster
        log = keeper_of(keeper) or (roster.log if roster else None)
        if log is None:
            raise RefusedError("no roster is here yet", hint="`darklantern sync`, or take in a bundle")
        who, terms = admins_of(library, (), admins), new_terms(name, level, tags or ())
        circle = Circle(
            orgs=orgs_of(library, (), orgs),
            people=named_people(library, (), people, compared),
            pledges=pledges_of(library, (), pledges),
            admins=who,
            quorum=quorum or majority(len(who)),
            history=history or ("none" if closed else "all"),
            freshness=seconds_of(freshness or "7d"),
            witnesses=witnesses or 0,
            rotation=seconds_of(rotation or "30d") if rotation or closed else None,
            retention=seconds_of(retention or "90d") if retention or closed else None,
            countersigned=closed,
            log=log,
            terms=terms.commitment,
        )
        pass_on(library, library.drafts.found_circle(circle, terms), out, as_json)


@circle_app.command()
def change(
    circle: CircleName,
    orgs: Orgs = None,
    people: People = None,
    compared: Compared = None,
    without_orgs: Annotated[
        list[str] | None, typer.Option("--without-org", metavar="ORG", help="Org that the circle takes in no longer.")
    ] = None,
    without_people: Annotated[
        list[str] | None,
        typer.Option("--without-person", metavar="ORG/PERSON", help="ORG/PERSON whom it names no longer."),
    ] = None,
    pledges: Pledges = None,
    without_pledges: Annotated[
        list[str] | None, typer.Option("--without-pledge", metavar="NAME", help="Pledge that it asks for no longer.")
    ] = None,
    admins: Admins = None,
    without_admins: Annotated[
        list[str] | None,
        typer.Option("--without-admin", metavar="ORG/PERSON", help="ORG/PERSON who is an admin no longer."),
    ] = None,
    quorum: Quorum = None,
    history: History = None,
    freshness: Freshness = None,
    witnesses: Witnesses = None,
    rotation: Rotation = None,
    retention: Retention = None,
    keeper: Annotated[
        Path | None,
        typer.Option(help="Card of whom its log moves to: library or relay; first announced, then moved."),
    ] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="Set aside the second of two versions that claim to be the newest.")
    ] = False,
    out: DraftOut = Path("circle.draft"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft a circle's next version, for a quorum to sign.

    What is given is added or set, the rest stays.
    """
    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        old = library.view.rules(id)
        now_admins = admins_of(library, old.admins, admins, without_admins)
        now: dict[str, object] = {
            "orgs": orgs_of(library, old.orgs, orgs, without_orgs),
            "people": named_people(library, old.people, people, compared, without_people),
            "pledges": pledges_of(library, old.pledges, pledges, without_pledges),
            "admins": now_admins,
            "quorum": quorum_of(old, now_admins, quorum),
            "history": history or old.history,
            "witnesses": old.witnesses if witnesses is None else witnesses,
            **spans({"freshness": freshness, "rotation": rotation, "retention": retention}),
        }
        fresh = changes(old, now)
        if not fresh and not keeper and not settle:
            raise RefusedError(
                "expected something to change, got nothing", hint="see `darklantern circle change --help`"
            )
        pass_on(library, library.drafts.circle(id, keeper=keeper_of(keeper), settle=settle, **fresh), out, as_json)


@circle_app.command()
def add(
    circle: CircleName,
    people: Annotated[list[str], typer.Argument(metavar="ORG/PERSON", help="ORG/PERSON to take in; one or more.")],
    compared: Compared = None,
    out: DraftOut = Path("circle.draft"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft the version that takes people in.

    A quorum of admins signs it. Whom an admin removed comes back by `darklantern circle restore`.
    """
    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        old, removed = library.view.rules(id), library.view.network.removed_from(id)
        for each in people:
            org, person = person_named(library, each)
            if any((gone.org, gone.person) == (org, person) for gone in removed):
                raise RefusedError(
                    f"an admin removed {person} of {org}", hint="a quorum undoes that: `darklantern circle restore`"
                )
            if org in old.orgs:
                raise RefusedError(
                    f"the circle takes in all of {org}, {person} among them",
                    hint="`darklantern circle show` says why somebody of it is no member",
                )
        fresh = changes(old, {"people": named_people(library, old.people, people, compared)})
        if not fresh:
            raise RefusedError(
                "the circle names them already", hint="`darklantern circle show` says why somebody is no member"
            )
        pass_on(library, library.drafts.circle(id, **fresh), out, as_json)


@circle_app.command()
def restore(
    circle: CircleName,
    removal: Annotated[str, typer.Argument(help="ORG/PERSON who was removed, or the beginning of the removal's id.")],
    out: DraftOut = Path("circle.draft"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft the version that undoes a removal.

    A quorum of admins signs it.
    """
    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        state, rules = library.view.network, library.view.rules(id)
        standing = state.removals_in(id)
        ids = [key for key in standing if removal and key.startswith(removal)]
        known = [key for key, each in standing.items() if f"{each.org}/{each.person}" == removal] or ids
        if not known or len(ids) > 1:
            raise RefusedError(
                f"expected ORG/PERSON, or the beginning of one removal's id, got {removal!r}, which names {len(known)}",
                hint="`darklantern circle show` lists them",
            )
        restored = tuple(sorted({*rules.restored, *known}))
        pass_on(library, library.drafts.circle(id, restored=restored), out, as_json)
