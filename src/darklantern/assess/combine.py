"""Many answers to one criterion → the set of values that they leave open.

1. People's answers (judged or attested) are united: a dissent is never voted away. Among people,
   "unknown" is every value, for someone looked and could not tell.
2. A measurement that answered is sharper than people's opinion, so it stands where they overlap: a
   rater can neither narrow nor blur it. Several measurements are united.
3. Where an answer has nothing in common with the measurement, one of the two is wrong. Both stay,
   and the criterion is listed as disputed, until someone finds out which.
4. A measurement that was not made (status unknown) says nothing and leaves the word to people. One
   that was made and failed (status error) leaves every value open, and no rater can clear it.
5. No answer at all leaves every value open.

Adding a person's answer beside others never narrows the set. Ranges close only by measuring, or
where nobody had answered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer


@dataclass(frozen=True)
class Open:
    """What the answers to one criterion leave open."""

    criterion: str
    values: tuple[str, ...]
    """never empty; open to closed"""
    disputed: bool = False
    """an answer has nothing in common with a measurement"""
    example: bool = False
    """made-up raters were among those who answered"""

    @property
    def closed(self) -> str:
        """The value that counts."""
        return self.values[-1]


def combine(answers: Iterable[Answer], table: Table) -> dict[str, Open]:
    """What the answers leave open, for every criterion of the table.

    Raises AssessmentError for an answer to a criterion, with a value, or of a kind that the table
    does not have. Such answers are refused even beside a measurement that would outrank them.
    """
    by_code: dict[str, list[Answer]] = {code: [] for code in table.criteria}
    for answer in answers:
        _check(answer, table)
        by_code[answer.criterion].append(answer)
    return {code: _combined(code, found, table.scales[code]) for code, found in by_code.items()}


def _combined(code: str, answers: Sequence[Answer], scale: tuple[str, ...]) -> Open:
    example = any(answer.example for answer in answers)
    measured = [_open(a, scale) for a in answers if a.kind == "measured" and a.status != "unknown"]
    people = [_open(a, scale) for a in answers if a.kind != "measured"]
    heard: set[str] = set().union(*(measured or people))
    dissent = [values for values in people if measured and not values & heard]
    left = heard.union(*dissent) or set(scale)
    return Open(code, tuple(value for value in scale if value in left), bool(dissent), example)


def _open(answer: Answer, scale: tuple[str, ...]) -> set[str]:
    """Only "answered" narrows; any other status, known or not, is every value."""
    return set(answer.values if answer.status == "answered" else scale)


def _check(answer: Answer, table: Table) -> None:
    criterion = table.criterion(answer.criterion)
    if answer.kind not in criterion.kinds:
        raise AssessmentError(
            f"criterion {criterion.code} ({criterion.name}) cannot be {answer.kind}",
            hint=f"{criterion.code} can be {' or '.join(criterion.kinds)}",
        )
    if answer.status == "answered" and not answer.values:
        raise AssessmentError(
            f"{answer.rater} answered {criterion.code} with no value",
            hint="give the values that remain possible, or status 'unknown'",
        )
    for value in answer.values:
        if value not in criterion.values:
            raise AssessmentError(
                f"{value!r} is not a value of criterion {criterion.code} ({criterion.name})",
                hint=f"{criterion.code} is one of {', '.join(criterion.values)}",
            )
