"""Searching what this device can read: which texts are indexed, and what a user's words ask for.

In: two states and the pieces, or a user's words. Out: documents for the index and ids that leave it, or hits. A user's
words are never SQLite's syntax. A circle that asks not to be indexed, or whose level is V3 or V4, is left out unless
this device's user opts in: an index is one more place where a word of it lies.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from darklantern.errors import DarkLanternError, SearchError
from darklantern.library.news import News, counting, since
from darklantern.library.opening import Fetch, Found, author_of, in_order, look_up, open_package, open_post, tags_of
from darklantern.library.state import State
from darklantern.library.threads.posting import standing
from darklantern.network.deciding import Follows
from darklantern.network.items import Package
from darklantern.records.exact import Time
from darklantern.records.posts import Post
from darklantern.stores.index import BEGIN, END, Query, Row
from darklantern.stores.values import Change, Document

OPTED: Final = "index "
"""Setting, with a circle's id behind it: "yes" or "no", whatever the circle asks for."""

_CLOSED: Final = frozenset({"V3", "V4"})
_MOST_TERMS: Final = 32
_TERM: Final = re.compile(r'"([^"]*)"(\*?)|(\S+)')
_MARKED: Final = re.compile(f"{BEGIN}([^{END}]*){END}")


@dataclass(frozen=True)
class Hit:
    """One text that fits. Title and excerpt are a peer's text: data, never markup."""

    id: str
    """of the item or post"""
    item: str
    """the item itself, or the thread that a post stands in"""
    kind: str
    circle: str
    org: str
    person: str
    time: Time
    title: str
    """of the finding, or of what the post stands in; empty where that is not in the index"""
    excerpt: tuple[tuple[str, bool], ...]
    """parts of the text where it fits best, each with whether it is what was looked for"""
    score: float
    """bm25 with a title worth four times a body: higher is better"""


def expression(text: str) -> str:
    """What FTS5 is asked for a user's words: all of them, "a phrase" as one, and words that begin like this*.

    Raises SearchError where there is no word.
    """
    terms = []
    for phrase, star, word in _TERM.findall(text.replace("\0", " ")):
        found = phrase or word
        if word.endswith("*"):
            found, star = word.rstrip("*"), "*"
        if any(letter.isalnum() for letter in found):
            quoted = found.replace('"', '""')
            terms.append(f'"{quoted}"{star}')
    if not 0 < len(terms) <= _MOST_TERMS:
        raise SearchError(
            f"expected 1 to {_MOST_TERMS} words to look for, got {len(terms)}",
            hint='words are found whole: "two words" in quotes as they stand, and begin* by their beginning',
        )
    return " ".join(terms)


def hit(row: Row) -> Hit:
    """A row of the index as its reader sees it."""
    return Hit(
        id=row.id,
        item=row.item,
        kind=row.kind,
        circle=row.circle,
        org=row.org,
        person=row.person,
        time=row.time,
        title=row.title,
        excerpt=_parts(row.excerpt),
        score=-row.score,
    )


def query(
    text: str,
    *,
    circle: str | None,
    author: str | None,
    tag: str | None,
    since: Time | None,
    older: bool,
    limit: int,
) -> Query:
    """The query for a user's words and filters. Raises SearchError."""
    return Query(expression(text), circle, author, tag, since, older, limit)


def is_indexed(state: State, circle: str) -> bool:
    """Whether a circle's texts go into the index here."""
    opted = state.settings.get(OPTED + circle)
    if opted:
        return opted == "yes"
    terms = state.keyring.terms.get(circle)
    return terms is not None and terms.level not in _CLOSED and "no-index" not in terms.tags


def with_texts(change: Change, old: State, new: State, what: News, fetch: Fetch, follows: Follows) -> Change:
    """`change`, which leads from `old` to `new`, with the texts that are new to the index or leave it.

    What cannot be opened yet is looked at again when its key, its circle's terms or a piece of it comes.
    """
    fresh = (*what.came, *what.again, *_of_fresh_circles(old, new))
    # An act that counts no longer was undone.
    subjects = {_subject(new, found.entry.id) for found in fresh} | {_subject(old, id) for id in what.gone}
    said = [found for id in subjects if (found := _counting_here(new, id))]
    texts = tuple(_documents(new, in_order(said), fetch, follows))
    # A post whose text was just taken back is still there, without one.
    silent = {found.entry.id for found in said} - {document.id for document in texts}
    return replace(change, documents=texts, unindexed=tuple(sorted({*what.gone, *silent, *_closed(old, new)})))


