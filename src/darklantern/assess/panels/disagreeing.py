"""Where raters disagree: answers without overlap, and levels two apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from darklantern.assess.decide import decide
from darklantern.assess.table import Table
from darklantern.records.assessments import LEVELS, Answer, Code, Level
from darklantern.records.ratings import Person, Rated, Rating

APART = 2
"""levels, from which on two raters' levels have to be adjudicated"""


@dataclass(frozen=True)
class Disagreement:
    """What raters do not agree on. Without a criterion it is the level that their answers come to."""

    criterion: Code | None
    said: Mapping[Person, tuple[str, ...]]

    @property
    def says(self) -> str:
        """In words, who said what."""
        told = "; ".join(f"{who.person}, {who.org}: {' or '.join(values)}" for who, values in self.said.items())
        return f"{self.criterion or 'level'}: {told}"


def disagreements(ratings: Mapping[Person, Rating], table: Table) -> tuple[Disagreement, ...]:
    """Every criterion to which two raters' answers have nothing in common, and the levels if they are two apart."""
    found = []
    for code in table.criteria:
        said = {who: _values(table, each) for who, rating in ratings.items() for each in _to(rating, code)}
        sets = [set(values) for values in said.values()]
        if any(not one & other for i, one in enumerate(sets) for other in sets[:i]):
            found.append(Disagreement(code, said))  # type: ignore[arg-type]  # the table's codes are the record's
    levels = {who: level_of(rating, table) for who, rating in ratings.items()}
    ranks = [LEVELS.index(level) for level in levels.values()]
    if ranks and max(ranks) - min(ranks) >= APART:
        found.append(Disagreement(None, {who: (level,) for who, level in levels.items()}))
    return tuple(found)


def level_of(rating: Rating, table: Table) -> Level:
    """What one rater's answers alone come to, what they left out as unknown."""
    return decide(answers_of(rating, table), table).operate


def answers_of(rating: Rating, table: Table) -> tuple[Answer, ...]:
    """A rating as the table takes it."""
    return tuple(_answer(rating, each, table) for each in rating.answers)


def unanswered(who: Person, table: Table) -> tuple[Answer, ...]:
    """A rater who never answered: unknown on all that people answer, and never agreement."""
    return tuple(
        Answer(
            criterion=code,  # type: ignore[arg-type]
            values=(),
            kind=_kind(table, code),
            status="unknown",
            rater=_name(who),
            protocol=table.id,
            text="did not answer in time",
        )
        for code, criterion in table.criteria.items()
        if {"judged", "attested"} & set(criterion.kinds)
    )


def _answer(rating: Rating, each: Rated, table: Table) -> Answer:
    return Answer(
        criterion=each.criterion,
        values=each.values,
        kind=_kind(table, each.criterion),
        status="unknown" if each.unknown else "answered",
        rater=_name(rating.rater),
        protocol=f"{rating.table}, round {rating.round}",
        text=each.text,
    )


def _kind(table: Table, code: str) -> Literal["judged", "attested"]:
    return "judged" if "judged" in table.criteria[code].kinds else "attested"


def _name(who: Person) -> str:
    return f"{who.person}, {who.org}"[:200]


def _to(rating: Rating, code: str) -> tuple[Rated, ...]:
    return tuple(each for each in rating.answers if each.criterion == code)


def _values(table: Table, each: Rated) -> tuple[str, ...]:
    return table.scales[each.criterion] if each.unknown else each.values
