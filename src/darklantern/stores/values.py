"""What goes into the database and what comes out of it, as frozen values. Secret: they do not print."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Waiting:
    """A record that waits for the keeper of its log."""

    id: str
    log: str
    envelope: bytes


@dataclass(frozen=True, repr=False)
class Document:
    """One text to be found again: an item or a post, with what a search may be narrowed by."""

    id: str
    """of the item or post"""
    item: str
    """the item itself, or the thread that a post stands in"""
    circle: str
    kind: str
    org: str
    person: str
    time: str
    title: str
    body: str
    tags: tuple[str, ...] = ()
    supersedes: str | None = None


@dataclass(frozen=True, repr=False)
class Contents:
    """All that the database holds but the index and the open-log."""

    entries: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    """log → envelopes in order"""
    heads: Mapping[str, bytes] = field(default_factory=dict)
    """log → signed note"""
    outbox: tuple[Waiting, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    local: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """part → name → value: what this device keeps for itself, and no log holds"""


@dataclass(frozen=True, repr=False)
class Change:
    """What to write, all of it or none."""

    entries: tuple[tuple[str, int, bytes], ...] = ()
    """(log, position, envelope)"""
    shortened: tuple[tuple[str, int], ...] = ()
    """(log, how many entries stay): the others were appended by whoever had left the log"""
    heads: Mapping[str, bytes] = field(default_factory=dict)
    outbox: tuple[Waiting, ...] = ()
    sent: tuple[str, ...] = ()
    """ids that leave the outbox"""
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    erased: tuple[str, ...] = ()
    """names of secrets that go for good"""
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    """the first proof for a log stays"""
    settings: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    """names of settings that go"""
    documents: tuple[Document, ...] = ()
    """texts for the index, each in place of an older one of its id"""
    unindexed: tuple[str, ...] = ()
    """ids whose text leaves the index"""
    local: tuple[tuple[str, str, bytes | None], ...] = ()
    """(part, name, value); None removes it"""

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(getattr(self, each.name) for each in fields(self))
