"""From words to a circle's rules: whom it names, what it asks for, how long things last.

In: a library, which knows people, devices and pledges, and what its user said. Out: fields of a circle's record, or
RefusedError for a name that nobody has.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from darklantern.cli.library_option import seconds_of
from darklantern.cli.naming import device_named, org_named, person_named
from darklantern.cli.near import meant, near
from darklantern.cli.pledge_commands import commitment_named
from darklantern.errors import RefusedError

if TYPE_CHECKING:
    from darklantern.library import Library
    from darklantern.network import Admin, Circle, Named
    from darklantern.network.pledges import PledgeText


def named_people(
    library: "Library",
    old: "Sequence[Named]",
    people: Iterable[str] | None,
    compared: Iterable[str] | None,
    without: Iterable[str] | None = None,
) -> "tuple[Named, ...]":
    """The people whom the circle names: some more, with more of their devices compared, and `without` some."""
    from darklantern.network import Named

    named = {(each.org, each.person): set(each.devices) for each in old}
    for each in people or ():
        named.setdefault(person_named(library, each), set())
    for each in compared or ():
        id = device_named(library, each)
        owner = library.view.network.devices[id].owner
        if owner not in named:
            from darklantern.sealing.fingerprints import brief

            raise RefusedError(
                f"device {brief(id)} is of nobody whom the circle names", hint="name its owner, with --person"
            )
        named[owner].add(id)
    left = {person_named(library, each) for each in without or ()}
    return tuple(
        Named(org=org, person=who, devices=tuple(sorted(ids)))
        for (org, who), ids in named.items()
        if (org, who) not in left
    )


def admins_of(
    library: "Library", old: "Sequence[Admin]", more: Iterable[str] | None, without: Iterable[str] | None = None
) -> "tuple[Admin, ...]":
    """The admins: more of them, and `without` some."""
    from darklantern.network import Admin

    gone = {person_named(library, each) for each in without or ()}
    fresh = (person_named(library, each) for each in more or ())
    kept = (each for each in old if (each.org, each.person) not in gone)
    return tuple(dict.fromkeys((*kept, *(Admin(org=org, person=person) for org, person in fresh))))


def pledges_of(
    library: "Library", old: "Sequence[PledgeText]", more: Iterable[str] | None, without: Iterable[str] | None = None
) -> "tuple[PledgeText, ...]":
    """The pledges that the circle asks for: the newest text of each that is named anew, and `without` some."""
    asked = [commitment_named(library, each).terms for each in more or ()]
    dropped = {each.name for each in asked} | set(without or ())
    return (*(each for each in old if each.name not in dropped), *asked)


def orgs_of(
    library: "Library", old: Sequence[str], more: Iterable[str] | None, without: Iterable[str] | None = None
) -> tuple[str, ...]:
    """The orgs all of whose people may be members: more of them, and `without` some."""
    gone = set(without or ())
    if unknown := sorted(gone - set(old)):
        raise RefusedError(
            f"the circle does not take in the org {unknown[0]!r}",
            hint=meant(near(unknown[0], old), "`darklantern circle show` lists those that it does"),
        )
    fresh = (org_named(library, each) for each in more or ())
    return tuple(org for org in dict.fromkeys((*old, *fresh)) if org not in gone)


def quorum_of(old: "Circle", admins: "Sequence[Admin]", said: int | None) -> int:
    """How many admins sign: as was said, or as before; a majority where there are others now."""
    from darklantern.network.changing import majority

    return said or (old.quorum if set(admins) == set(old.admins) else majority(len(admins)))


def spans(said: Mapping[str, str | None]) -> dict[str, Any]:
    """Field → seconds, of those lengths of time that were said."""
    return {field: seconds_of(span) for field, span in said.items() if span}


def changes(old: "Circle", now: Mapping[str, object]) -> dict[str, Any]:
    """Those fields of `now` that differ from the circle's newest version."""
    return {field: value for field, value in now.items() if value != getattr(old, field)}
