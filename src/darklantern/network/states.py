"""What a network's records add up to: frozen values, one for each log.

These are the shapes that rules read and return. A state is never changed: each accepted record
makes a new one, and the old ones stay, because an epoch is judged at the prefix that it cites.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from darklantern.logs import merkle
from darklantern.network.circles import Circle
from darklantern.network.epochs import Epoch
from darklantern.network.items import Sealed
from darklantern.network.manifests import OrgManifest, Standing
from darklantern.network.pledges import Pledge
from darklantern.network.rosters import Roster
from darklantern.records.record import Record, Seen

Body = TypeVar("Body")

_INDEX_EVERY: Final = 256


@dataclass(frozen=True)
class Version(Generic[Body]):
    """One accepted version of a roster or a manifest, with the id of its envelope."""

    id: str
    body: Body


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


@dataclass(frozen=True)
class Link:
    """One record in a device's chain within a log. Its `seq` is its index there."""

    position: int
    id: str
    seen: Mapping[str, Seen]


Chains = Mapping[str, tuple[Link, ...]]
"""device → its records in this log, in order"""


@dataclass(frozen=True)
class Trail:
    """A log as its entries make it: ids, and the root after each of them."""

    ids: tuple[str, ...] = ()
    roots: tuple[bytes, ...] = (merkle.EMPTY_ROOT,)
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)
    indexed: int = 0
    """how many of the first ids are in `index`: each new entry asks whether its id is there, and not all of them"""
    index: frozenset[str] = frozenset()

    def __contains__(self, envelope_id: str) -> bool:
        return envelope_id in self.index or envelope_id in self.ids[self.indexed :]

    @property
    def size(self) -> int:
        """How many entries."""
        return len(self.ids)

    def append(self, envelope_id: str) -> "Trail":
        """The trail with one more entry."""
        frontier = self.frontier.append(merkle.leaf_hash(bytes.fromhex(envelope_id)))
        ids, roots = (*self.ids, envelope_id), (*self.roots, frontier.root)
        if len(ids) - self.indexed < _INDEX_EVERY:
            return Trail(ids, roots, frontier, self.indexed, self.index)
        return Trail(ids, roots, frontier, len(ids), frozenset(ids))

    def extend(self, envelope_ids: Sequence[str]) -> "Trail":
        """The trail with more entries, copied once and not once for each."""
        frontier, roots = self.frontier, list(self.roots)
        for envelope_id in envelope_ids:
            frontier = frontier.append(merkle.leaf_hash(bytes.fromhex(envelope_id)))
            roots.append(frontier.root)
        ids = (*self.ids, *envelope_ids)
        return Trail(ids, tuple(roots), frontier, len(ids), frozenset(ids)) if envelope_ids else self

    def first(self, size: int) -> "Trail":
        """The trail as it was after `size` entries. Hashes those again, unless it is all of them."""
        return self if size == self.size else Trail().extend(self.ids[:size])

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
    devices: Mapping[str, Standing] = field(default_factory=dict)
    """every device that a manifest ever listed, as the latest one that did lists it"""
    pledges: Mapping[tuple[str, str], tuple[Pledge, ...]] = field(default_factory=dict)
    circles: Mapping[str, Circle] = field(default_factory=dict)
    chains: Chains = field(default_factory=dict)
    frozen: Mapping[str, Fork] = field(default_factory=dict)
    opaque: tuple[Opaque, ...] = ()

    @property
    def roster(self) -> Roster | None:
        """The newest roster, or None before the first."""
        return self.rosters[-1].body if self.rosters else None

    def manifest(self, org: str) -> OrgManifest | None:
        """The newest manifest of an org, or None when it has none."""
        versions = self.manifests.get(org)
        return versions[-1].body if versions else None

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
    persons: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class SealedEntry:
    """An accepted item or post."""

    id: str
    position: int
    record: Record
    body: Sealed


@dataclass(frozen=True)
class CircleState:
    """What a circle's log says up to some entry."""

    id: str
    circle: Circle
    epochs: tuple[EpochEntry, ...] = ()
    entries: Mapping[str, SealedEntry] = field(default_factory=dict)
    chains: Chains = field(default_factory=dict)
    frozen: Mapping[str, Fork] = field(default_factory=dict)
    opaque: tuple[Opaque, ...] = ()

    @property
    def epoch(self) -> EpochEntry | None:
        """The newest epoch, or None before the first."""
        return self.epochs[-1] if self.epochs else None

    def find_epoch(self, epoch_id: str) -> EpochEntry | None:
        """The accepted epoch of that id."""
        return next((epoch for epoch in self.epochs if epoch.id == epoch_id), None)

    def frozen_at(self, size: int) -> dict[str, Fork]:
        """The devices caught forking within the first `size` entries."""
        return {device: fork for device, fork in self.frozen.items() if fork.position < size}
