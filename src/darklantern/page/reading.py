"""A device's library as the page reads it: opened findings and posts become the page's own values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from darklantern.assess.panels import Panel, newest
from darklantern.errors import AssessmentError, DarkLanternError
from darklantern.library import Author as Signer
from darklantern.library import Library, Listed, ThreadPost
from darklantern.library import Thread as ThreadHeld
from darklantern.library.threads.attaching import safe_name
from darklantern.page.views import Author, Download, File, Item, Post, Reacted, Readable, Thread, Topic, Unopened
from darklantern.records.assessments import Level

MOST_TOPICS = 200


def readable(library: Library | Readable) -> Readable:
    """What the page reads from."""
    return OpenLibrary(library) if isinstance(library, Library) else library


@dataclass(frozen=True, slots=True)
class OpenLibrary:
    """An open library. Reading touches pieces on the disk and no database: any one thread at a time may ask."""

    library: Library

    def findings(self) -> Sequence[Item | Unopened]:
        """Newest first by the time that authors claim, which decides nothing but this order.

        Opens every item, for its claim and its curve.
        """
        newest = sorted(self.library.findings.listed(), key=lambda listed: listed.time, reverse=True)
        unread = self.library.threads.unread()
        return [self._one(listed, unread.get(listed.id, 0)) for listed in newest]

    def open_item(self, item: str) -> Item:
        """Raises RefusedError if it does not count here, SealError or RecordError if it does not open."""
        opened = self.library.findings.open(item)
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
            tags=(*opened.markings, *opened.relations.tags),
            pending=opened.pending,
        )

    def thread(self, thread: str) -> Thread:
        """Each post before its answers, both in the order of the circle's log."""
        found = self.library.threads.open(thread)
        return Thread(tuple(map(_post, found.posts)), found.title, self._name(found.circle), _notes(found))

    def panel(self, item: Item) -> Panel | AssessmentError | None:
        """Whatever its acts come to now."""
        acts = self.library.panels.acts(item.id)
        answers = item.assessment.answers if item.assessment else ()
        try:
            return newest(acts.done, datetime.now(UTC), answers, item.author.org, acts.unread, item.level)
        except AssessmentError as error:
            return error

    def topics(self) -> Sequence[Topic]:
        """The newest by the time that authors claim: a title takes a millisecond, and anybody begins many."""
        return [
            Topic(each.id, each.title, self._name(each.circle), each.posts, each.unread, each.newest)
            for each in self.library.threads.listed(about_items=False, limit=MOST_TOPICS)
        ]

    def attachment(self, post: str, sha256: str) -> Download:
        """Raises RefusedError for what is no attachment of a post that stands, SealError for what does not open."""
        reader = self.library.threads.open_attachment(post, sha256)
        named = next(each for each in self.library.threads.open_post(post).attachments if each.sha256 == sha256)
        return Download(safe_name(named.name), named.size, reader.stream())

    def _one(self, listed: Listed, unread: int) -> Item | Unopened:
        problem = listed.problem
        if problem is None:
            try:
                return replace(self.open_item(listed.id), unread=unread)
            except DarkLanternError as error:
                problem = error.message
        return Unopened(listed.id, self._name(listed.circle), _author(listed.author), listed.time, problem)

    def _name(self, circle: str) -> str:
        terms = self.library.circles().get(circle)
        return circle[:12] if terms is None else terms.name

    def _audience(self, circle: str, level: Level) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The effective members now, and who of the circle's orgs is none, with the reason."""
        effective = self.library.members.effective(circle)
        persons = sorted({f"{member.person} ({member.org})" for member in effective.members})
        orgs = sorted({member.org for member in effective.members})
        return tuple(persons if level >= "V3" else orgs), tuple(str(excluded) for excluded in effective.excluded)


def _post(post: ThreadPost) -> Post:
    return Post(
        author=_author(post.author),
        time=post.time,
        text=post.text,
        pending=post.pending,
        id=post.id,
        answers=post.reply_to,
        depth=post.depth,
        earlier=tuple((version.time, version.text) for version in post.versions),
        files=tuple(File(each.name, each.media, each.sha256, each.size) for each in post.attachments),
        reactions=tuple(Reacted(each.emoji, tuple(str(author) for author in each.people)) for each in post.reactions),
        unread=post.unread,
    )


def _notes(found: ThreadHeld) -> tuple[str, ...]:
    return (
        *(f"Counts for nothing: a {each.what} by {each.author}: {each.reason}" for each in found.ignored),
        *(f"Does not open here: a record by {each.author}: {each.reason}" for each in found.unreadable),
    )


def _author(signer: Signer) -> Author:
    return Author(signer.name, signer.org)
