"""Versions of a finding and links between findings, as this reader may see them.

In: a state and the pieces. Out: values, or RefusedError for a relation that its author may not claim. A version counts
only by the person who wrote the one before; by anybody else it is a link. Of an item that does not open here nothing
is told: not its title, not its circle, not even whether it exists.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from darklantern.errors import RefusedError
from darklantern.library.opening import Author, Fetch, Listed, author_of, entries, find, is_mine, listed, packages
from darklantern.library.state import State
from darklantern.network.deciding import Follows
from darklantern.network.items import Package
from darklantern.network.links import Link, LinkKind, Relations, tidy_links, tidy_tags
from darklantern.records.assessments import Level


@dataclass(frozen=True)
class Linked:
    """One end of a link, seen from the other."""

    kind: LinkKind
    """what the item that holds the link does to the other"""
    item: str
    """the other end"""
    outgoing: bool
    """whether the item that was asked about holds the link; else the other end does"""
    title: str | None = None
    """None: this device cannot open it, and nothing more is told"""
    level: Level | None = None
    author: Author | None = None


def related(state: State, supersedes: str | None, links: Iterable[tuple[str, str]], tags: Iterable[str]) -> Relations:
    """Relations for an item that this device is about to seal. Raises RefusedError for what no reader would believe."""
    tidy = tidy_links(links)
    for link in tidy:
        find(state, "item", link.item)
    if supersedes is not None:
        old = find(state, "item", supersedes)
        if not is_mine(state, old):
            author = author_of(state, old.entry)
            raise RefusedError(
                f"item {supersedes[:8]}… is {author}'s, and only its author makes a new version of it",
                hint="share yours with a link to it: of kind 'builds-on', 'contradicts', 'replicates' or 'relates'",
            )
    return Relations(supersedes, tidy, tidy_tags(tags))


def newest(items: Sequence[Listed]) -> tuple[Listed, ...]:
    """Those of which no later version by the same person opens here. Two at once are both newest."""
    older = set(_predecessors({each.id: each for each in items}).values())
    return tuple(each for each in items if each.id not in older)


def versions(state: State, item: str, fetch: Fetch, follows: Follows) -> tuple[Listed, ...]:
    """All versions of an item that are here, older before newer, wherever in the row it stands. Raises RefusedError."""
    find(state, "item", item)
    everything = {found.entry.id: listed(state, found, fetch, follows) for found in entries(state, "item")}
    before = _predecessors(everything)
    first = item
    while first in before:
        first = before[first]
    row = [first]
    for each in row:  # grows while it is walked: breadth first
        row += [later for later, older in before.items() if older == each]
    return tuple(everything[each] for each in row)


def links(state: State, item: str, fetch: Fetch, follows: Follows) -> tuple[Linked, ...]:
    """Every link from an item, and every link to it that this device can read. Raises RefusedError."""
    find(state, "item", item)
    opened = {found.entry.id: (found, package, level) for found, package, level in packages(state, fetch, follows)}
    authors = {found.entry.id: author_of(state, found.entry) for found in entries(state, "item")}

    def other_end(link: Link, other: str, outgoing: bool) -> Linked:
        end = Linked(link.kind, other, outgoing)
        if other not in opened:
            return end
        _, package, level = opened[other]
        return replace(end, title=package.finding.title, level=level, author=authors[other])

    found = []
    for id, (_, package, _) in opened.items():
        for link in _links_of(id, package, authors):
            if id == item:
                found.append(other_end(link, link.item, outgoing=True))
            elif link.item == item:
                found.append(other_end(link, id, outgoing=False))
    return tuple(found)


def _links_of(id: str, package: Package, authors: Mapping[str, Author]) -> tuple[Link, ...]:
    """The links that an item holds, with the version that is none because somebody else wrote the one before."""
    old = package.supersedes
    if old is None or (old in authors and _same_person(authors[old], authors[id])):
        return package.links
    return (*package.links, Link(kind="relates", item=old))


def _predecessors(items: Mapping[str, Listed]) -> dict[str, str]:
    """item → the one that it is a new version of, where both are here and one person's."""
    claims = ((id, each.supersedes, each.author) for id, each in items.items())
    return {id: old for id, old, author in claims if old and old in items and _same_person(items[old].author, author)}


def _same_person(one: Author, other: Author) -> bool:
    return (one.org, one.person) == (other.org, other.person)
