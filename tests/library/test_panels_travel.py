"""Panels between two libraries: acts are sealed and signed like posts, a rating stays at home until it is revealed."""

import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from assess.answers import TABLE, most_open
from network.world import NOW, PLEDGE, YEAR, person

from darklantern.assess.panels import newest, panel
from darklantern.errors import RefusedError
from darklantern.library import Library
from darklantern.network.clock import text
from darklantern.records.ratings import Closed, Committed, PanelOpened, Person, Rated, Rater, Rating, Voted
from library.carried import carried
from library.orgs import Orgs, artifacts, assessment, finding, founded, library, reopened
from library.test_crash import child, killed_after

DAY = 86_400
ADA, AL, BO = Person(org="Aurora", person="ada"), Person(org="Aurora", person="al"), Person(org="Beacon", person="bo")


@pytest.fixture
def orgs(tmp_path: Path):
    made = founded(tmp_path)
    yield made
    made.close()


def shared(orgs: Orgs) -> tuple[str, str]:
    """The item, and a panel that al of Aurora, bo of Beacon and ada for the red team are asked to."""
    found = finding()
    item = orgs.aurora.findings.share(found, artifacts(), circle="evals", assessment=assessment(found))
    opened = PanelOpened(
        finding="ab" * 32,
        table=TABLE.id,
        level="V2",
        raters=(Rater(who=AL, role="member"), Rater(who=BO, role="outside"), Rater(who=ADA, role="red_team")),
        commit_by=text(NOW + DAY),
        reveal_by=text(NOW + 2 * DAY),
        second_by=text(NOW + 3 * DAY),
    )
    begun = orgs.aurora.panels.act(item, opened)
    orgs.to_beacon()
    return item, begun


def rating(who: Person, number: int = 1, value: str = "indirect") -> Rating:
    answers = (Rated(criterion="U", values=(value,), text="canary of a rating"),)
    return Rating(finding="ab" * 32, table=TABLE.id, rater=who, round=number, answers=answers)


def whole(who: Person, number: int) -> Rating:
    """As all raters see it in `opened_by_all`: V1."""
    said = most_open(F="degrades")
    answers = tuple(Rated(criterion=code, values=(value,)) for code, value in said.items())
    return Rating(finding="ab" * 32, table=TABLE.id, rater=who, round=number, answers=answers, red_team="Nothing.")


def state(orgs: Orgs, library, item: str):
    heard = library.panels.acts(item)
    now = datetime.fromtimestamp(orgs.clock.now, UTC)
    return panel(heard.done, TABLE, now, origin="Aurora", unread=heard.unread)


