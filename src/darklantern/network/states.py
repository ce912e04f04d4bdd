"""What a network's records add up to: frozen values, one for each log.

These are the shapes that rules read and return. A state is never changed: each accepted record
makes a new one, and the old ones stay, because an epoch is judged at the prefix that it cites.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Generic, Literal, TypeAlias, TypeVar

from rpds import HashTrieMap

from darklantern.logs import merkle
from darklantern.network.circles import Circle, Removal
from darklantern.network.epochs import Epoch
from darklantern.network.growing import Grown
from darklantern.network.handovers import Handover
from darklantern.network.items import Sealed
from darklantern.network.manifests import OrgManifest, Standing
from darklantern.network.pieces import NamedPieces
from darklantern.network.pledges import Breach, Commitment, Pledge, PledgeText
from darklantern.network.rosters import Roster
from darklantern.network.vouching import Notice, Vouched
from darklantern.records.record import Record, Seen

Body = TypeVar("Body")

Owner: TypeAlias = tuple[str, str]
"""(org, person)"""

Role: TypeAlias = Literal["root", "log", "relay", "device"]
"""What a key is for."""


@dataclass(frozen=True)
class Version(Generic[Body]):
    """One accepted version of a roster or a manifest, with the id of its envelope."""

    id: str
    body: Body


@dataclass(frozen=True)
class Broken:
    """A recorded breach, and who said so: the network's roots, or the person's own org. Only the same take it back."""

    breach: Breach
    by_org: bool


@dataclass(frozen=True)
class Fork:
    """Two envelopes of which only one may exist: proof that their signer cannot be relied on."""

    first: str
    second: str
    position: int
    """of the second in the log: from there on everyone who has read so far knows"""


@dataclass(frozen=True)
class Opaque:
    """An entry that is in the log and does not count."""

    log: str
    position: int
    id: str
    reason: str
    belongs: bool
    """whether its signer made it for this place, so that its device's chain goes on from it"""
    unsigned: bool = False
    """whether its signatures are not those of who may sign it: no honest keeper has appended that"""
    waits: bool = False
    """whether its author had read more of the network's log than is here: with that, it may count"""


@dataclass(frozen=True)
class Link:
    """One record in a device's chain within a log. Its `seq` is its index there."""

    position: int
    id: str
    seen: Mapping[str, Seen]


Chains: TypeAlias = "HashTrieMap[str, Grown[Link]]"
"""device → its records in this log, in order"""


@dataclass(frozen=True)
class Trail:
    """A log as its entries make it: ids, and the root after each of them."""

    ids: Grown[str] = field(default_factory=Grown)
    roots: Grown[bytes] = field(default_factory=lambda: Grown([merkle.EMPTY_ROOT]))
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)
    own: "HashTrieMap[str, int]" = field(default_factory=HashTrieMap)
    """id → its first entry that is its signer's own. An id leaves out signatures: a badly signed copy is none"""

    @property
    def size(self) -> int:
        """How many entries."""
        return len(self.ids)

    def append(self, envelope_id: str, *, own: bool = True) -> "Trail":
        """The trail with one more entry; `own`: whether its signer made it for this place."""
        frontier = self.frontier.append(merkle.leaf_hash(bytes.fromhex(envelope_id)))
        places = self.own.insert(envelope_id, self.size) if own and envelope_id not in self.own else self.own
        return Trail(self.ids.plus(envelope_id), self.roots.plus(frontier.root), frontier, places)

    def first(self, size: int) -> "Trail":
        """The trail as it was after `size` entries, without whose they were. Hashes them again, unless it is all."""
        return self if size == self.size else reduce(Trail.append, self.ids[:size], Trail())

    def seen(self) -> Seen:
        """What a record cites whose author has read all of it."""
        return Seen(size=self.size, root=self.roots[-1].hex())


