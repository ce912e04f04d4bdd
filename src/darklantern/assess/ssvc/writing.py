"""A table and an assessment → SSVC's JSON objects."""

from collections.abc import Iterator
from itertools import product

from darklantern.assess.combine import combine
from darklantern.assess.ssvc.shapes import (
    NAMESPACE,
    SCHEMA,
    DecisionPoint,
    DecisionTable,
    DecisionValue,
    Reference,
    SelectedValue,
    Selection,
    SelectionList,
    target,
)
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import LEVEL_NAMES, LEVELS, Assessment
from darklantern.records.exact import Time

LEVEL = "LEVEL"
_LEVEL_INPUTS = ("HAZ", "ADV", "F", "CHN")


def decision_point(table: Table, code: str) -> DecisionPoint:
    """A criterion, or what a sub-table gives, as a decision point. Raises AssessmentError for another code."""
    if code == LEVEL:
        values = tuple(DecisionValue(level, LEVEL_NAMES[level], f"{level} {LEVEL_NAMES[level]}") for level in LEVELS)
        return _point(table, code, "level", "Who may know the finding.", values)
    if code not in table.scales:
        raise AssessmentError(f"{table.id} has no {code!r}", hint=f"there are {', '.join((*table.scales, LEVEL))}")
    asked = table.criteria[code].question if code in table.criteria else f"What the sub-table {code} gives."
    made = tuple(DecisionValue(value, _words(value), _words(value)) for value in table.scales[code])
    return _point(table, code, table.names[code], asked, made)


def decision_table(table: Table, code: str) -> DecisionTable:
    """A sub-table row by row. Raises AssessmentError for a code that is none."""
    for sub in table.source.tables:
        if sub.code == code:
            return _table(table, code, sub.name, sub.inputs, sub.rows)
    raise AssessmentError(
        f"{table.id} has no sub-table {code!r}", hint=f"there are {', '.join(sub.code for sub in table.source.tables)}"
    )


def level_table(table: Table) -> DecisionTable:
    """The level over hazard, advantage, fragility and channel: base and all floors in one, 108 rows as shipped."""
    points = [table.scales[code] for code in _LEVEL_INPUTS]
    rows = tuple((*values, _level(table, dict(zip(_LEVEL_INPUTS, values, strict=True)))) for values in product(*points))
    return _table(table, LEVEL, "level", _LEVEL_INPUTS, rows)


def selections(assessment: Assessment, table: Table, at: Time) -> SelectionList:
    """What an assessment's answers leave open, of every criterion; several values where it is open.

    It loses who answered and how; the evidence goes along as references by hash. Raises AssessmentError for an answer
    that the table does not have.
    """
    left = combine(assessment.answers, table)
    made = tuple(
        Selection(
            namespace=NAMESPACE,
            key=code,
            version=_version(table),
            values=tuple(SelectedValue(key=value, name=_words(value)) for value in found.values),
            name=table.names[code],
        )
        for code, found in left.items()
    )
    hashes = dict.fromkeys(sha256 for answer in assessment.answers for sha256 in answer.evidence)
    return SelectionList(
        timestamp=at,
        selections=made,
        target_ids=(target(assessment.finding),),
        references=tuple(Reference(f"urn:sha256:{each}", "outcomes that an answer rests on") for each in hashes),
        schemaVersion=SCHEMA,
    )


def _point(table: Table, code: str, name: str, says: str, values: tuple[DecisionValue, ...]) -> DecisionPoint:
    return DecisionPoint(NAMESPACE, code, _version(table), name, says, values)


def _table(
    table: Table, code: str, name: str, inputs: tuple[str, ...], rows: tuple[tuple[str, ...], ...]
) -> DecisionTable:
    points = [decision_point(table, each) for each in (*inputs, code)]
    ids = [each.id for each in points]
    return DecisionTable(
        namespace=NAMESPACE,
        key=f"DT_{code}",
        version=_version(table),
        name=name,
        definition=f"{name}, of {table.id}. {table.source.about}",
        decision_points=dict(zip(ids, points, strict=True)),
        outcome=ids[-1],
        mapping=tuple(dict(zip(ids, row, strict=True)) for row in rows),
    )


def _level(table: Table, facts: dict[str, str]) -> str:
    return max(_levels(table, facts))


def _levels(table: Table, facts: dict[str, str]) -> Iterator[str]:
    base = next(sub for sub in table.source.tables if sub.code == "BASE")
    yield table.cells["BASE"][tuple(facts[code] for code in base.inputs)]
    for floor in table.source.floors:
        if all(table.rank(code, facts[code]) >= table.rank(code, value) for code, value in floor.at_least.items()):
            yield floor.level


def _version(table: Table) -> str:
    return table.id.rpartition("/")[2]


def _words(value: str) -> str:
    return value.replace("_", " ")
