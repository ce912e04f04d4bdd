"""A device's library as the page reads it: opened findings and posts become the page's own values."""

from collections.abc import Sequence
from dataclasses import dataclass

from darklantern.errors import DarkLanternError
from darklantern.library import Author as Signer
from darklantern.library import Library, Listed
from darklantern.page.views import Author, Item, Post, Readable, Unopened
from darklantern.records.assessments import Level


def readable(library: Library | Readable) -> Readable:
    """What the page reads from."""
    return Held(library) if isinstance(library, Library) else library


@dataclass(frozen=True, slots=True)
class Held:
    """An open library. Reading touches pieces on the disk and no database: any one thread at a time may ask."""

    library: Library

    def findings(self) -> Sequence[Item | Unopened]:
        """Newest first by the time that authors claim, which decides nothing but this order.

        Opens every item, for its claim and its curve.
        """
        newest = sorted(self.library.findings(), key=lambda listed: listed.time, reverse=True)
        return [self._one(listed) for listed in newest]

    def open_item(self, item: str) -> Item:
        """Raises RefusedError if it does not count here, SealError or RecordError if it does not open."""
        opened = self.library.open_item(item)
        members, left_out = self._audience(opened.circle, opened.level)
        return Item(
            id=opened.id,
            finding=opened.finding,
            level=opened.level,
            circle=self._name(opened.circle),
            author=_author(opened.author),
            audience=members,
            left_out=left_out,
            assessment=opened.assessment,
            tags=opened.markings,
            pending=opened.pending,
        )

    def thread(self, item: str) -> Sequence[Post]:
        """In the order of the circle's log."""
        return [Post(_author(post.author), post.time, post.text, post.pending) for post in self.library.thread(item)]

    def _one(self, listed: Listed) -> Item | Unopened:
        problem = listed.problem
        if problem is None:
            try:
                return self.open_item(listed.id)
            except DarkLanternError as error:
                problem = error.message
        return Unopened(listed.id, self._name(listed.circle), _author(listed.author), listed.time, problem)

    def _name(self, circle: str) -> str:
        terms = self.library.circles().get(circle)
        return circle[:12] if terms is None else terms.name

    def _audience(self, circle: str, level: Level) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The effective members now, and who of the circle's orgs is none, with the reason."""
        effective = self.library.effective(circle)
        persons = sorted({f"{member.person} ({member.org})" for member in effective.members})
        orgs = sorted({member.org for member in effective.members})
        return tuple(persons if level >= "V3" else orgs), tuple(str(excluded) for excluded in effective.excluded)


def _author(signer: Signer) -> Author:
    return Author(signer.name, signer.org)