def unindexed(state: State, indexed: Collection[str]) -> News:
    """What an index that holds these texts lacks, and what it should not hold."""
    found = since(state, indexed)
    came = (each for each in found.came if _subject(state, each.entry.id) == each.entry.id)
    return News(tuple(each for each in came if _is_wanted(state, each)), found.gone)


def documents(state: State, fetch: Fetch, follows: Follows) -> Iterator[Document]:
    """Every text that belongs into the index."""
    subjects = (found for found in counting(state) if _subject(state, found.entry.id) == found.entry.id)
    wanted = (found for found in subjects if _is_wanted(state, found))
    return _documents(state, in_order(wanted), fetch, follows)


def _of_fresh_circles(old: State, new: State) -> Iterator[Found]:
    """The entries of circles that are indexed from now on, or whose terms have changed."""
    circles = {id for id in new.working.circles if is_indexed(new, id) and not is_indexed(old, id)}
    circles |= {id for id, each in new.keyring.terms.items() if old.keyring.terms.get(id) != each}
    return (found for found in counting(new) if found.circle.id in circles) if circles else iter(())


def _closed(old: State, new: State) -> Iterator[str]:
    """The entries of circles that are indexed no longer."""
    for circle in new.working.circles.values():
        if is_indexed(old, circle.id) and not is_indexed(new, circle.id):
            yield from circle.entries


def _counting_here(state: State, entry: str) -> Found | None:
    """An entry whose text belongs into the index, by its id."""
    found = look_up(state, "item", entry) or look_up(state, "post", entry)
    return found if found and _is_wanted(state, found) else None


def _is_wanted(state: State, found: Found) -> bool:
    """Whether it is indexed here, and there is a key to open it with."""
    return found.entry.body.header.epoch in state.keyring.seeds and is_indexed(state, found.circle.id)


def _subject(state: State, entry: str) -> str:
    """Whose text an entry says: its own, or that of the post which it is about."""
    place = state.threads.places.get(entry)
    return place.post if place and place.what != "post" and place.post else entry


def _documents(state: State, entries: Iterable[Found], fetch: Fetch, follows: Follows) -> Iterator[Document]:
    for found in entries:
        try:
            yield _document(state, found, fetch, follows)
        except DarkLanternError:  # it does not open here: `Care.verify` lists it with the reason
            continue


def _document(state: State, found: Found, fetch: Fetch, follows: Follows) -> Document:
    entry, author = found.entry, author_of(state, found.entry)
    document = Document(
        id=entry.id,
        item=entry.id,
        circle=found.circle.id,
        kind=entry.record.kind,
        org=author.org,
        person=author.person,
        time=entry.record.time,
        title="",
        body="",
    )
    if entry.record.kind == "post":
        post = standing(state, entry.id, fetch)
        content = open_post(state, found, fetch).content
        title = content.title if isinstance(content, Post) else None
        return replace(document, item=state.threads.places[entry.id].thread, title=title or "", body=post.text or "")
    package, _ = open_package(state, found, fetch, follows)
    return replace(
        document,
        title=package.finding.title,
        body="\n".join(_texts(package)),
        tags=tags_of(package),
        supersedes=package.supersedes,
    )


def _texts(package: Package) -> Iterator[str]:
    yield package.finding.claim
    for evidence in package.finding.evidence:
        yield evidence.method
        yield evidence.summary
        yield from (f"{event.label} {event.text}" for event in evidence.events)


def _parts(excerpt: str) -> tuple[tuple[str, bool], ...]:
    pieces = _MARKED.split(excerpt)  # outside, inside, outside …
    return tuple((text, bool(place % 2)) for place, text in enumerate(pieces) if text)
