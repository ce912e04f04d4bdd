"""Who tries to rate with open eyes, for others, twice, from elsewhere, or too late."""

from dataclasses import replace

import msgspec
import pytest

from darklantern.records.ratings import Committed, Voted

from .panels import ADA, BO, CY, OUT, RED, Log, agreed, nonce, rating


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
