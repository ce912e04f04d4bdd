"""The page over a real library: two orgs, a sealed finding, a thread, and an item that does not open."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from library.orgs import Orgs, artifacts, assessment, finding, founded

from darklantern.assess import load
from darklantern.errors import RefusedError
from darklantern.network.items import finding_hash
from darklantern.page import Author, Item, home, report, serve
from darklantern.page.reading import OpenLibrary, readable
from darklantern.records.ratings import Closed, PanelOpened, Person, Rater

from .client import owner
from .reading import parsed, text
from .samples import Shelf


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    made = founded(tmp_path)
    yield made
    made.close()


def test_what_was_shared_is_what_the_page_shows(orgs: Orgs) -> None:
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))
    orgs.to_beacon()
    orgs.beacon.threads.post(item, "Does it survive fine-tuning?")

    held = readable(orgs.beacon)
    (shown,) = held.findings()
    assert isinstance(shown, Item) and shown == held.open_item(item)
    assert (shown.finding, shown.level, shown.circle, shown.tags) == (what, "V2", "evals", ("use:safety-only",))
    assert shown.author == Author("Dr ada", "Aurora") and shown.audience == ("Aurora", "Beacon")
    (left_out,) = shown.left_out
    assert left_out.startswith("al of Aurora (device ") and left_out.endswith("has not signed the pledge 'no-frontier'")
    assert not shown.pending
    (post,) = held.thread(item).posts
    assert (post.author, post.text, post.pending) == (Author("Dr bo", "Beacon"), "Does it survive fine-tuning?", True)

    said = text(parsed(report(shown, held.thread(item))))
    for want in ("evals: Aurora, Beacon", "al of Aurora", "use:safety-only", "Does it survive fine-tuning?"):
        assert want in said
    assert what.title in text(parsed(home(held.findings())))


def test_a_panel_of_a_real_item_is_shown(orgs: Orgs) -> None:
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))
    asked = (("Aurora", "ada", "red_team"), ("Aurora", "al", "member"), ("Beacon", "bo", "outside"))
    raters = tuple(Rater(who=Person(org=org, person=who), role=role) for org, who, role in asked)  # type: ignore[arg-type]
    times = dict(commit_by="2036-01-01T00:00:00Z", reveal_by="2036-01-02T00:00:00Z", second_by="2036-01-03T00:00:00Z")
    opened = PanelOpened(finding=finding_hash(what), table=load().id, level="V2", raters=raters, **times)
    begun = orgs.aurora.panels.act(item, opened)
    orgs.to_beacon()
    orgs.beacon.panels.act(item, Closed(panel=begun, level="V3", text="It names people."))
    held = readable(orgs.beacon)
    shown = held.open_item(item)
    said = text(parsed(report(shown, held.thread(item), held.panel(shown))))
    assert "committing; level now V3: closed to V3 by 1 of its raters" in said and "Aurora/al: a commitment" in said
    assert "Its raters see it as V3, and it was shared at V2." in said


def test_an_item_that_is_not_here(orgs: Orgs) -> None:
    with pytest.raises(RefusedError):
        OpenLibrary(orgs.aurora).open_item("0" * 64)
    with serve(orgs.aurora) as page:
        me = owner(page)
        assert me.ask("finding/" + "0" * 64).status == 404
        assert "darklantern demo" in me.ask().body


def test_serving_a_real_library(orgs: Orgs) -> None:
    """The server's thread reads what this thread opened."""
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))
    with serve(orgs.aurora) as page:
        me = owner(page)
        assert what.title in me.ask().body
        assert me.ask(f"finding/{item}").status == 200


def test_an_item_whose_pieces_are_missing_is_listed_with_the_reason(orgs: Orgs) -> None:
    what = finding()
    item = orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))
    orgs.to_beacon()
    for piece in (orgs.folder / "beacon").rglob("*"):
        if piece.is_file() and "blobs" in str(piece.parent):
            piece.unlink()
    (shut,) = OpenLibrary(orgs.beacon).findings()
    assert not isinstance(shut, Item) and shut.id == item and shut.circle == "evals" and shut.problem
    assert shut.problem[:20] in text(parsed(home([shut])))


def test_anything_readable_is_taken_as_it_is() -> None:
    shelf = Shelf()
    assert readable(shelf) is shelf
