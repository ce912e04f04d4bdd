"""How an item stands to others: what it supersedes, what it links to, and words for people to find it by.

In: item ids, kinds and words. Out: the one order in which they may be sealed, or an error. Whether the other item is
there, and whose it is, is judged by who holds the logs. None of it widens a label: a link carries an id and no text.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from darklantern.errors import RefusedError
from darklantern.network.circles import TAGS
from darklantern.records.exact import Sha256, Value

LinkKind = Literal["relates", "replicates", "contradicts", "builds-on"]
"""What this item does to the other. Few, so that everybody means the same by them."""

KINDS: Final[tuple[LinkKind, ...]] = ("relates", "replicates", "contradicts", "builds-on")
MOST_LINKS: Final = 64
MOST_TAGS: Final = 32
LONGEST_TAG: Final = 60

Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TAG)]
_T = TypeVar("_T")


class Link(Value, frozen=True, kw_only=True):
    """From the item that holds it to another."""

    kind: LinkKind
    item: Sha256


@dataclass(frozen=True)
class Relations:
    """All that an item says of itself and others. Sorted, each once."""

    supersedes: str | None = None
    """the item of which this is a new version"""
    links: tuple[Link, ...] = ()
    tags: tuple[str, ...] = ()


UNRELATED: Final = Relations()
"""What most items say."""


def tidy_links(links: Iterable[tuple[str, str]]) -> tuple[Link, ...]:
    """(kind, item) pairs as they are sealed. Raises RefusedError for an unknown kind, or for too many."""
    pairs = sorted(set(links))
    unknown = [kind for kind, _ in pairs if kind not in KINDS]
    if unknown:
        raise RefusedError(f"no link is of kind {unknown[0]!r}", hint=f"one of {', '.join(KINDS)}")
    _check_count(pairs, MOST_LINKS, "links")
    try:
        return msgspec.convert([{"kind": kind, "item": item} for kind, item in pairs], tuple[Link, ...])
    except msgspec.ValidationError as error:
        raise RefusedError(f"expected ids of items to link to: {error}", hint="copy the whole id") from error


def tidy_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Words as they are sealed: without spaces around them, each once. Raises RefusedError for one that is no word."""
    tidy = sorted({" ".join(unicodedata.normalize("NFC", tag).split()) for tag in tags})
    markings = [tag for tag in tidy if tag in TAGS]
    if markings:
        raise RefusedError(
            f"{markings[0]!r} is a marking of a circle, and a tag must not look like one",
            hint="what is asked of use and handling stands in the circle's terms",
        )
    bad = [tag for tag in tidy if not 0 < len(tag) <= LONGEST_TAG or not tag.isprintable()]
    if bad:
        raise RefusedError(
            f"expected tags of 1 to {LONGEST_TAG} printable characters, got {bad[0]!r}",
            hint="a tag is a word or two for people to find it by; the claim has room for more",
        )
    _check_count(tidy, MOST_TAGS, "tags")
    return tuple(tidy)


def check_order(links: Sequence[Link], tags: Sequence[str]) -> None:
    """Raises ValueError unless both are as `tidy_links` and `tidy_tags` give them: one content, one byte string."""
    pairs = [(link.kind, link.item) for link in links]
    if pairs != sorted(set(pairs)):
        raise ValueError("expected links in order, each once")
    if list(tags) != sorted(set(tags)) or any(" ".join(tag.split()) != tag or not tag.isprintable() for tag in tags):
        raise ValueError("expected printable tags in order, each once")
    if not TAGS.isdisjoint(tags):
        raise ValueError("expected words, got a circle's marking as a tag")


def _check_count(values: Sequence[_T], most: int, what: str) -> None:
    if len(values) > most:
        raise RefusedError(f"expected at most {most} {what}, got {len(values)}", hint="keep those that help a reader")
