"""`darklantern circle found`, `change` and `restore`: what a quorum of a circle's admins signs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from darklantern.cli.circle_commands import CircleName, circle_app
from darklantern.cli.draft_commands import pass_on
from darklantern.cli.library_option import (
    LibraryFolder,
    Out,
    circle_named,
    device_named,
    keeper_of,
    open_own,
    person_named,
    seconds_of,
)
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.pledge_commands import commitment_named
from darklantern.errors import RefusedError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network import Named

__all__ = ["circle_app"]  # with all its commands on it

Orgs = Annotated[list[str] | None, typer.Option("--org", help="Org all of whose people may be members.")]
People = Annotated[list[str] | None, typer.Option("--person", help="ORG/PERSON who may be a member.")]
Compared = Annotated[
    list[str] | None,
    typer.Option(
        "--device", help="Device of such a person that the admins have compared: at V3 and V4 the first must be."
    ),
]
Pledges = Annotated[list[str] | None, typer.Option("--pledge", help="Pledge that each member must have signed.")]
Admins = Annotated[list[str] | None, typer.Option("--admin", help="ORG/PERSON who signs for the circle; two at least.")]
Quorum = Annotated[int | None, typer.Option(min=1, help="How many admins sign each version; by default a majority.")]
History = Annotated[
    Literal["all", "since-join", "none"] | None, typer.Option(help="What a newcomer may read of the past.")
]
Freshness = Annotated[str | None, typer.Option(help="After how long a view is stale and sealing stops: 7d, 12h.")]
Witnesses = Annotated[
    int | None, typer.Option(min=0, help="How many other orgs' relays must have cosigned what it rests on.")
]
Rotation = Annotated[str | None, typer.Option(help="After how long an epoch is too old to seal to; at V3, V4 30d.")]
Retention = Annotated[str | None, typer.Option(help="How long after an epoch's end its seeds are destroyed.")]


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
    tags: Annotated[list[str] | None, typer.Option("--tag", help="use:safety-only, no-index or airgap-only.")] = None,
    history: History = None,
    freshness: Freshness = None,
    witnesses: Witnesses = None,
    rotation: Rotation = None,
    retention: Retention = None,
    keeper: Annotated[
        Path | None,
        typer.Option(help="Card of the library, or relay, that keeps its log; by default the network's keeper."),
    ] = None,
    out: Out = Path("circle.draft"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft a new circle, for its admins to sign.

    The draft is sealed to them. V3 and V4 take people one by one, devices that somebody has vouched for, epochs of
    30 days and a retention of 90.
    """
    from darklantern.network import Admin, Circle, new_terms
    from darklantern.network.changing import majority

    closed = level in ("V3", "V4")
    with open_own(folder, file) as library:
        roster = library.view.network.roster
        log = keeper_of(keeper) or (roster.log if roster else None)
        if log is None:
            raise RefusedError("no roster is here yet", hint="take in a bundle: `darklantern bundle import`")
        who = [Admin(org=org, person=person) for org, person in (person_named(library, each) for each in admins or ())]
        terms = new_terms(name, level, tags or ())
        circle = Circle(
            orgs=tuple(orgs or ()),
            people=_named(library, (), people, compared),
            pledges=tuple(commitment_named(library, each).terms for each in pledges or ()),
            admins=tuple(who),
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
        list[str] | None, typer.Option("--without-org", help="Org that the circle takes in no longer.")
    ] = None,
    without_people: Annotated[
        list[str] | None, typer.Option("--without-person", help="ORG/PERSON whom it names no longer.")
    ] = None,
    pledges: Pledges = None,
    without_pledges: Annotated[
        list[str] | None, typer.Option("--without-pledge", help="Pledge that it asks for no longer.")
    ] = None,
    admins: Admins = None,
    without_admins: Annotated[
        list[str] | None, typer.Option("--without-admin", help="ORG/PERSON who is an admin no longer.")
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
    out: Out = Path("circle.draft"),
    folder: LibraryFolder = None,
    file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Draft a circle's next version, for a quorum to sign.

    What is given is added or set, the rest stays.
    """
    from darklantern.network import Admin
    from darklantern.network.changing import majority

    with open_own(folder, file) as library:
        id = circle_named(library, circle)
        old = library.view.rules(id)
        gone = {person_named(library, each) for each in without_admins or ()}
        who = (person_named(library, each) for each in admins or ())
        fresh = [Admin(org=org, person=person) for org, person in who]
        kept = tuple(each for each in old.admins if (each.org, each.person) not in gone)
        now_admins = tuple(dict.fromkeys((*kept, *fresh)))
        left = {person_named(library, each) for each in without_people or ()}
        named = _named(library, old.people, people, compared)
        asked = [commitment_named(library, each).terms for each in pledges or ()]
        dropped = {each.name for each in asked} | set(without_pledges or ())
        now: dict[str, object] = {
            "orgs": tuple(org for org in dict.fromkeys((*old.orgs, *(orgs or ()))) if org not in (without_orgs or ())),
            "people": tuple(each for each in named if (each.org, each.person) not in left),
            "pledges": (*(each for each in old.pledges if each.name not in dropped), *asked),
            "admins": now_admins,
            "quorum": quorum or (old.quorum if set(now_admins) == set(old.admins) else majority(len(now_admins))),
            "history": history or old.history,
            "freshness": seconds_of(freshness) if freshness else old.freshness,
            "witnesses": old.witnesses if witnesses is None else witnesses,
            "rotation": seconds_of(rotation) if rotation else old.rotation,
            "retention": seconds_of(retention) if retention else old.retention,
        }
        changed: dict[str, Any] = {name: value for name, value in now.items() if value != getattr(old, name)}
        if not changed and not keeper and not settle:
            raise RefusedError("expected something to change, got nothing", hint="`darklantern circle change --help`")
        pass_on(library, library.drafts.circle(id, keeper=keeper_of(keeper), settle=settle, **changed), out, as_json)


@circle_app.command()
def restore(
    circle: CircleName,
    removal: Annotated[str, typer.Argument(help="Beginning of the removal's id; `circle show` lists them.")],
    out: Out = Path("circle.draft"),
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
        known = [
            key for key, each in state.removals.items() if each.circle == id and removal and key.startswith(removal)
        ]
        if len(known) != 1:
            raise RefusedError(
                f"expected the beginning of one removal's id, got {removal!r}, with which {len(known)} begin",
                hint="`darklantern circle show` lists them",
            )
        restored = tuple(sorted({*rules.restored, *known}))
        pass_on(library, library.drafts.circle(id, restored=restored), out, as_json)


def _named(
    library: "Library", old: "tuple[Named, ...]", people: list[str] | None, compared: list[str] | None
) -> "tuple[Named, ...]":
    """The people whom the circle names, with some more, and with more of their devices compared."""
    from darklantern.network import Named

    named = {(each.org, each.person): set(each.devices) for each in old}
    for each in people or ():
        named.setdefault(person_named(library, each), set())
    for each in compared or ():
        id = device_named(library, each)
        owner = library.view.network.devices[id].owner
        if owner not in named:
            raise RefusedError(
                f"device {id[:8]}… is of nobody whom the circle names", hint="name its owner, with --person"
            )
        named[owner].add(id)
    return tuple(Named(org=org, person=who, devices=tuple(sorted(ids))) for (org, who), ids in named.items())
