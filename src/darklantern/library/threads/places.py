"""What this device keeps of threads beside the logs: where each post belongs, what was read, what to be quiet about.

All of it stays on the device. The index holds ids and no words, so that it may be kept whatever a circle's tags say;
it can always be made again from the logs. In: rows of the store. Out: one frozen value, and the other way.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal, TypeVar

from darklantern.records.exact import Sha256, Value, decode, encode
from darklantern.records.posts import Content, Mention, Post, Reaction, Retraction, Revision

Rows = Mapping[str, Mapping[str, bytes]]
"""part → name → value, as the store keeps them"""
What = Literal["post", "revision", "reaction", "retraction"]
Quiet = Literal["muted", "mentions"]
"""no notifications at all, or only of mentions"""

_PLACES: Final = "place"
_MARKS: Final = "mark"
_RULES: Final = "rule"
_TOLD: Final = "told"


class Place(Value, frozen=True, kw_only=True):
    """Where a post's record belongs, found by opening it once."""

    thread: Sha256
    what: What
    post: Sha256 | None
    """the post that it answers, or that it is about"""
    mentions_me: bool
    arrival: int
    """later than all that were placed here before: a late one is unread although the log has it early"""


class Mark(Value, frozen=True, kw_only=True):
    """How far its user has read a thread, or a log's alarms."""

    position: int
    """of the last entry that was read, in the circle's log"""
    arrival: int
    """what arrived later is unread wherever it stands"""


class Rule(Value, frozen=True, kw_only=True):
    """How quiet a thread or a circle is to be."""

    quiet: Quiet


@dataclass(frozen=True)
class PostIndex:
    """Which record belongs to which thread, and what it is about."""

    places: Mapping[str, Place] = field(default_factory=dict)
    """id of a post's record → where it belongs"""

    @cached_property
    def threads(self) -> Mapping[str, tuple[str, ...]]:
        """Thread → the records in it, in no order."""
        found: dict[str, list[str]] = defaultdict(list)
        for entry, place in self.places.items():
            found[place.thread].append(entry)
        return {thread: tuple(entries) for thread, entries in found.items()}

    @cached_property
    def acts(self) -> Mapping[str, tuple[str, ...]]:
        """Post → revisions, reactions and retractions that name it, in no order."""
        found: dict[str, list[str]] = defaultdict(list)
        for entry, place in self.places.items():
            if place.what != "post" and place.post:
                found[place.post].append(entry)
        return {post: tuple(entries) for post, entries in found.items()}

    @cached_property
    def arrivals(self) -> int:
        """A number above that of every record that is placed."""
        return 1 + max((place.arrival for place in self.places.values()), default=-1)


@dataclass(frozen=True)
class LocalThreads:
    """The index of posts, and the user's own marks and rules."""

    index: PostIndex = field(default_factory=PostIndex)
    problems: Mapping[str, str] = field(default_factory=dict)
    """id → why it does not open. Not stored: a newer program, or a mended disk, may open it"""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """thread or log → how far it was read"""
    rules: Mapping[str, Quiet] = field(default_factory=dict)
    """thread or circle → how quiet"""
    told: frozenset[str] = frozenset()
    """notifications that were announced"""

    @property
    def places(self) -> Mapping[str, Place]:
        """id of a post's record → where it belongs"""
        return self.index.places


def place_of(entry: str, content: Content, me: Mention | None, arrival: int) -> Place:
    """Where an opened post's record belongs."""
    if isinstance(content, Post):
        return Place(
            thread=content.thread or entry,
            what="post",
            post=content.reply_to,
            mentions_me=me in content.mentions,
            arrival=arrival,
        )
    return Place(thread=content.thread, what=what_of(content), post=content.post, mentions_me=False, arrival=arrival)


def what_of(content: Content) -> What:
    """The word for what a record says."""
    match content:
        case Post():
            return "post"
        case Revision():
            return "revision"
        case Reaction():
            return "reaction"
        case Retraction():
            return "retraction"


def load_threads(rows: Rows) -> LocalThreads:
    """The value that stored rows hold. Raises RecordError."""
    return LocalThreads(
        index=PostIndex(_decoded(Place, rows.get(_PLACES, {}))),
        marks=_decoded(Mark, rows.get(_MARKS, {})),
        rules={name: rule.quiet for name, rule in _decoded(Rule, rows.get(_RULES, {})).items()},
        told=frozenset(rows.get(_TOLD, {})),
    )


def threads_difference(old: LocalThreads, new: LocalThreads) -> tuple[tuple[str, str, bytes | None], ...]:
    """(part, name, value or None to remove) of each row that differs."""
    if old is new:
        return ()
    return (
        *_changed(_PLACES, old.places, new.places),
        *_changed(_MARKS, old.marks, new.marks),
        *_changed(_RULES, _rules(old), _rules(new)),
        *((_TOLD, name, b"") for name in sorted(new.told - old.told)),
        *((_TOLD, name, None) for name in sorted(old.told - new.told)),
    )


def _rules(threads: LocalThreads) -> Mapping[str, Rule]:
    return {name: Rule(quiet=quiet) for name, quiet in threads.rules.items()}


Kept = TypeVar("Kept", bound=Value)


def _decoded(kind: type[Kept], rows: Mapping[str, bytes]) -> dict[str, Kept]:
    return {name: decode(kind, value) for name, value in rows.items()}


def _changed(part: str, old: Mapping[str, Value], new: Mapping[str, Value]) -> Iterable[tuple[str, str, bytes | None]]:
    if old is new:
        return
    for name, value in new.items():
        if old.get(name) != value:
            yield part, name, encode(value)
    for name in old:
        if name not in new:
            yield part, name, None