@dataclass(frozen=True)
class NetworkState:
    """What the network's own log says up to some entry."""

    rosters: tuple[Version[Roster], ...] = ()
    roster_fork: Fork | None = None
    manifests: Mapping[str, tuple[Version[OrgManifest], ...]] = field(default_factory=dict)
    org_forks: Mapping[str, Fork] = field(default_factory=dict)
    active: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """org → the devices in its newest manifest"""
    devices: "HashTrieMap[str, Standing]" = field(default_factory=HashTrieMap)
    """every device that a manifest ever listed, as the latest one that did lists it"""
    roles: "HashTrieMap[object, Role]" = field(default_factory=HashTrieMap)
    """each part of each key that an accepted record ever named → its only role"""
    pledges: "HashTrieMap[Owner, Grown[Pledge]]" = field(default_factory=HashTrieMap)
    """in the order of the log"""
    commitments: "HashTrieMap[PledgeText, Commitment]" = field(default_factory=HashTrieMap)
    breaches: "HashTrieMap[str, Broken]" = field(default_factory=HashTrieMap)
    """record id → what was broken, without what was taken back"""
    circles: "HashTrieMap[str, Grown[Version[Circle]]]" = field(default_factory=HashTrieMap)
    circle_forks: Mapping[str, Fork] = field(default_factory=dict)
    removals: "HashTrieMap[str, Removal]" = field(default_factory=HashTrieMap)
    """record id → who was removed; only grows"""
    notices: "HashTrieMap[str, tuple[int, Notice]]" = field(default_factory=HashTrieMap)
    """record id → (position, notice)"""
    vouches: Grown[Vouched] = field(default_factory=Grown)
    chains: Chains = field(default_factory=HashTrieMap)
    frozen: Mapping[str, Fork] = field(default_factory=dict)
    opaque: Grown[Opaque] = field(default_factory=Grown)

    @property
    def roster(self) -> Roster | None:
        """The newest roster, or None before the first."""
        return self.rosters[-1].body if self.rosters else None

    def manifest(self, org: str) -> OrgManifest | None:
        """The newest manifest of an org, or None when it has none."""
        versions = self.manifests.get(org)
        return versions[-1].body if versions else None

    def circle(self, circle: str) -> Circle | None:
        """The newest version of a circle's record, or None for one that is not here."""
        versions = self.circles.get(circle)
        return versions[-1].body if versions else None

    def broken_by(self, owner: Owner) -> tuple[Breach, ...]:
        """The breaches that are recorded of an (org, person)."""
        found = (broken.breach for broken in self.breaches.values())
        return tuple(breach for breach in found if (breach.org, breach.person) == owner)

    def removals_in(self, circle: str) -> dict[str, Removal]:
        """The removals that hold in a circle, by record id: two that say the same are two."""
        found = self.circle(circle)
        restored = found.restored if found else ()
        return {id: each for id, each in self.removals.items() if each.circle == circle and id not in restored}

    def removed_from(self, circle: str) -> tuple[Removal, ...]:
        """Who is removed from a circle."""
        return tuple(self.removals_in(circle).values())

    def lets_in(self, circle: str, owner: Owner, device: str) -> bool:
        """Whether a circle's log is for this device: its rules admit whose it is, and nobody has removed them."""
        found = self.circle(circle)
        if found is None or not (found.admits(*owner) or found.has_admin(owner)):
            return False
        return not any(
            (each.org, each.person) == owner and each.device in (None, device) for each in self.removed_from(circle)
        )

    def is_active(self, device: str) -> bool:
        """Whether the newest manifest of its org lists the device, and the roster the org."""
        standing = self.devices.get(device)
        if standing is None or self.roster is None or self.roster.org(standing.org) is None:
            return False
        return device in self.active[standing.org]


@dataclass(frozen=True)
class EpochEntry:
    """An accepted epoch, with the members that every reader computes alike."""

    id: str
    position: int
    author: str
    body: Epoch
    network_size: int
    """how much of the network's log the members were computed from"""
    members: frozenset[str]
    persons: frozenset[Owner]


@dataclass(frozen=True)
class SealedEntry:
    """An accepted item or post."""

    id: str
    position: int
    record: Record
    body: Sealed
    owner: Owner
    """its author's person, as the logs said where it was written"""


@dataclass(frozen=True)
class CircleState:
    """What a circle's log says up to some entry. The circle's own record stands in the network's log."""

    id: str
    epochs: Grown[EpochEntry] = field(default_factory=Grown)
    numbers: "HashTrieMap[str, int]" = field(default_factory=HashTrieMap)
    """id of an epoch → its place in `epochs`"""
    shown: "HashTrieMap[tuple[str, str], int]" = field(default_factory=HashTrieMap)
    """(epoch, device) → the position of the first record by which the device claims to hold the epoch's seed"""
    entries: "HashTrieMap[str, SealedEntry]" = field(default_factory=HashTrieMap)
    """id → what counts; `in_order` has them as the log does"""
    buried: "HashTrieMap[str, SealedEntry]" = field(default_factory=HashTrieMap)
    """id → what a tombstone took out of `entries`"""
    pieces: NamedPieces = field(default_factory=HashTrieMap)
    """name → whose each piece is and what needs it; `retaining` says which live"""
    tombstones: "HashTrieMap[str, tuple[Owner, ...]]" = field(default_factory=HashTrieMap)
    """id → who asked for it to be dropped"""
    receipts: "HashTrieMap[str, frozenset[str]]" = field(default_factory=HashTrieMap)
    """id of what was buried → the devices that say they have dropped it"""
    handovers: Grown[Handover] = field(default_factory=Grown)
    read: int = 0
    """how much of this log any record in it shows that its author had read"""
    chains: Chains = field(default_factory=HashTrieMap)
    frozen: Mapping[str, Fork] = field(default_factory=dict)
    opaque: Grown[Opaque] = field(default_factory=Grown)

    @property
    def epoch(self) -> EpochEntry | None:
        """The newest epoch, or None before the first."""
        return self.epochs[-1] if self.epochs else None

    def in_order(self) -> list[SealedEntry]:
        """The entries that count, in the order of the log; what waits for its keeper comes last, as it was written."""
        return sorted(self.entries.values(), key=lambda entry: (entry.position, entry.record.seq))

    def find_epoch(self, epoch_id: str) -> EpochEntry | None:
        """The accepted epoch of that id."""
        place = self.numbers.get(epoch_id)
        return None if place is None else self.epochs[place]

    def showing(self, epoch_id: str, device: str, position: int) -> "CircleState":
        """The state after a record at `position` by which the device claims to hold the seed of an epoch."""
        known = (epoch_id, device) in self.shown
        return self if known else replace(self, shown=self.shown.insert((epoch_id, device), position))

    def frozen_at(self, size: int) -> dict[str, Fork]:
        """The devices caught forking within the first `size` entries."""
        return {device: fork for device, fork in self.frozen.items() if fork.position < size}
