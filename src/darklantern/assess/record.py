"""Answers about one finding → the record of its assessment, and the check that a record follows from its answers."""

from collections.abc import Iterable
from datetime import date

import msgspec

from darklantern.assess.combine import combine
from darklantern.assess.decide import decide, ends
from darklantern.assess.explain import lowering_lines, rule_line
from darklantern.assess.review import review_due
from darklantern.assess.table import Table, load
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer, Assessment, ClosureCost
from darklantern.records.exact import Sha256


def assess(
    finding: Sha256,
    answers: Iterable[Answer],
    table: Table,
    *,
    today: date,
    closure_cost: ClosureCost | None = None,
) -> Assessment:
    """The assessment of the finding with that hash.

    Raises AssessmentError for an answer that the table does not have.
    """
    answers = tuple(answers)
    decision = decide(answers, table)
    return Assessment(
        finding=finding,
        table=table.id,
        answers=answers,
        lowest=decision.lowest,
        operate=decision.operate,
        run=decision.run,
        binding=tuple(rule_line(rule, table) for rule in decision.outcome.binding),
        lowering=lowering_lines(decision, table),
        review_due=review_due(decision.operate, today, table),
        closure_cost=closure_cost or ClosureCost(),
    )


def follows(assessment: Assessment, table: Table) -> bool:
    """Whether everything that the record concludes follows from its own answers by this table.

    For whoever receives an assessment: its level is a conclusion to check, not a claim to believe.
    The answers themselves are claims, and a review date is checked only for being there.
    Raises AssessmentError for an answer that the table does not have.
    """
    again = assess(assessment.finding, assessment.answers, table, today=date.min, closure_cost=assessment.closure_cost)
    if (again.review_due is None) != (assessment.review_due is None):
        return False
    return msgspec.structs.replace(again, review_due=assessment.review_due) == assessment


def level_follows(assessment: Assessment) -> bool:
    """Whether range, level and run follow from the record's own answers by the table that it names.

    For a library, before it seals or opens: tens of microseconds. False where this program does not have that
    table, or the table not such an answer: what nobody here can check is not believed. The sentences of `binding` and
    `lowering` are for `follows`: a later version may word them anew, and nothing must become unreadable for that.
    """
    table = load()
    if assessment.table != table.id:
        return False
    try:
        lowest, closed = ends(combine(assessment.answers, table), table)
    except AssessmentError:
        return False
    said = (assessment.lowest, assessment.operate, assessment.run, assessment.review_due is None)
    return said == (lowest.level, closed.level, closed.run, review_due(closed.level, date.min, table) is None)
