"""SSVC's JSON that somebody made → the rows of a sub-table, or answers to our criteria."""

from datetime import datetime
from typing import Literal, TypeVar

import msgspec

from darklantern.assess.ssvc.shapes import NAMESPACE, SCHEMA, DecisionTable, SelectionList, target
from darklantern.assess.table import SubTable, Table, checked_cells
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer, Code
from darklantern.records.exact import Sha256

T = TypeVar("T")
PROTOCOL = f"ssvc-selections/{SCHEMA}"


def read_table(data: bytes) -> SubTable:
    """The sub-table in a decision table's JSON, in the order of its columns; its outcome may stand anywhere.

    Raises AssessmentError for what is none, and unless it is total, has each row once, never opens when an input
    closes, and lets every input matter: what SSVC's own tools check.
    """
    found = _decoded(data, DecisionTable, "decision table")
    if found.outcome not in found.decision_points:
        raise AssessmentError(
            f"{found.key}: the outcome {found.outcome} is none of its decision points",
            hint=f"there are {', '.join(found.decision_points)}",
        )
    for name, point in found.decision_points.items():
        if name != point.id:
            raise AssessmentError(f"{found.key}: the decision point {point.id} stands under {name}", hint="by its id")
    keys = [point.key for point in found.decision_points.values()]
    if len(set(keys)) < len(keys):
        raise AssessmentError(f"{found.key}: two decision points share a key", hint="a column is known by its key here")
    inputs = [name for name in found.decision_points if name != found.outcome]
    for number, row in enumerate(found.mapping):
        if set(row) != set(found.decision_points):
            raise AssessmentError(
                f"{found.key}, row {number}: columns {', '.join(sorted(row))}",
                hint="each row has a value for every decision point, the outcome among them",
            )
    points = found.decision_points
    sub = SubTable(
        code=points[found.outcome].key,
        name=found.name,
        inputs=tuple(points[name].key for name in inputs),
        outcomes=_keys(found, found.outcome),
        rows=tuple(tuple(row[name] for name in (*inputs, found.outcome)) for row in found.mapping),
    )
    checked_cells(sub, {points[name].key: _keys(found, name) for name in inputs})
    return sub


def read_selections(
    data: bytes, table: Table, rater: str, text: str = "", finding: Sha256 | None = None
) -> tuple[Answer, ...]:
    """The answers in a selection list, as the word of `rater`: judged, or attested where only that counts.

    With `finding`, its hash, the list has to name it among its targets.

    A selection list does not say who made it, nor how, so nothing in it counts as measured. A decision point of another
    namespace is not ours to read: it is refused, as are one that the table does not have, another version of it, one
    that stands twice, a value that it does not have, or twice, and a list without any. Raises AssessmentError.
    """
    found = _decoded(data, SelectionList, "selection list")
    if found.schemaVersion != SCHEMA:
        raise AssessmentError(
            f"a selection list of schema {found.schemaVersion or 'unknown'}", hint=f"this version reads {SCHEMA}"
        )
    _check_time(found.timestamp)
    if not found.selections:
        raise AssessmentError("a selection list that selects nothing", hint="one selection at least")
    if finding is not None and target(finding) not in found.target_ids:
        of = ", ".join(found.target_ids) or "nothing that it names"
        raise AssessmentError(
            f"the selections are of {of}, and the finding is {target(finding)}",
            hint="a finding that was changed has another hash: export and rate it anew",
        )
    version, answers = table.id.rpartition("/")[2], []
    for each in found.selections:
        name = f"{each.namespace}:{each.key}:{each.version}"
        if each.namespace != NAMESPACE or each.version != version:
            raise AssessmentError(
                f"{name} is no decision point of {table.id}", hint=f"ours are {NAMESPACE}:CODE:{version}"
            )
        values = tuple(value.key for value in each.values)
        answers.append(_answer(table, each.key, values, rater, text))
    if len({answer.criterion for answer in answers}) < len(answers):
        raise AssessmentError("a criterion stands twice among the selections", hint="once, with all its values")
    return tuple(answers)


def _answer(table: Table, code: str, values: tuple[str, ...], rater: str, text: str) -> Answer:
    criterion = table.criterion(code)
    if not values or any(value not in criterion.values for value in values):
        raise AssessmentError(
            f"{', '.join(values) or 'nothing'} is no answer to {code} ({criterion.name})",
            hint=f"{code} is one of {', '.join(criterion.values)}",
        )
    if len(set(values)) < len(values):
        raise AssessmentError(f"{code} ({criterion.name}): a value stands twice", hint="each value once")
    kind: Literal["judged", "attested"] = "judged" if "judged" in criterion.kinds else "attested"
    known: Code = msgspec.convert(code, Code)
    return Answer(criterion=known, values=values, kind=kind, rater=rater, protocol=PROTOCOL, text=text)


def _check_time(timestamp: str) -> None:
    try:
        zone = datetime.fromisoformat(timestamp).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise AssessmentError(
            f"expected a timestamp, got {timestamp[:60]!r}", hint="RFC 3339 with its zone: 2026-11-23T20:00:00Z"
        )


def _keys(table: DecisionTable, name: str) -> tuple[str, ...]:
    return tuple(value.key for value in table.decision_points[name].values)


def _decoded(data: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AssessmentError(
            f"this is no SSVC {what}: {error}", hint=f"schema {SCHEMA}, with no fields but its own"
        ) from error
