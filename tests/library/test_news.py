"""A step looks only at what is new, and the indexes are what going through everything would give."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import NOW, PLEDGE, YEAR, device, person

from darklantern.errors import DarkLanternError
from darklantern.library.news import news
from darklantern.network.clock import text
from darklantern.records.exact import encode
from darklantern.sealing import decode_envelope, sign
from library.indexes import check_indexes
from library.meeting import met
from library.orgs import Orgs, founded, library, reopened, share


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def test_every_kind_of_step_leaves_both_indexes_right(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    question = orgs.beacon.threads.post(item, "Which seed?")
    answer = orgs.beacon.threads.reply(question, "Seven.")
    for step in (
        orgs.to_aurora,
        lambda: orgs.beacon.threads.revise(question, "Which seeds?"),
        lambda: orgs.beacon.threads.retract(answer),
        lambda: orgs.aurora.threads.react(question, "👀"),
        orgs.to_beacon,
        orgs.to_aurora,
        lambda: orgs.beacon.bury(question),
        orgs.to_aurora,
        lambda: orgs.aurora.care.set_indexed("evals", False),
        lambda: orgs.aurora.threads.begin("evals", "Names", "By date?"),
        lambda: orgs.aurora.care.set_indexed("evals", True),
        lambda: orgs.aurora.members.rotate("evals"),
        lambda: orgs.aurora.threads.post(item, "after"),
        lambda: orgs.aurora.care.compact(
            orgs.aurora.care.compaction([orgs.aurora.view.circle(orgs.circle).epochs[0].id])
        ),
        orgs.to_beacon,
        lambda: orgs.aurora.bury(item),
        orgs.to_beacon,
        orgs.to_aurora,
    ):
        step()
        for each in (orgs.aurora, orgs.beacon):
            check_indexes(each)


def test_what_another_copy_of_a_log_lacks_leaves_the_indexes(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.to_beacon()
    late = orgs.beacon.threads.post(item, "a late word")
    behind = orgs.aurora._desk.state
    orgs.to_aurora()
    assert [hit.id for hit in orgs.aurora.search("late")] == [late]
    orgs.aurora._desk.step(behind)
    check_indexes(orgs.aurora)
    assert orgs.aurora.search("late") == ()


def test_what_opens_later_is_placed_and_indexed_then(orgs: Orgs, tmp_path: Path) -> None:
    """A new member takes all in before there is a key for it, and learns the key, then the rest."""
    item = share(orgs)
    with library(tmp_path / "cy", "cy", orgs.clock) as new:
        orgs.manifest("Cairn", person("cy", "cy"))
        orgs.aurora.bundles.export_to(tmp_path / "one")
        new.bundles.import_from(tmp_path / "one")
        check_indexes(new)
        new.members.pledge(PLEDGE, text(NOW + YEAR))
        check_indexes(new)
    with reopened(tmp_path / "cy", "cy", orgs.clock) as new:
        check_indexes(new)
        with pytest.raises(DarkLanternError):
            new.findings.open(item)


def test_a_library_that_is_opened_has_both_indexes_as_they_were(orgs: Orgs) -> None:
    item = share(orgs)
    orgs.aurora.threads.revise(orgs.aurora.threads.post(item, "frist"), "first")
    before = orgs.aurora._desk.held.threads
    orgs.aurora.close()
    with reopened(orgs.folder / "aurora", "ada", orgs.clock) as again:
        check_indexes(again)
        assert again._desk.held.threads == before


def test_a_step_tells_of_nothing_but_what_is_new(orgs: Orgs) -> None:
    item = share(orgs)
    for word in ("one", "two"):
        orgs.aurora.threads.post(item, word)
    before = orgs.aurora._desk.held
    third = orgs.aurora.threads.post(item, "three")
    assert news(before, orgs.aurora._desk.held).ids == {third}
    assert news(orgs.aurora._desk.held, before).gone == {third}
    assert not news(before, before).ids


def test_a_better_copy_of_an_entry_is_news(tmp_path: Path) -> None:
    """Its id leaves out signatures, so the log is the same to the last hash."""
    us = met(tmp_path)
    item = us.share()
    us.sync()
    post = us.aurora.threads.post(item, "giraffe")
    us.aurora.relays.sync([us.relay])
    log = us.relay.logs[us.circle]
    good = decode_envelope(log[-1])
    log[-1] = encode(sign(good.payload_type, good.payload, [device("stranger").signing]))
    us.beacon.relays.sync([us.relay])
    assert us.beacon.search("giraffe") == () and [leaf.id for leaf in us.beacon.opaque] == [post]
    log[-1] = encode(good)
    us.beacon.relays.sync([us.relay])
    check_indexes(us.beacon)
    assert [hit.id for hit in us.beacon.search("giraffe")] == [post] and us.beacon.opaque == ()
    us.close()
