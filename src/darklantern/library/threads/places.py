"""What this device keeps of threads beside the logs: where each post belongs, what was read, what to be quiet about.

All of it stays on the device. The index holds ids and no words, so that it may be kept whatever a circle's tags say;
it can always be made again from the logs. In: rows of the store. Out: one frozen value, and the other way.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, TypeVar

from rpds import HashTrieMap, HashTrieSet

from darklantern.records.exact import Sha256, Value, decode, encode
from darklantern.records.posts import Content, Mention, PanelAct, Post, Reaction, Retraction, Revision

Rows = Mapping[str, Mapping[str, bytes]]
"""part → name → value, as the store keeps them"""
What = Literal["post", "revision", "reaction", "retraction", "panel act"]
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

    @property
    def act_on(self) -> str | None:
        """The post that a revision, a reaction or a retraction names."""
        return None if self.what == "post" else self.post


class Mark(Value, frozen=True, kw_only=True):
    """How far its user has read a thread, or a log's alarms."""

    position: int
    """of the last entry that was read, in the circle's log"""
    arrival: int
    """what arrived later is unread wherever it stands"""


class Rule(Value, frozen=True, kw_only=True):
    """How quiet a thread or a circle is to be."""

    quiet: Quiet


Ids: TypeAlias = "HashTrieSet[str]"


@dataclass(frozen=True)
class PostIndex:
    """Which record belongs to which thread, and what it is about. One record more costs the same at any size."""

    places: "HashTrieMap[str, Place]" = field(default_factory=HashTrieMap)
    """id of a post's record → where it belongs"""
    threads: "HashTrieMap[str, Ids]" = field(default_factory=HashTrieMap)
    """thread → the records in it"""
    acts: "HashTrieMap[str, Ids]" = field(default_factory=HashTrieMap)
    """post → revisions, reactions and retractions that name it"""
    arrivals: int = 0
    """a number above that of every record that is placed"""

    def plus(self, entry: str, place: Place) -> "PostIndex":
        """The index with one more record."""
        return PostIndex(
            self.places.insert(entry, place),
            _with(self.threads, place.thread, entry),
            _with(self.acts, place.act_on, entry) if place.act_on else self.acts,
            max(self.arrivals, place.arrival + 1),
        )

    def minus(self, entry: str) -> "PostIndex":
        """The index without a record; the very same if it is not there."""
        place = self.places.get(entry)
        if place is None:
            return self
        return replace(
            self,
            places=self.places.remove(entry),
            threads=_without(self.threads, place.thread, entry),
            acts=_without(self.acts, place.act_on, entry) if place.act_on else self.acts,
        )


@dataclass(frozen=True)
class LocalThreads:
    """The index of posts, and the user's own marks and rules."""

    index: PostIndex = field(default_factory=PostIndex)
    unplaced: "HashTrieMap[str, str]" = field(default_factory=HashTrieMap)
    """id of a post that counts and is not in the index → its circle. Not stored: found when a library is opened"""
    problems: "HashTrieMap[str, str]" = field(default_factory=HashTrieMap)
    """id → why it does not open. Not stored: a newer program, or a mended disk, may open it"""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """thread or log → how far it was read"""
    rules: Mapping[str, Quiet] = field(default_factory=dict)
    """thread or circle → how quiet"""
    told: frozenset[str] = frozenset()
    """notifications that were announced"""

    @property
    def places(self) -> "HashTrieMap[str, Place]":
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
    post = None if isinstance(content, PanelAct) else content.post
    return Place(thread=content.thread, what=what_of(content), post=post, mentions_me=False, arrival=arrival)


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
        case PanelAct():
            return "panel act"


def load_threads(rows: Rows) -> LocalThreads:
    """The value that stored rows hold. Raises RecordError."""
    index = PostIndex()
    for entry, place in _decoded(Place, rows.get(_PLACES, {})).items():
        index = index.plus(entry, place)
    return LocalThreads(
        index=index,
        marks=_decoded(Mark, rows.get(_MARKS, {})),
        rules={name: rule.quiet for name, rule in _decoded(Rule, rows.get(_RULES, {})).items()},
        told=frozenset(rows.get(_TOLD, {})),
    )


def threads_difference(
    old: LocalThreads, new: LocalThreads, placed: Collection[str]
) -> tuple[tuple[str, str, bytes | None], ...]:
    """(part, name, value or None to remove) of each row that differs. `placed`: posts that may stand elsewhere."""
    if old is new:
        return ()
    return (
        *_changed(_PLACES, old.places, new.places, placed),
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


def _changed(
    part: str, old: Mapping[str, Value], new: Mapping[str, Value], names: Collection[str] | None = None
) -> Iterable[tuple[str, str, bytes | None]]:
    if old is new:
        return
    for name in sorted({*old, *new} if names is None else names):
        value = new.get(name)
        if value != old.get(name):
            yield part, name, encode(value) if value else None


def _with(sets: "HashTrieMap[str, Ids]", name: str, entry: str) -> "HashTrieMap[str, Ids]":
    return sets.insert(name, (sets.get(name) or HashTrieSet()).insert(entry))


def _without(sets: "HashTrieMap[str, Ids]", name: str, entry: str) -> "HashTrieMap[str, Ids]":
    left = sets[name].remove(entry)
    return sets.insert(name, left) if len(left) else sets.remove(name)
