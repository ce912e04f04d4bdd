"""Panels between two libraries: acts are sealed and signed like posts, a rating stays at home until it is revealed."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from assess.answers import TABLE
from network.world import NOW

from darklantern.assess.panels import panel
from darklantern.errors import RefusedError
from darklantern.network.clock import text
from darklantern.records.ratings import PanelOpened, Person, Rated, Rater, Rating, Voted
from library.orgs import Orgs, artifacts, assessment, finding, founded, reopened

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
    for library in (orgs.aurora, orgs.beacon):
        library.panels.reveal(item, begun)
    orgs.to_aurora()
    orgs.to_beacon()
    found = state(orgs, orgs.beacon, item)
    assert found == state(orgs, orgs.aurora, item) and set(found.first) == {ADA, BO} and found.phase == "second round"
    for library, who in ((orgs.aurora, ADA), (orgs.beacon, BO)):
        library.panels.rate_again(item, begun, rating(who, 2))
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
