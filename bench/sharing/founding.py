"""A network of two orgs with a circle of both: what every line about libraries begins with."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from darklantern.demo.founding import CIRCLE, PLEDGE, WEEK, YEAR
from darklantern.library import Library
from darklantern.network import (
    Admin,
    Circle,
    NetworkRoot,
    Org,
    OrgManifest,
    OrgRoot,
    Person,
    PledgeText,
    Roster,
    cosign,
    draft_circle,
    draft_manifest,
    draft_roster,
    new_terms,
)
from darklantern.network.clock import text
from darklantern.sealing import Device, Envelope, LogVerifyKey, SigningKey, envelope_id
from darklantern.stores import Cost

CHEAP: Final = Cost(memory_kib=64, passes=1, lanes=1)
"""The passphrase guards nothing here."""
PASSPHRASE: Final = "bench"


def first_records(devices: Mapping[str, Sequence[Device]], log: LogVerifyKey, now: int) -> tuple[Envelope, ...]:
    """The first roster, and a manifest for each org: one person, with all of its devices."""
    roots = {org: SigningKey.generate() for org in (*devices, "Cairn")}
    directors = {org: SigningKey.generate() for org in roots}
    roster = Roster(
        name="bench",
        version=1,
        previous=None,
        until=text(now + YEAR),
        threshold=2,
        roots=tuple(NetworkRoot(org=org, key=root.public) for org, root in roots.items()),
        orgs=tuple(
            Org(
                name=org,
                roots=(OrgRoot(person="director", key=director.public),),
                threshold=1,
                admitted=text(now),
                reason="founded the network",
            )
            for org, director in directors.items()
        ),
        log=log,
    )
    genesis = cosign(draft_roster(roster, now), list(roots.values())[1:])
    found = [genesis]
    for org, own in devices.items():
        people = (Person(id=org.lower(), name=org, devices=tuple(device.public for device in own)),)
        body = OrgManifest(org=org, version=1, previous=None, people=people)
        found.append(cosign(draft_manifest(envelope_id(genesis), body, now), [directors[org]]))
    return tuple(found)


def found_circle(
    libraries: Sequence[Library], admins: Sequence[Device], log: LogVerifyKey, carry: Callable[[], None], now: int
) -> str:
    """The circle of both, pledged to. `carry` brings each library what the others wrote."""
    pledge = PledgeText(name="no-frontier", version=1, text=hashlib.sha256(PLEDGE.encode()).hexdigest())
    carry()
    for library in libraries:
        library.members.pledge(pledge, text(now + YEAR))
    carry()
    orgs = tuple(library.identity.holder.org for library in libraries)
    terms = new_terms(CIRCLE, "V2", ())
    circle = Circle(
        orgs=orgs,
        pledges=(pledge,),
        admins=tuple(Admin(org=org, person=org.lower()) for org in orgs),
        quorum=2,
        history="all",
        freshness=WEEK,
        log=log,
        terms=terms.commitment,
    )
    named = libraries[0].add(cosign(draft_circle(libraries[0].net, circle, now), [device.signing for device in admins]))
    carry()
    libraries[0].drafts.add_terms(named, terms)
    return named
