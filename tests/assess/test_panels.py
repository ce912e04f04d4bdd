"""A panel from its beginning to its level: blind, revealed, rated again, disagreed on, opened by all or by nobody."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.assess.panels import Disagreement
from darklantern.errors import AssessmentError, RecordError
from darklantern.records import decode, encode
from darklantern.records.assessments import LEVELS
from darklantern.records.ratings import (
    Adjudicated,
    Closed,
    Overridden,
    PanelOpened,
    Rated,
    Rater,
    Seconded,
)

from .panels import BO, CY, EASY, OUT, RED, STEP, Log, agreed, opened, rated, rating


def test_a_panel_of_three_goes_through_its_phases() -> None:
    log = Log()
    id = log.begin()
    assert log.at().phase == "committing"
    assert {each.who for each in log.at().awaited} == {BO, OUT, RED}
    for who in (BO, OUT, RED):
        log.commit(id, rating(who))
    assert log.at().phase == "revealing" and not log.at().first
    for who in (BO, OUT, RED):
        log.reveal(id, rating(who))
    assert log.at().phase == "second round" and set(log.at().first) == {BO, OUT, RED} and log.at().blind
    for who in (BO, OUT, RED):
        log.again(id, rating(who, 2))
    now = log.at()
    assert now.phase == "done" and now.decision is not None and now.decision.operate == "V0"
    assert not now.refused and not now.disagreements and not now.late
    assert now.standing.level == "V4", "nobody has voted to open it"


def test_opening_takes_all_who_rated() -> None:
    log, id = agreed()
    log.vote(id, BO, "V1")
    log.vote(id, OUT, "V1")
    assert log.at().standing.level == "V4" and "1 of 3 have not voted" in log.at().standing.why[0]
    log.vote(id, RED, "V1")
    assert log.at().standing.level == "V1" and log.at().standing.why == ("opened to V1 by all 3 who rated",)
    log.vote(id, RED, "V1", agrees=False)
    assert log.at().standing.level == "V4", "one against is enough"


def test_the_most_closed_vote_counts_and_none_opens_below_the_answers() -> None:
    log, id = agreed()
    for who, level in ((BO, "V0"), (OUT, "V2"), (RED, "V0")):
        log.vote(id, who, level)
    assert log.at().standing.level == "V2"
    log = Log()
    id = log.begin()
    rated(log, id, *(rating(who, F="broken") for who in (BO, OUT, RED)))
    for who in (BO, OUT, RED):
        log.vote(id, who, "V0")
    now = log.at()
    assert now.decision is not None and now.decision.operate == "V2"
    assert now.standing.level == "V4" and all("only an override opens further" in each.why for each in now.refused)


def test_a_panel_that_ends_more_closed_closes_without_a_vote() -> None:
    log = Log()
    id = log.begin(level="V1")
    rated(log, id, *(rating(who, F="broken") for who in (BO, OUT, RED)))
    assert log.at().standing.level == "V2" and not log.at().refused


def test_disagreement_is_shown_and_the_most_closed_counts_meanwhile() -> None:
    log = Log()
    id = log.begin(level="V0")
    rated(log, id, rating(BO), rating(OUT), rating(RED, U="direct", W="unexplained"))
    now = log.at()
    assert now.phase == "adjudicating"
    assert [each.criterion for each in now.disagreements] == ["W", "U", None]
    assert (
        "eli, Cairn: direct" in now.disagreements[1].says and "bo, Aurora: none_or_diffuse" in now.disagreements[1].says
    )
    assert now.decision is not None and now.standing.level == now.decision.operate > "V1"


def test_what_two_see_alike_is_adjudicated_and_narrows_nothing() -> None:
    log = Log()
    id = log.begin(level="V4")
    rated(log, id, rating(BO), rating(OUT), rating(RED, W="unexplained"))
    before = log.at()
    assert [each.criterion for each in before.disagreements] == ["W"] and before.phase == "adjudicating"
    log.vote(id, BO, "V4")
    assert "the panel is not done" in log.at().refused[-1].why
    log.add(BO, Adjudicated(panel=id, criterion="W", values=("explained",), text="It predicted two more."))
    assert log.at().phase == "adjudicating", "one is not two"
    log.add(OUT, Adjudicated(panel=id, criterion="W", values=("explained",), text="It did."))
    now = log.at()
    assert now.phase == "done" and now.adjudicated == {"W": ("explained",)}
    assert now.decision is not None and before.decision is not None
    assert now.decision.operate == before.decision.operate
    for who in (RED, OUT):  # one of whom signs both
        log.add(who, Adjudicated(panel=id, criterion="W", values=("unexplained",), text="It did not."))
    assert log.at().adjudicated == {} and log.at().phase == "adjudicating"


def test_who_does_not_answer_in_time_is_unknown_and_never_agrees() -> None:
    log = Log()
    id = log.begin()
    for who in (BO, OUT):
        log.commit(id, rating(who))
    assert log.at(day=30).phase == "committing"
    assert log.at(day=2, month=12).phase == "revealing"
    for who in (BO, OUT):
        log.reveal(id, rating(who), day=2, month=12)
        log.again(id, rating(who, 2), day=3, month=12)
    now = log.at(day=16, month=12)
    assert now.phase == "done" and now.late == (RED,)
    assert now.decision is not None and now.decision.operate == "V4", "unknown is every value"
    for who in (BO, OUT):
        log.vote(id, who, "V4", day=16, month=12)
    assert log.at(day=17, month=12).standing.level == "V4"


def test_a_substitute_steps_in_for_the_one_they_are_named_for() -> None:
    log = Log()
    id = log.begin()
    for who in (BO, STEP, RED):
        log.commit(id, rating(who))
    for who in (BO, STEP, RED):
        log.reveal(id, rating(who))
    for who in (BO, STEP, RED):
        log.again(id, rating(who, 2))
    now = log.at()
    assert not now.late and now.second[OUT].rater == STEP
    log.commit(id, rating(OUT))
    assert "fay acts for this rater already" in log.at().refused[-1].why
    for who in (BO, STEP, RED):
        log.vote(id, who, "V0")
    assert log.at().standing.level == "V0"


# Closing and overriding


def test_closing_takes_one_and_ends_unless_seconded() -> None:
    log, id = agreed()
    for who in (BO, OUT, RED):
        log.vote(id, who, "V0")
    closing = log.add(RED, Closed(panel=id, level="V3", text="It was used against a model."))
    assert log.at().standing.level == "V3"
    assert log.at(day=23, month=12).standing.level == "V3"
    assert log.at(day=25, month=12).standing.level == "V0", "thirty days are over"
    log.add(RED, Seconded(panel=id, closing=closing))
    assert "somebody else" in log.at().refused[-1].why and log.at(day=25, month=12).standing.level == "V0"
    log.add(BO, Seconded(panel=id, closing=closing))
    assert log.at(day=25, month=12).standing.level == "V3"


def test_a_vote_after_a_closing_opens_again() -> None:
    log, id = agreed()
    log.add(RED, Closed(panel=id, level="V3", text="A mistake."))
    for who in (BO, OUT, RED):
        log.vote(id, who, "V1")
    assert log.at().standing.level == "V1"


def override(before="V4", after="V3", expires="2026-12-31", text="It is in print.") -> Overridden:
    return Overridden(panel=f"{0:064x}", before=before, after=after, code="already_public", text=text, expires=expires)


def test_an_override_takes_two_one_from_outside_and_expires() -> None:
    log, id = agreed()
    log.add(BO, override())
    log.add(RED, override())
    assert log.at().standing.level == "V4", "neither is from outside"
    log.add(OUT, override())
    now = log.at()
    assert (
        now.standing.level == "V3" and "signed by 3" in now.standing.why[0] and "already_public" in now.standing.why[0]
    )
    assert log.at(day=31, month=12).standing.level == "V3" and log.at(day=1, month=1, year=2027).standing.level == "V4"
    log.add(RED, Closed(panel=id, level="V4", text="It is not in print."))
    assert log.at(day=26).standing.level == "V4"


def test_an_override_lifts_no_closing_and_two_of_them_do_not_add_up() -> None:
    log, id = agreed()
    log.add(RED, Closed(panel=id, level="V4", text="It was used against a model."))
    for who in (BO, OUT):
        log.add(who, override())
    assert log.at().standing.level == "V4"
    for who in (BO, OUT, RED):
        log.vote(id, who, "V2")
    assert log.at().standing.level == "V2", "a vote of all lifts it"
    for before, after in (("V2", "V1"), ("V1", "V0")):
        for who in (BO, OUT):
            log.add(who, override(before, after))
    assert log.at().standing.level == "V1"


def test_an_override_loosens_by_one_level_and_closes_by_any() -> None:
    log, _ = agreed()
    for who in (BO, OUT):
        log.add(who, override(after="V2"))
    assert log.at().standing.level == "V4" and "one level at most" in log.at().refused[-1].why
    log, _ = agreed(level="V0")
    for who in (BO, OUT):
        log.add(who, override(before="V0", after="V4", text="A law."))
    assert log.at().standing.level == "V4"


# Who may be asked


@pytest.mark.parametrize(
    "raters",
    [
        (Rater(who=BO, role="outside"), Rater(who=RED, role="red_team")),
        (Rater(who=BO, role="outside"), Rater(who=CY, role="outside"), Rater(who=RED, role="member")),
        (Rater(who=BO, role="member"), Rater(who=CY, role="member"), Rater(who=RED, role="red_team")),
        (Rater(who=BO, role="outside"), Rater(who=BO, role="member"), Rater(who=RED, role="red_team")),
        (Rater(who=BO, role="outside", substitute=RED), Rater(who=CY, role="member"), Rater(who=RED, role="red_team")),
    ],
    ids=["two", "no red team", "nobody from outside", "one twice", "a substitute who rates"],
)
def test_a_panel_without_an_outsider_or_a_red_team_is_none(raters) -> None:
    told = encode(opened()).replace(
        encode(opened()).partition(b'"raters":')[2].partition(b',"commit_by"')[0], msgspec.json.encode(raters)
    )
    with pytest.raises(RecordError):
        decode(PanelOpened, told)


def test_deadlines_follow_each_other_and_acts_come_back_from_their_bytes() -> None:
    with pytest.raises(ValueError, match="one after the other"):
        opened(reveal_by="2026-11-30T00:00:00Z")
    with pytest.raises(ValueError, match="one answer"):
        rating(BO).__class__(
            finding="ab" * 32, table="t", rater=BO, round=1, answers=(Rated(criterion="U", values=("direct",)),) * 2
        )
    log, _ = agreed()
    for done in log.acts:
        assert decode(type(done.act), encode(done.act)) == done.act


def test_an_outsider_is_not_of_the_findings_own_organisation() -> None:
    log = Log()
    log.begin()
    with pytest.raises(AssessmentError, match="not from outside"):
        log.at(origin="Beacon")
    assert log.at(origin="Aurora").phase == "committing"
    with pytest.raises(AssessmentError, match="no panel"):
        Log().at()


# Nothing short of the quorum opens anything


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_acts_short_of_the_quorum_lower_the_level(data) -> None:
    log, id = agreed(level=data.draw(st.sampled_from(LEVELS)))
    level = log.at().standing.level
    people = data.draw(st.sampled_from([(BO, OUT), (BO, RED), (OUT, RED), (BO,), (OUT, CY), (CY, BO, RED)]))
    for _ in range(data.draw(st.integers(1, 8))):
        who, kind = data.draw(st.sampled_from(people)), data.draw(st.sampled_from(["vote", "close", "second", "again"]))
        if kind == "vote":
            log.vote(id, who, data.draw(st.sampled_from(LEVELS)), data.draw(st.booleans()))
        elif kind == "close":
            log.add(who, Closed(panel=id, level=data.draw(st.sampled_from(LEVELS)), text="because"))
        elif kind == "second":
            log.add(who, Seconded(panel=id, closing=data.draw(st.sampled_from(log.acts)).id))
        else:
            code = data.draw(st.sampled_from(sorted(EASY)))
            log.again(id, rating(who, 2, **{code: data.draw(st.sampled_from(["direct", "none", "robust", "tool"]))}))
    assert log.at().standing.level >= level


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9))
def test_no_first_rating_is_shown_before_all_have_committed(upto: int) -> None:
    log, _ = agreed()
    whole, log.acts = log.acts, log.acts[: upto + 1]
    now = log.at()
    assert now.first == {} or len([each for each in log.acts if "commitment" in str(each.act)]) == 3
    assert len(whole) == 10 and isinstance(now.disagreements, tuple)
    assert all(isinstance(each, Disagreement) for each in now.disagreements)
