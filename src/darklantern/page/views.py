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
    """the organisations or persons that the circle names"""
    assessment: Assessment | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """One post of a thread. `time` is the author's claim."""

    author: Author
    time: str
    text: str


class Library(Protocol):
    """What the page asks of a library. All three are called from the thread that serves, one at a time."""

    def findings(self) -> Sequence[Item]:
        """All findings that this device may open, in the order to list them."""

    def open_item(self, item: str) -> Item | None:
        """The finding with this id; None if this device does not hold it."""

    def thread(self, item: str) -> Sequence[Post]:
        """The posts about this finding, oldest first."""
