"""A small network in memory: three root orgs, people with devices, and the keeper of its logs.

Keys are made once for the whole run: nothing in a test depends on which they are, only on whose.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cache

import msgspec

from darklantern.network import (
    Admin,
    Circle,
    NetworkRoot,
    Org,
    OrgManifest,
    OrgRoot,
    Person,
    Pledge,
    PledgeText,
    Roster,
    Terms,
    View,
    admit,
    append,
    cosign,
    draft_circle,
    draft_manifest,
    draft_roster,
    new_terms,
)
from darklantern.network.authoring import authored
from darklantern.network.circle_log import cutoffs
from darklantern.network.clock import text
from darklantern.network.deciding import plan
from darklantern.network.epochs import new_epoch
from darklantern.network.heads import sign_head
from darklantern.network.items import Binding, Posting, seal_content
from darklantern.network.reading import Body, leaf_id
from darklantern.records.exact import encode
from darklantern.records.posts import Post
from darklantern.records.record import Kind
from darklantern.sealing import Device, Envelope, LogKey, Recipient, SigningKey, envelope_id

NOW = 1_795_000_000
YEAR = 365 * 24 * 3600
ORGS = ("Aurora", "Beacon", "Cairn")
PLEDGE = PledgeText(name="no-frontier", version=1, text=hashlib.sha256(b"I will not push the frontier.").hexdigest())


@cache
def key(name: str) -> SigningKey:
    return SigningKey.generate()


@cache
def device(name: str) -> Device:
    return Device.generate()


@cache
def log_key(name: str) -> LogKey:
    return LogKey.generate()


def person(name: str, *devices: str) -> Person:
    return Person(id=name, name=f"Dr {name}", devices=tuple(device(each).public for each in (devices or (name,))))


def roster(**changes: object) -> Roster:
    """Version 1: two of three orgs; each org has two roots and needs both."""
    first = Roster(
        name="Lantern test net",
        version=1,
        previous=None,
        until=text(NOW + YEAR),
        threshold=2,
        roots=tuple(NetworkRoot(org=org, key=key(f"network {org}").public) for org in ORGS),
        orgs=tuple(
            Org(
                name=org,
                roots=tuple(OrgRoot(person=p, key=key(f"{org} {p}").public) for p in ("first", "second")),
                threshold=2,
                admitted=text(NOW),
                reason="met in Lisbon",
            )
            for org in ORGS
        ),
        log=log_key("keeper").public,
    )
    return msgspec.structs.replace(first, **changes)


def network_keys(*orgs: str) -> list[SigningKey]:
    return [key(f"network {org}") for org in orgs]


def org_keys(org: str) -> list[SigningKey]:
    return [key(f"{org} {p}") for p in ("first", "second")]


@dataclass
class World:
    """The keeper's side: logs and their view. Tests write to them through the same doors as everyone."""

    view: View
    logs: dict[str, list[bytes]] = field(default_factory=dict)
    seeds: dict[str, bytes] = field(default_factory=dict)
    terms: dict[str, Terms] = field(default_factory=dict)

    def copy(self) -> "World":
        return World(
            self.view, {log: list(data) for log, data in self.logs.items()}, dict(self.seeds), dict(self.terms)
        )

    @property
    def net(self) -> str:
        return self.view.net

    def put(self, data: bytes, log: str | None = None) -> str:
        """Append whatever it is, as a keeper could who checks nothing. The reason it does not count, or ''."""
        log = log or self.net
        before = len(self.view.opaque)
        self.view = append(self.view, log, data)
        self.logs.setdefault(log, []).append(data)
        return self.view.opaque[-1].reason if len(self.view.opaque) > before else ""

    def add(self, data: bytes | Envelope, log: str | None = None) -> str:
        """Append what counts. Its id."""
        data = encode(data) if isinstance(data, Envelope) else data
        refused = admit(self.view, log or self.net, data)
        assert refused is None, refused
        assert self.put(data, log) == ""
        return self.view.trail(log or self.net).ids[-1]

    def sign(self, log: str, kind: Kind, body: Body, author: str, now: int = NOW) -> bytes:
        """A record by that device, next in its chain."""
        state = self.view.network if log == self.net else self.view.circle(log)
        chain = state.chains.get(device(author).public.id, ())
        after = (len(chain) - 1, chain[-1].id) if chain else None
        return authored(self.view, log, kind, body, device(author), after, now)

    def manifest(self, org: str, *people: Person, revoked: tuple[str, ...] = ()) -> str:
        old = self.view.network.manifests.get(org, ())
        body = OrgManifest(
            org=org,
            version=len(old) + 1,
            previous=old[-1].id if old else None,
            people=people,
            revoked=tuple(sorted(device(each).public.id for each in revoked)),
        )
        return self.add(cosign(draft_manifest(self.net, body, NOW), org_keys(org)))

    def pledge(self, org: str, who: str, author: str | None = None, **changes: object) -> str:
        body = Pledge(org=org, person=who, pledge=PLEDGE, until=text(NOW + YEAR))
        return self.add(self.sign(self.net, "pledge", msgspec.structs.replace(body, **changes), author or who))

    def circle(self, **changes: object) -> str:
        """'evals' at V2 for Aurora and Beacon, signed by both admins."""
        terms = new_terms("evals", "V2", ("use:safety-only",))
        body = Circle(
            orgs=("Aurora", "Beacon"),
            pledges=(PLEDGE,),
            admins=(Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo")),
            quorum=2,
            history="all",
            freshness=7 * 24 * 3600,
            log=log_key("keeper").public,
            terms=terms.commitment,
        )
        body = msgspec.structs.replace(body, **changes)
        draft = draft_circle(self.net, body, NOW)
        circle = self.add(cosign(draft, [device("ada").signing, device("bo").signing]))
        self.terms[circle] = terms
        return circle

    def successor(self, circle: str, *signers: str, **changes: object) -> Envelope:
        """The next version of a circle's record; not appended."""
        last = self.view.network.circles[circle][-1]
        changes = {"circle": circle, "version": last.body.version + 1, "previous": last.id} | changes
        body = msgspec.structs.replace(last.body, **changes)
        return cosign(draft_circle(self.net, body, NOW), [device(each).signing for each in signers])

    def plan(self, circle: str, author: str, now: int = NOW):
        return plan(
            self.view,
            circle,
            device(author).public.id,
            seeds=self.seeds,
            kept=frozenset((self.net, circle)),
            now=now,
        )

    def epoch(self, circle: str, author: str, now: int = NOW) -> bytes:
        """The next epoch, for whoever is effective; not appended."""
        made = self.plan(circle, author, now)
        state, size = self.view.circle(circle), self.view.trail(circle).size
        last = state.epoch
        dropped = cutoffs(state.chains, last.members - made.members.ids if last else frozenset(), size)
        body, seed = new_epoch(
            circle,
            [(m.id, m.device.receiver()) for m in made.members.members],
            previous=made.previous(self.seeds),
            as_of=text(made.as_of),
            terms=self.terms[circle],
            dropped=dropped,
        )
        data = self.sign(circle, "epoch", body, author, now)
        self.seeds[record_id(data)] = seed
        return data

    def rotate(self, circle: str, author: str, now: int = NOW) -> str:
        return self.add(self.epoch(circle, author, now), circle)

    def post(self, circle: str, author: str, text: str = "hello", **binding: object) -> tuple[bytes, dict[str, bytes]]:
        """A sealed post to the newest epoch; not appended. `binding` says otherwise where a test lies."""
        epoch = self.view.circle(circle).epoch
        assert epoch is not None
        where = {"kind": "post", "circle": circle, "epoch": epoch.id, "author": device(author).public.id, "level": "V2"}
        where |= {name.removeprefix("in_"): value for name, value in binding.items()}
        said = Posting(content=Post(thread="0" * 64, text=text))
        body, pieces = seal_content(said, Binding(**where), Recipient.parse(epoch.body.recipient))
        return self.sign(circle, "post", body, author), pieces

    def head(self, log: str, now: int = NOW):
        return sign_head(self.view.trail(log), log, log_key("keeper"), now)


def record_id(data: bytes) -> str:
    return leaf_id(data)


@cache
def _founded() -> World:
    """A network with its first roster and nobody in it."""
    genesis = cosign(draft_roster(roster(), NOW), network_keys("Aurora", "Beacon"))
    world = World(View(envelope_id(genesis)))
    world.add(genesis)
    return world


@cache
def _peopled() -> World:
    """Aurora has ada (two devices) and al, Beacon has bo; all have pledged."""
    world = founded()
    world.manifest("Aurora", person("ada", "ada", "ada's phone"), person("al"))
    world.manifest("Beacon", person("bo"))
    for org, who in (("Aurora", "ada"), ("Aurora", "al"), ("Beacon", "bo")):
        world.pledge(org, who)
    return world


@cache
def _circled() -> tuple[World, str]:
    world = peopled()
    circle = world.circle()
    world.rotate(circle, "ada")
    return world, circle


def founded() -> World:
    """A network with its first roster and nobody in it."""
    return _founded().copy()


def peopled() -> World:
    """Aurora has ada (two devices) and al, Beacon has bo; all have pledged."""
    return _peopled().copy()


def circled() -> tuple[World, str]:
    """The same with a circle 'evals' and its first epoch."""
    world, circle = _circled()
    return world.copy(), circle
