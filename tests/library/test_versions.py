"""New versions hide old ones, links show both ends, and nothing is told of what does not open."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network.world import device

from darklantern.errors import RecordError, RefusedError
from darklantern.library import Library, Linked
from darklantern.library.resealing import _renamed
from darklantern.library.sharing import _seal
from darklantern.network import new_terms
from darklantern.network.items import Package
from darklantern.network.links import KINDS, Link, check_order, tidy_links, tidy_tags
from darklantern.records.exact import decode, encode
from library.orgs import Orgs, artifacts, assessment, finding, found_circle, founded


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def share(library: Library, title: str, circle: str = "evals", **relations: object) -> str:
    what = finding(title=title)
    level = "V1" if circle == "commons" else "V2"
    return library.findings.share(what, artifacts(), circle=circle, assessment=assessment(what, level), **relations)  # type: ignore[arg-type]


def titles(library: Library, **how: bool) -> set[str | None]:
    return {each.title for each in library.findings.listed(**how)}


def test_a_new_version_stands_for_the_old_one_and_both_stay(orgs: Orgs) -> None:
    first = share(orgs.aurora, "draft")
    second = share(orgs.aurora, "better", supersedes=first)
    third = share(orgs.aurora, "best", supersedes=second)
    share(orgs.aurora, "another")
    orgs.to_beacon()
    for library in (orgs.aurora, orgs.beacon):
        assert titles(library) == {"best", "another"}
        assert titles(library, older=True) == {"draft", "better", "best", "another"}
        for asked in (first, second, third):
            assert [each.id for each in library.findings.versions(asked)] == [first, second, third]
        assert library.findings.open(first).finding.title == "draft"
        assert library.findings.links(second) == ()
    assert orgs.beacon.findings.open(third).relations.supersedes == second


def test_two_versions_at_once_are_both_newest(orgs: Orgs) -> None:
    first = share(orgs.aurora, "draft")
    left, right = (share(orgs.aurora, title, supersedes=first) for title in ("left", "right"))
    assert titles(orgs.aurora) == {"left", "right"}
    assert {each.id for each in orgs.aurora.findings.versions(left)} == {first, left, right}


def test_only_its_author_makes_a_new_version_and_by_anybody_else_it_is_a_link(orgs: Orgs) -> None:
    item = share(orgs.aurora, "Aurora's")
    orgs.to_beacon()
    with pytest.raises(RefusedError, match="only its author") as caught:
        share(orgs.beacon, "Beacon's", supersedes=item)
    assert "builds-on" in caught.value.hint
    forged = sealed_by_beacon(orgs, supersedes=item)
    orgs.to_aurora()
    for library in (orgs.aurora, orgs.beacon):
        assert titles(library) == {"Aurora's", "forged"}
        assert [each.id for each in library.findings.versions(item)] == [item]
        (link,) = library.findings.links(item)
        assert (link.kind, link.item, link.outgoing, link.title) == ("relates", forged, False, "forged")


def sealed_by_beacon(orgs: Orgs, **relations: object) -> str:
    """An item whose author's program does not check what it claims."""
    what = finding(title="forged")
    package = Package(finding=what, assessment=assessment(what), artifacts=(), **relations)  # type: ignore[arg-type]
    epoch = orgs.beacon.view.circle(orgs.circle).epoch
    assert epoch is not None
    state, item, pieces = _seal(orgs.beacon._desk.state, package, "item", orgs.circle, epoch, "V2", (), orgs.clock.now)
    orgs.beacon._desk.step(state, pieces)
    return item


def test_links_are_seen_from_both_ends(orgs: Orgs) -> None:
    old, base = share(orgs.aurora, "old"), share(orgs.aurora, "base")
    new = share(orgs.aurora, "new", links=[("contradicts", old), ("builds-on", base), ("builds-on", base)])
    orgs.to_beacon()
    me = orgs.beacon.findings.listed()[0].author
    assert orgs.beacon.findings.links(new) == (
        Linked("builds-on", base, True, "base", "V2", me),
        Linked("contradicts", old, True, "old", "V2", me),
    )
    assert orgs.beacon.findings.links(old) == (Linked("contradicts", new, False, "new", "V2", me),)


def test_p14_a_link_to_what_does_not_open_tells_nothing_but_that(orgs: Orgs) -> None:
    """Not even whether it is in a circle of others, in an epoch that is closed to this reader, or nowhere at all."""
    secret = found_circle(orgs.aurora, new_terms("aurora only", "V2"), orgs=("Aurora",))
    hidden = share(orgs.aurora, "hidden", circle="aurora only")
    shown = share(orgs.aurora, "shown", links=[("builds-on", hidden)], supersedes=hidden)
    orgs.to_beacon()
    assert device("bo").public.id not in orgs.aurora.view.circle(secret).epochs[0].members
    assert orgs.beacon.findings.links(shown) == (Linked("builds-on", hidden, True),)
    assert titles(orgs.beacon, older=True) == {"shown", None}
    hidden_in_list = next(each for each in orgs.beacon.findings.listed(older=True) if each.id == hidden)
    assert (hidden_in_list.title, hidden_in_list.tags, hidden_in_list.level) == (None, (), None)
    assert len(orgs.aurora.findings.links(shown)) == 1 and orgs.aurora.findings.links(shown)[0].title == "hidden"


