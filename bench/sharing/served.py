"""A network whose logs a relay keeps, and two libraries of it that know the relay: a process on loopback."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darklantern.assess import level_follows
from darklantern.demo.founding import CIRCLE, PLEDGE, WEEK, YEAR
from darklantern.errors import RelayError
from darklantern.library import Library, create
from darklantern.library.syncing.http import HttpRemote
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
from darklantern.records.exact import encode
from darklantern.relay.config import KEYS
from darklantern.relay.setting_up import begin, card, make_relay
from darklantern.sealing import Device, Envelope, RelayCard, RelayKey, SigningKey, envelope_id
from darklantern.stores import Cost

CHEAP: Final = Cost(memory_kib=64, passes=1, lanes=1)
"""The passphrase guards nothing here."""
_START_S: Final = 60


@dataclass
class Served:
    """Both libraries, each with its own connections to the relay."""

    aurora: Library
    beacon: Library
    remotes: tuple[HttpRemote, HttpRemote]
    pid: int
    """of the relay"""


@contextmanager
def served(folder: Path, port: int) -> Iterator[Served]:
    """The network, founded and pledged to, with one circle of both orgs; over plain HTTP, which loopback allows."""
    now = int(time.time())
    key = RelayKey.generate()
    roots = {org: SigningKey.generate() for org in ("Aurora", "Beacon", "Cairn")}
    devices = {"Aurora": Device.generate(), "Beacon": Device.generate()}
    first = _founding(roots, devices, key, now)
    net = envelope_id(first[0])
    make_relay(folder / "relay", net, port=port, tls=False)
    (folder / "relay" / KEYS).write_bytes(key.to_bytes())
    begin(folder / "relay", [encode(each) for each in first])
    where = card(folder / "relay")
    libraries = [
        create(folder / org, "bench", net=net, device=device, follows=level_follows, cost=CHEAP)
        for org, device in devices.items()
    ]
    remotes = [HttpRemote(where, net, device) for device in devices.values()]
    process = subprocess.Popen(
        [sys.executable, "-m", "darklantern", "relay", "serve", str(folder / "relay")], stderr=subprocess.DEVNULL
    )
    try:
        _wait(remotes[0])
        made = Served(*libraries, tuple(remotes), process.pid)
        _circle(made, devices, where, now)
        yield made
    finally:
        for each in (*remotes, *libraries):
            each.close()
        process.terminate()
        process.wait(_START_S)


def sync(library: Library, remote: HttpRemote) -> None:
    """With the relay, wholly. Raises whatever ended it."""
    for report in library.relays.sync([remote]).relays.values():
        if report.error or report.refused:
            raise report.error or ValueError(f"expected all records to be taken, got {report.refused}")


def _founding(
    roots: dict[str, SigningKey], devices: dict[str, Device], key: RelayKey, now: int
) -> tuple[Envelope, ...]:
    """The first roster and a manifest for each org."""
    directors = {org: SigningKey.generate() for org in roots}
    orgs = tuple(
        Org(
            name=org,
            roots=(OrgRoot(person="director", key=director.public),),
            threshold=1,
            admitted=text(now),
            reason="founded the network",
        )
        for org, director in directors.items()
    )
    roster = Roster(
        name="bench",
        version=1,
        previous=None,
        until=text(now + YEAR),
        threshold=2,
        roots=tuple(NetworkRoot(org=org, key=root.public) for org, root in roots.items()),
        orgs=orgs,
        log=key.log.public,
    )
    genesis = cosign(draft_roster(roster, now), [roots["Aurora"], roots["Cairn"]])
    found = [genesis]
    for org, device in devices.items():
        people = (Person(id=org.lower(), name=org, devices=(device.public,)),)
        body = OrgManifest(org=org, version=1, previous=None, people=people)
        found.append(cosign(draft_manifest(envelope_id(genesis), body, now), [directors[org]]))
    return tuple(found)


def _circle(made: Served, devices: dict[str, Device], where: RelayCard, now: int) -> None:
    pledge = PledgeText(name="no-frontier", version=1, text=hashlib.sha256(PLEDGE.encode()).hexdigest())
    both = tuple(zip((made.aurora, made.beacon), made.remotes, strict=True))
    for library, remote in both:
        sync(library, remote)
        library.members.pledge(pledge, text(now + YEAR))
        sync(library, remote)
    terms = new_terms(CIRCLE, "V2", ())
    circle = Circle(
        orgs=("Aurora", "Beacon"),
        pledges=(pledge,),
        admins=(Admin(org="Aurora", person="aurora"), Admin(org="Beacon", person="beacon")),
        quorum=2,
        history="all",
        freshness=WEEK,
        log=where.public.log,
        terms=terms.commitment,
    )
    draft = draft_circle(made.aurora.net, circle, now)
    named = made.aurora.add(cosign(draft, [device.signing for device in devices.values()]))
    sync(*both[0])
    made.aurora.drafts.add_terms(named, terms)
    sync(*both[0])
    sync(*both[1])


def _wait(remote: HttpRemote) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            remote.heads()
            return
        except RelayError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