def test_both_libraries_come_to_the_same_panel(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    orgs.aurora.panels.commit(item, begun, rating(ADA))
    orgs.beacon.panels.commit(item, begun, rating(BO, value="direct"))
    orgs.to_aurora()
    orgs.to_beacon()
    assert state(orgs, orgs.aurora, item) == state(orgs, orgs.beacon, item)
    assert state(orgs, orgs.beacon, item).phase == "committing"
    orgs.clock.now += DAY + 60  # al never comes
    for who in (orgs.aurora, orgs.beacon):
        who.panels.reveal(item, begun)
    orgs.to_aurora()
    orgs.to_beacon()
    found = state(orgs, orgs.beacon, item)
    assert found == state(orgs, orgs.aurora, item) and set(found.first) == {ADA, BO} and found.phase == "second round"
    for held, who in ((orgs.aurora, ADA), (orgs.beacon, BO)):
        held.panels.rate_again(item, begun, rating(who, 2))
    orgs.to_aurora()
    orgs.to_beacon()
    orgs.clock.now += 2 * DAY
    found = state(orgs, orgs.aurora, item)
    assert found == state(orgs, orgs.beacon, item)
    assert found.phase == "done" and found.late == (AL,) and not found.refused
    assert found.decision is not None and found.standing.level == found.decision.operate == "V4"


def test_a_rating_stays_at_home_until_it_is_revealed_and_outlives_the_process(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    orgs.beacon.panels.commit(item, begun, rating(BO))
    with pytest.raises(RefusedError, match="the first commitment counts"):
        orgs.beacon.panels.commit(item, begun, rating(BO, value="direct"))
    orgs.to_aurora()
    (_, committed) = orgs.aurora.panels.acts(item).done
    assert "canary" not in str(committed) and committed.who == BO
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    orgs.clock.now += DAY + 60
    orgs.beacon.panels.reveal(item, begun)
    assert state(orgs, orgs.beacon, item).first[BO] == rating(BO)
    with pytest.raises(RefusedError, match="committed to nothing"):
        orgs.aurora.panels.reveal(item, begun)


def test_nobody_rates_in_anothers_name(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    with pytest.raises(RefusedError, match="the rating is ada's"):
        orgs.beacon.panels.commit(item, begun, rating(ADA))
    assert orgs.beacon.panels.me == BO


def test_acts_are_no_posts(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    orgs.aurora.panels.act(item, Voted(panel=begun, level="V2", agrees=True, text="canary of a vote"))
    orgs.aurora.threads.post(item, "a post")
    orgs.to_beacon()
    thread = orgs.beacon.threads.open(item)
    assert [post.text for post in thread.posts] == ["a post"] and not thread.ignored and not thread.unreadable
    assert orgs.beacon.threads.unread() == {item: 1}
    assert orgs.beacon.care.verify() == ()
    assert not orgs.beacon.search("canary of a vote")
    with pytest.raises(RefusedError):
        orgs.beacon.threads.reply(begun, "an answer to an act")
    orgs.beacon.close()
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)
    assert len(orgs.beacon.panels.acts(item).done) == 2


def test_no_rating_leaves_this_device_while_others_may_commit(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    orgs.beacon.panels.commit(item, begun, rating(BO))
    before = orgs.beacon.panels.acts(item)
    with pytest.raises(RefusedError, match="not committed yet: al of Aurora, ada of Aurora"):
        orgs.beacon.panels.reveal(item, begun)
    assert orgs.beacon.panels.acts(item) == before
    with pytest.raises(RefusedError, match="no panel 0000"):
        orgs.beacon.panels.commit(item, "0" * 64, rating(BO))


def test_a_person_commits_once_whatever_devices_they_have(orgs: Orgs) -> None:
    orgs.manifest("Aurora", person("ada", "ada", "ada's other one"), person("al"))
    with library(orgs.folder / "other", "ada's other one", orgs.clock) as other:
        joined(orgs, other)
        item, begun = shared(orgs)
        orgs.aurora.panels.commit(item, begun, rating(ADA))
        carried(orgs.aurora, other)
        assert other.panels.me == ADA
        with pytest.raises(RefusedError, match="from another device"):
            other.panels.commit(item, begun, rating(ADA, value="direct"))


def test_an_act_that_does_not_open_opens_nothing(orgs: Orgs) -> None:
    """What is missing may be a closing."""
    item, begun = opened_by_all(orgs)
    assert state(orgs, orgs.beacon, item).standing.level == "V1"
    closing = orgs.aurora.panels.act(item, Closed(panel=begun, level="V4", text="It leaked."))
    for name in orgs.aurora.view.circle(orgs.circle).entries[closing].body.pieces:
        (orgs.folder / "aurora" / "blobs" / name[:2] / name).unlink()
    orgs.to_beacon()
    found = state(orgs, orgs.beacon, item)
    assert found.standing.level == "V2" and "words of ada of Aurora do not open here" in found.standing.why[0]
    (shut,) = orgs.beacon.panels.acts(item).unreadable
    assert shut.id == closing


def test_an_act_of_another_items_panel_counts_in_neither(orgs: Orgs) -> None:
    item, begun = opened_by_all(orgs)
    what = finding(b"another artifact")
    other = orgs.aurora.findings.share(
        what, artifacts(b"another artifact"), circle="evals", assessment=assessment(what)
    )
    orgs.to_beacon()
    orgs.beacon.panels.act(other, Closed(panel=begun, level="V4", text="in the wrong thread"))
    orgs.to_aurora()
    assert state(orgs, orgs.aurora, item).standing.level == "V1"
    assert len(orgs.aurora.panels.acts(other).done) == 1
    assert newest(orgs.aurora.panels.acts(other).done, datetime.now(UTC)) is None


def test_acts_of_a_device_that_was_revoked_end_with_it(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    orgs.beacon.panels.commit(item, begun, rating(BO))
    orgs.to_aurora()
    orgs.manifest("Beacon", person("bo", "bo's new one"), revoked=("bo",))
    orgs.beacon.panels.act(item, Closed(panel=begun, level="V4", text="said after it was revoked"))
    with pytest.raises(RefusedError, match="revoked"):
        orgs.to_aurora()
    found = orgs.aurora.panels.acts(item)
    assert [type(done.act).__name__ for done in found.done] == ["PanelOpened", "Committed"]


COMMIT = """
import os, signal, sys
from pathlib import Path
from library.orgs import Clock, reopened
from library.test_panels_travel import BO, rating
beacon = reopened(Path(sys.argv[1]), "bo", Clock())
print("ready", flush=True)
beacon.panels.commit(sys.argv[2], sys.argv[3], rating(BO))
print("committed", flush=True)
"""


@pytest.mark.slow
def test_kill_minus_nine_leaves_no_commitment_without_its_rating(orgs: Orgs) -> None:
    item, begun = shared(orgs)
    orgs.beacon.close()
    chance = random.Random(9)
    for n in range(6):
        folder = orgs.folder / f"beacon {n}"
        shutil.copytree(orgs.folder / "beacon", folder)
        said = killed_after(child(COMMIT, folder, item, begun), chance.uniform(0, 0.05))
        with reopened(folder, "bo", orgs.clock) as beacon:
            committed = any(isinstance(done.act, Committed) for done in beacon.panels.acts(item).done)
            assert committed == (begun in beacon._desk.state.own.unrevealed)
            assert committed or said != ["committed"]
    orgs.beacon = reopened(orgs.folder / "beacon", "bo", orgs.clock)


def joined(orgs: Orgs, newcomer: Library) -> None:
    """A device that pledges, so that what is shared from now on opens for it."""
    carried(orgs.aurora, newcomer)
    newcomer.members.pledge(PLEDGE, text(NOW + YEAR))
    carried(newcomer, orgs.aurora)
    orgs.to_beacon()


def opened_by_all(orgs: Orgs) -> tuple[str, str]:
    """A panel whose three raters agree on V1 for what was shared at V2, and all vote for it."""
    with library(orgs.folder / "al", "al", orgs.clock) as al:
        joined(orgs, al)
        item, begun = shared(orgs)
        everybody = ((orgs.aurora, ADA), (al, AL), (orgs.beacon, BO))
        for step in (
            lambda who, name: who.panels.commit(item, begun, whole(name, 1)),
            lambda who, name: who.panels.reveal(item, begun),
            lambda who, name: who.panels.rate_again(item, begun, whole(name, 2)),
            lambda who, name: who.panels.act(item, Voted(panel=begun, level="V1", agrees=True)),
        ):
            all_hear(orgs, al)
            assert state(orgs, al, item).standing.level == "V2"
            for who, name in everybody:
                step(who, name)
        all_hear(orgs, al)
    return item, begun


def all_hear(orgs: Orgs, al: Library) -> None:
    for who in (al, orgs.beacon, al):
        carried(who, orgs.aurora)
        carried(orgs.aurora, who)