def test_p14_relations_widen_no_label(orgs: Orgs) -> None:
    """A finding that somebody else wrote stays at its level, whatever it is said to be a version of or to build on."""
    item = share(orgs.aurora, "at V2")
    orgs.to_beacon()
    terms = new_terms("commons", "V1")
    wide = found_circle(orgs.aurora, terms)
    orgs.to_beacon()
    orgs.beacon.drafts.add_terms(wide, terms)
    with pytest.raises(RefusedError, match="author shared this finding at V2"):
        share(orgs.beacon, "at V2", circle="commons", links=[("relates", item)], tags=("open",))


def test_a_link_to_nothing_and_an_unknown_kind_are_refused(orgs: Orgs) -> None:
    item = share(orgs.aurora, "here")
    for relations, match in (
        ({"links": [("relates", "7" * 64)]}, "not in this library"),
        ({"links": [("relates", "x")]}, "ids of items"),
        ({"links": [("likes", item)]}, "no link is of kind 'likes'"),
        ({"supersedes": "7" * 64}, "not in this library"),
        ({"tags": ["a\nb\x07"]}, "printable"),
        ({"tags": [""]}, "1 to 60"),
        ({"tags": ["no-index"]}, "a marking of a circle"),
        ({"tags": ["x" * 61]}, "1 to 60"),
        ({"tags": [f"tag {n}" for n in range(33)]}, "at most 32 tags"),
    ):
        with pytest.raises(RefusedError, match=match):
            share(orgs.aurora, "refused", **relations)
    assert titles(orgs.aurora) == {"here"}


def test_tags_are_sealed_sorted_and_once(orgs: Orgs) -> None:
    item = share(orgs.aurora, "tagged", tags=["sleeper ", "attention", " two  words", "attention"])
    orgs.to_beacon()
    assert orgs.beacon.findings.open(item).relations.tags == ("attention", "sleeper", "two words")
    assert orgs.beacon.findings.listed()[0].tags == ("attention", "sleeper", "two words")


WORDS = st.text(st.characters(categories=("L", "N", "P"), include_characters=" "), min_size=1, max_size=20)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(
    tags=st.lists(WORDS.filter(str.strip), max_size=8),
    links=st.lists(st.tuples(st.sampled_from(KINDS), IDS), max_size=8),
)
def test_tidy_relations_come_back_from_their_bytes_and_no_other_order_does(tags, links) -> None:
    what = finding()
    tidy = {"tags": tidy_tags(tags), "links": tidy_links(links)}
    check_order(tidy["links"], tidy["tags"])
    package = Package(finding=what, assessment=assessment(what), artifacts=(), **tidy)
    assert decode(Package, encode(package)) == package
    assert tidy_tags(tidy["tags"]) == tidy["tags"]
    for name in ("tags", "links"):
        if len(tidy[name]) > 1:
            raw = msgspec.to_builtins(package)
            raw[name] = raw[name][::-1]
            with pytest.raises(RecordError, match="in order"):
                decode(Package, msgspec.json.encode(raw, order="deterministic"))


def test_a_package_with_more_than_its_bounds_is_refused() -> None:
    what = finding()
    base = msgspec.to_builtins(Package(finding=what, assessment=assessment(what), artifacts=()))
    for name, value in (
        ("tags", [f"tag {n:02}" for n in range(33)]),
        ("links", [{"kind": "relates", "item": f"{n:064x}"} for n in range(65)]),
        ("links", [{"kind": "likes", "item": "0" * 64}]),
        ("tags", ["a\u0000b"]),
        ("tags", ["use:safety-only"]),
    ):
        with pytest.raises(RecordError):
            decode(Package, msgspec.json.encode(base | {name: value}, order="deterministic"))
    assert Link(kind="relates", item="0" * 64) in tidy_links([("relates", "0" * 64)])


def test_links_to_items_that_were_sealed_again_stay_in_order() -> None:
    """Their new ids may sort the other way round, and a package out of order is none."""
    what, low, high = finding(), "1" * 64, "2" * 64
    package = Package(
        finding=what,
        assessment=assessment(what),
        artifacts=(),
        supersedes=low,
        links=tidy_links([("relates", low), ("relates", high)]),
    )
    again = _renamed(package, {low: "3" * 64})
    assert isinstance(again, Package) and decode(Package, encode(again)) == again
    assert again.supersedes == "3" * 64 and [link.item for link in again.links] == [high, "3" * 64]
