"""Who tries to rate with open eyes, for others, twice, from elsewhere, or too late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from darklantern.assess.panels import newest
from darklantern.errors import AssessmentError
from darklantern.records.ratings import Closed, Committed, RatedAgain, Rater, Seconded, Voted

from .panels import ADA, BO, CY, OUT, RED, STEP, Log, agreed, nonce, rating

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def whys(log: Log) -> str:
    return " | ".join(each.why for each in log.at().refused)


def test_a_copied_commitment_is_none() -> None:
    log = Log()
    id = log.begin()
    log.commit(id, rating(BO))
    log.commit(id, rating(BO), who=RED)
    assert "a copy of somebody else's commitment" in whys(log) and RED in {each.who for each in log.at().awaited}


def test_somebody_elses_rating_reveals_nothing() -> None:
    log = Log()
    id = log.begin()
    for who in (BO, OUT, RED):
        log.commit(id, rating(who))
    log.reveal(id, rating(BO), who=RED)
    assert "it is somebody else's rating" in whys(log) and RED not in log.at().first


def test_who_changes_their_mind_between_commitment_and_reveal_has_said_nothing() -> None:
    log = Log()
    id = log.begin()
    for who in (BO, OUT, RED):
        log.commit(id, rating(who))
    log.reveal(id, rating(BO, U="direct"))
    assert "it is not what was committed to" in whys(log) and BO not in log.at().first
    log.reveal(id, rating(BO))
    assert BO in log.at().first


def test_an_early_reveal_does_not_count_and_whoever_commits_after_it_was_not_blind() -> None:
    log = Log()
    id = log.begin()
    log.commit(id, rating(BO))
    log.reveal(id, rating(BO))
    assert "not all have committed" in whys(log) and not log.at().first and log.at().blind
    log.commit(id, rating(OUT))
    assert not log.at().blind
    log.commit(id, rating(RED))
    log.reveal(id, rating(BO))
    assert BO in log.at().first, "it may be revealed again"


def test_the_first_commitment_counts() -> None:
    log = Log()
    id = log.begin()
    log.commit(id, rating(BO))
    log.commit(id, rating(BO, U="direct"))
    assert "committed already" in whys(log)


def test_a_rating_without_a_commitment_is_none() -> None:
    log = Log()
    id = log.begin()
    log.reveal(id, rating(BO))
    log.again(id, rating(BO, 2))
    assert "nothing was committed to" in whys(log) and "no first rating" in whys(log)


@pytest.mark.parametrize("who", [ADA, CY])
def test_whoever_is_no_rater_changes_nothing_but_the_list_of_refused(who) -> None:
    log, id = agreed()
    before = log.at()
    log.commit(id, rating(who))
    log.vote(id, who, "V0")
    log.again(id, rating(who, 2, U="direct"))
    after = log.at()
    assert len(after.refused) == 3 and all("no rater of this panel" in each.why for each in after.refused)
    assert replace(after, refused=before.refused, standing=before.standing) == before
    assert after.standing.level == before.standing.level


def test_acts_of_another_panel_are_no_acts_of_this_one() -> None:
    log, id = agreed()
    before = log.at()
    log.add(BO, Voted(panel="f" * 64, level="V0", agrees=True))
    log.add(RED, Committed(panel="f" * 64, commitment="0" * 64))
    assert log.at() == before
    other = rating(BO, 2)
    log.again(id, msgspec.structs.replace(other, finding="cd" * 32))
    assert "another finding" in whys(log)


def test_what_comes_too_late_is_too_late() -> None:
    log = Log()
    id = log.begin()
    for who in (BO, OUT):
        log.commit(id, rating(who))
    log.commit(id, rating(RED), day=2, month=12)
    assert "the time to commit is over" in whys(log)
    for who in (BO, OUT):
        log.reveal(id, rating(who), day=2, month=12)
    log.again(id, rating(BO, 2), day=16, month=12)
    assert "the time for the second round is over" in whys(log)


def test_answers_that_are_none_are_refused() -> None:
    log = Log()
    id = log.begin()
    made = rating(BO, U="perhaps")
    log.commit(id, made)
    for who in (OUT, RED):
        log.commit(id, rating(who))
    log.reveal(id, made)
    assert "its answer to U is not one of" in whys(log)
    assert nonce(BO) != nonce(RED)


def rated_and_opened(log: Log, id: str, to: str = "V0") -> None:
    """Everybody rates it as harmless, twice, and votes for it."""
    for step in ("commit", "reveal"):
        for who in (BO, OUT, RED):
            getattr(log, step)(id, rating(who))
    for who in (BO, OUT, RED):
        log.add(who, RatedAgain(panel=id, rating=rating(who, 2)))
    for who in (BO, OUT, RED):
        log.add(who, Voted(panel=id, level=to, agrees=True))


def test_a_new_panel_begins_where_the_last_one_stands_whatever_it_says() -> None:
    log = Log()
    first = log.begin(level="V2")
    log.add(OUT, Closed(panel=first, level="V4", text="used against a model"))
    log.begin(level="V0")
    assert newest(log.acts, NOW, level="V2").standing.level == "V4"
    assert newest(log.acts[2:], NOW, level="V2").standing.level == "V2"  # the item's own level holds too
    assert newest([], NOW) is None


def test_a_rater_of_an_earlier_panel_can_close_what_a_later_one_opened() -> None:
    log = Log()
    others = (Rater(who=ADA, role="member"), Rater(who=STEP, role="outside"), Rater(who=CY, role="red_team"))
    first = log.begin(raters=others)
    second = log.begin()
    rated_and_opened(log, second)
    assert newest(log.acts, NOW, level="V4").standing.level == "V0"
    closing = log.add(STEP, Closed(panel=first, level="V3", text="seen once more"))
    assert newest(log.acts, NOW, level="V4").standing.level == "V3"
    log.add(BO, Seconded(panel=second, closing=closing))
    assert newest(log.acts, NOW + timedelta(days=400), level="V4").standing.level == "V3"
    log.add(STEP, Seconded(panel=first, closing=closing))
    stranger = log.add(CY, Closed(panel=second, level="V4", text="no rater of that one"))
    found = newest(log.acts, NOW, level="V4")
    assert found.standing.level == "V3" and stranger in {each.id for each in found.refused}


@pytest.mark.parametrize("wrong", [{"table": "levels/9.9.9"}, {"table": "other"}])
def test_a_panel_that_cannot_be_ends_no_other(wrong) -> None:
    log = Log()
    good = log.begin(level="V3")
    bad = log.begin(level="V0", **wrong)
    found = newest(log.acts, NOW, level="V2")
    assert found.id == good and found.standing.level == "V3" and bad in {each.id for each in found.refused}
    with pytest.raises(AssessmentError, match="no panel here can be"):
        newest(log.acts[1:], NOW)
