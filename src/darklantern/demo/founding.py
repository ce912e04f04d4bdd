"""Two organisations, and a third that runs the relay: keys, roster, manifests, pledges, a circle.

On one machine everybody's keys are made in one process; otherwise each step is what real
organisations do, with envelopes passed from hand to hand.
"""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from darklantern.assess import level_follows
from darklantern.demo.relaying import Relaying
from darklantern.files import write_whole
from darklantern.library import Library, create
from darklantern.network import (
    Admin,
    Circle,
    Commitment,
    NetworkRoot,
    Org,
    OrgManifest,
    OrgRoot,
    Person,
    Roster,
    cosign,
    draft_circle,
    draft_manifest,
    draft_roster,
    new_terms,
)
from darklantern.network.rosters import Relay
from darklantern.sealing import Device, Envelope, SigningKey, envelope_id

PLEDGE = "I will not use findings of this circle to push the capabilities frontier."
CIRCLE = "evals"
YEAR = 365 * 24 * 3600
WEEK = 7 * 24 * 3600


@dataclass
class Founded:
    """Both libraries, open, the circle that their people share, and the relay that serves them."""

    aurora: Library
    beacon: Library
    relay: Relaying

    def close(self) -> None:
        """Let go of both folders, and end the relay."""
        self.aurora.close()
        self.beacon.close()
        self.relay.stop()


def found(folder: Path) -> Founded:
    """Found a network of three orgs in `folder`: libraries of Ada at Aurora and of Bo at Beacon, and a relay of Cairn.

    The relay keeps the logs, in a process of its own. Passphrases are drawn, and written beside the libraries for this
    demonstration alone.
    """
    now = int(time.time())
    roots = {org: SigningKey.generate() for org in ("Aurora", "Beacon", "Cairn")}
    org_roots = {org: SigningKey.generate() for org in roots}
    ada, bo = Device.generate(), Device.generate()

    # 1. The relay's keys come first: the roster names them.
    relay = Relaying.made(folder / "relay")
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
        log=relay.card.public.log,
        relays=(Relay(name="Cairn's relay", org="Cairn", card=relay.card),),
    )
    genesis = cosign(draft_roster(roster, now), [roots["Aurora"], roots["Cairn"]])
    net = envelope_id(genesis)

    # 2. The log begins with who there is: before that nobody could log in.
    people = {"Aurora": ("ada", "Ada Lind", ada), "Beacon": ("bo", "Bo Tanaka", bo)}
    manifests = [
        _manifest(net, org, Person(id=person, name=name, devices=(device.public,)), org_roots[org], now)
        for org, (person, name, device) in people.items()
    ]
    relay.begin(genesis, *manifests)

    # 3. Each makes a library, compares the network's id, and syncs.
    (folder / "passphrases").mkdir(mode=0o700, parents=True)
    libraries = []
    for name, device in (("aurora", ada), ("beacon", bo)):
        passphrase = secrets.token_urlsafe(18)
        write_whole(folder / "passphrases" / name, passphrase.encode())
        library = create(folder / name, passphrase, net=net, device=device, follows=level_follows)
        library.relays.add(relay.card)
        library.relays.sync()
        libraries.append(library)
    aurora, beacon = libraries

    # 4. A pledge, word for word, that both sign; and a circle that asks for it.
    words = Commitment(name="no-frontier", version=1, basis="honour", text=PLEDGE)
    aurora.members.propose(words)
    for library in libraries:
        library.members.pledge(words.terms, _text(now + YEAR))
        library.relays.sync()
    terms = new_terms(CIRCLE, "V2", ("use:safety-only",))
    circle = Circle(
        orgs=("Aurora", "Beacon"),
        pledges=(words.terms,),
        admins=(Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo")),
        quorum=2,
        history="all",
        freshness=WEEK,
        log=relay.card.public.log,
        terms=terms.commitment,
    )
    circle_id = aurora.add(cosign(draft_circle(net, circle, now), [ada.signing, bo.signing]))
    for library in libraries:
        library.relays.sync()
    aurora.drafts.add_terms(circle_id, terms)
    return Founded(aurora, beacon, relay)


def carry(giver: Library, taker: Library, bundle: Path) -> None:
    """A bundle from one library to the other, as the file `bundle`."""
    giver.bundles.export_to(bundle)
    taker.bundles.import_from(bundle)


def _manifest(net: str, org: str, person: Person, key: SigningKey, now: int) -> Envelope:
    body = OrgManifest(org=org, version=1, previous=None, people=(person,))
    return cosign(draft_manifest(net, body, now), [key])


def _text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
