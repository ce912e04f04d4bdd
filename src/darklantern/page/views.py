"""What the page shows, as frozen values, and what it needs of a library to get them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from darklantern.assess.panels import Panel
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Assessment, Level
from darklantern.records.findings import Finding


@dataclass(frozen=True, slots=True)
class Author:
    """Who signed a record: a person, and the organisation that vouches for the person's device."""

    person: str
    org: str


@dataclass(frozen=True, slots=True)
class Item:
    """A finding as this device holds it, opened. Id, level, circle and author are verified; texts are not."""

    id: str
    """SHA-256 of the sealed record, lower-case hex"""
    finding: Finding
    level: Level
    """the level that it was sealed at"""
    circle: str
    author: Author
    audience: tuple[str, ...] = ()
    """the organisations, or at V3 and V4 the persons, who are members now"""
    left_out: tuple[str, ...] = ()
    """who of the circle's organisations is no member, with the reason"""
    assessment: Assessment | None = None
    tags: tuple[str, ...] = ()
    """of the circle: what for, and how to handle it"""
    pending: bool = False
    """it still waits on this device for the keeper of its log"""
    unread: int = 0
    """posts of others in its thread"""


@dataclass(frozen=True, slots=True)
class Unopened:
    """An item that this device holds and cannot open: listed all the same, with the reason."""

    id: str
    circle: str
    author: Author
    time: str
    problem: str


@dataclass(frozen=True, slots=True)
class File:
    """An attachment, by its hash. Name and media type are its author's word."""

    name: str
    media: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Reacted:
    """One emoji on a post, and who put it there. The emoji is one of a closed table; the names are texts."""

    emoji: str
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Post:
    """One post of a thread. `time` is the author's claim."""

    author: Author
    time: str
    text: str | None
    """None: taken back"""
    pending: bool = False
    id: str = ""
    answers: str | None = None
    """the post that it answers"""
    depth: int = 0
    earlier: tuple[tuple[str, str], ...] = ()
    """(time, text) of each earlier version"""
    files: tuple[File, ...] = ()
    reactions: tuple[Reacted, ...] = ()
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    """What was said about a finding, or under a title."""

    posts: Sequence[Post]
    title: str | None = None
    circle: str = ""
    notes: tuple[str, ...] = ()
    """what is not shown, and why"""


@dataclass(frozen=True, slots=True)
class Topic:
    """A thread about no finding, in a list."""

    id: str
    title: str | None
    circle: str
    posts: int
    unread: int
    time: str
    """of what came last"""


@dataclass(frozen=True, slots=True)
class Download:
    """An attachment to hand over: verified piece by piece, and all of it before the stream ends."""

    name: str
    """safe as the name of a file"""
    size: int
    stream: Iterator[bytes]


class Readable(Protocol):
    """What the page asks of a library, from the thread that serves, one call at a time.

    A DarkLanternError of any of them is shown with its hint; RefusedError means that it is not here.
    """

    def findings(self) -> Sequence[Item | Unopened]:
        """Everything that this device holds, in the order to list it."""

    def open_item(self, item: str) -> Item:
        """The finding with this id. Raises RefusedError if this device does not hold it."""

    def thread(self, thread: str) -> Thread:
        """What was said about a finding, or under a title. Raises RefusedError if this device does not hold it."""

    def panel(self, item: Item) -> Panel | AssessmentError | None:
        """The newest panel of raters about a finding, or why it cannot be told; None where there is none."""

    def topics(self) -> Sequence[Topic]:
        """The threads about no finding, in the order to list them."""

    def attachment(self, post: str, sha256: str) -> Download:
        """A file that came with a post. Raises RefusedError if there is none, SealError if it does not open."""
