"""Two organisations and a third that only witnesses: keys, roster, manifests, pledges, a circle.

On one machine everybody's keys are made in one process; otherwise each step is what real
organisations do, with envelopes passed from hand to hand.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from darklantern.assess import level_follows
from darklantern.files import write_whole
from darklantern.library import Library, create
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
from darklantern.sealing import Device, Envelope, LogKey, SigningKey, envelope_id

PLEDGE = "I will not use findings of this circle to push the capabilities frontier."
CIRCLE = "evals"
YEAR = 365 * 24 * 3600
WEEK = 7 * 24 * 3600


@dataclass
class Founded:
    """Both libraries, open, and the circle that their people share."""

    aurora: Library
    beacon: Library
    passphrases: dict[str, str]

    def close(self) -> None:
        """Let go of both folders."""
        self.aurora.close()
        self.beacon.close()


def found(folder: Path, devices: int = 1) -> Founded:
    """Found a network of three orgs and make the libraries of Ada at Aurora and Bo at Beacon in `folder`.

    Aurora's library keeps the logs. Passphrases are drawn, and written beside the libraries for this
    demonstration alone. Each of the two has so many `devices`; what is sealed is sealed to all of them.
    """
    now = int(time.time())
    roots = {org: SigningKey.generate() for org in ("Aurora", "Beacon", "Cairn")}
    org_roots = {org: SigningKey.generate() for org in roots}
    ada, bo, log = Device.generate(), Device.generate(), LogKey.generate()
    roster = Roster(
        name="demonstration",
        version=1,
        previous=None,
        until=_text(now + YEAR),
        threshold=2,
        roots=tuple(NetworkRoot(org=org, key=key.public) for org, key in roots.items()),
        orgs=tuple(
            Org(
                name=org,
                roots=(OrgRoot(person=f"{org}'s director", key=key.public),),
                threshold=1,
                admitted=_text(now),
                reason="founded the network",
            )
            for org, key in org_roots.items()
        ),
        log=log.public,
    )
    genesis = cosign(draft_roster(roster, now), [roots["Aurora"], roots["Cairn"]])
    net = envelope_id(genesis)

    passphrases = {name: secrets.token_urlsafe(18) for name in ("aurora", "beacon")}
    (folder / "passphrases").mkdir(mode=0o700, parents=True)
    for name, passphrase in passphrases.items():
        write_whole(folder / "passphrases" / name, passphrase.encode())
    aurora = create(folder / "aurora", passphrases["aurora"], net=net, device=ada, log_key=log, follows=level_follows)
    beacon = create(folder / "beacon", passphrases["beacon"], net=net, device=bo, follows=level_follows)
    aurora.add(genesis)
    people = {"Aurora": ("ada", "Ada Lind", ada), "Beacon": ("bo", "Bo Tanaka", bo)}
    for org, (person, name, device) in people.items():
        theirs = (device, *(Device.generate() for _ in range(1, devices)))
        listed = Person(id=person, name=name, devices=tuple(each.public for each in theirs))
        aurora.add(_manifest(net, org, listed, org_roots[org], now))

    # Each signs the pledge on their own machine; Beacon's travels to the keeper of the log in a bundle.
    pledge = PledgeText(name="no-frontier", version=1, text=hashlib.sha256(PLEDGE.encode()).hexdigest())
    aurora.pledge(pledge, _text(now + YEAR))
    carry(aurora, beacon, folder / "founding.bundle")
    beacon.pledge(pledge, _text(now + YEAR))
    carry(beacon, aurora, folder / "founding.bundle")

    terms = new_terms(CIRCLE, "V2", ("use:safety-only",))
    circle = Circle(
        orgs=("Aurora", "Beacon"),
        pledges=(pledge,),
        admins=(Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo")),
        quorum=2,
        history="all",
        freshness=WEEK,
        log=log.public,
        terms=terms.commitment,
    )
    circle_id = aurora.add(cosign(draft_circle(net, circle, now), [ada.signing, bo.signing]))
    aurora.add_terms(circle_id, terms)
    return Founded(aurora, beacon, passphrases)


def carry(giver: Library, taker: Library, bundle: Path) -> None:
    """A bundle from one library to the other, as the file `bundle`."""
    giver.export_bundle(bundle)
    taker.import_bundle(bundle)


def _manifest(net: str, org: str, person: Person, key: SigningKey, now: int) -> Envelope:
    body = OrgManifest(org=org, version=1, previous=None, people=(person,))
    return cosign(draft_manifest(net, body, now), [key])


def _text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
