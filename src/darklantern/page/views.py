"""What the page shows, as frozen values, and what it needs of a library to get them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Unopened:
    """An item that this device holds and cannot open: listed all the same, with the reason."""

    id: str
    circle: str
    author: Author
    time: str
    problem: str


@dataclass(frozen=True, slots=True)
class Post:
    """One post of a thread. `time` is the author's claim."""

    author: Author
    time: str
    text: str
    pending: bool = False


class Readable(Protocol):
    """What the page asks of a library, from the thread that serves, one call at a time.

    A DarkLanternError of any of them is shown with its hint; RefusedError means that it is not here.
    """

    def findings(self) -> Sequence[Item | Unopened]:
        """Everything that this device holds, in the order to list it."""

    def open_item(self, item: str) -> Item:
        """The finding with this id. Raises RefusedError if this device does not hold it."""

    def thread(self, item: str) -> Sequence[Post]:
        """The posts about this finding, oldest first."""
