"""Panels for tests: people, acts in order, and a panel that went well."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from darklantern.assess.panels import Panel, panel
from darklantern.records.ratings import (
    Act,
    Committed,
    Done,
    PanelOpened,
    Person,
    Rated,
    RatedAgain,
    Rater,
    Rating,
    Revealed,
    Voted,
    commitment,
)

from .answers import TABLE

ADA, BO, CY = (Person(org="Aurora", person=name) for name in ("ada", "bo", "cy"))
OUT, RED, STEP = (
    Person(org="Beacon", person="dee"), Person(org="Cairn", person="eli"), Person(org="Beacon", person="fay")
)  # fmt: skip
FINDING = "ab" * 32
EASY = {"A": "alignment", "G": "none", "B": "both", "N": "align_only", "W": "explained", "F": "robust", "E": "high",
        "K": "far_below", "U": "none_or_diffuse", "S": "strong", "O": "tool"}  # fmt: skip
"""answers that open everything"""


def opened(**but) -> PanelOpened:
    raters = (
        Rater(who=BO, role="member"),
        Rater(who=OUT, role="outside", substitute=STEP),
        Rater(who=RED, role="red_team"),
    )
    given = {
        "finding": FINDING, "table": TABLE.id, "level": "V4", "raters": raters,
        "commit_by": "2026-12-01T00:00:00Z", "reveal_by": "2026-12-08T00:00:00Z", "second_by": "2026-12-15T00:00:00Z",
    }  # fmt: skip
    return PanelOpened(**{**given, **but})


def rating(who: Person, number: int = 1, **but) -> Rating:
    answers = tuple(
        Rated(criterion=code, values=values if isinstance(values, tuple) else (values,))
        for code, values in {**EASY, **but}.items()
    )
    return Rating(finding=FINDING, table=TABLE.id, rater=who, round=number, answers=answers)


def nonce(who: Person) -> str:
    return (who.person.encode().hex() * 64)[:64]


@dataclass
class Log:
    """Acts in the order of a circle's log."""

    acts: list[Done] = field(default_factory=list)

    def add(self, who: Person, act: Act, day: int = 24, month: int = 11, year: int = 2026) -> str:
        id = f"{len(self.acts):064x}"
        self.acts.append(Done(id, who, f"{year}-{month:02}-{day:02}T12:00:00Z", act))
        return id

    def begin(self, **but) -> str:
        return self.add(ADA, opened(**but))

    def commit(self, id: str, made: Rating, who: Person | None = None, **when) -> str:
        return self.add(who or made.rater, Committed(panel=id, commitment=commitment(made, nonce(made.rater))), **when)

    def reveal(self, id: str, made: Rating, who: Person | None = None, **when) -> str:
        return self.add(who or made.rater, Revealed(panel=id, rating=made, nonce=nonce(made.rater)), **when)

    def again(self, id: str, made: Rating, **when) -> str:
        return self.add(made.rater, RatedAgain(panel=id, rating=made), **when)

    def vote(self, id: str, who: Person, level: str, agrees: bool = True, **when) -> str:
        return self.add(who, Voted(panel=id, level=level, agrees=agrees), **when)

    def at(self, day: int = 24, month: int = 11, year: int = 2026, **rest) -> Panel:
        return panel(self.acts, TABLE, datetime(year, month, day, 13, tzinfo=UTC), **rest)


def rated(log: Log, id: str, *first: Rating) -> None:
    """Everybody commits, reveals, and says the same again."""
    for each in first:
        log.commit(id, each)
    for each in first:
        log.reveal(id, each)
    for each in first:
        log.again(id, msgspec.structs.replace(each, round=2))


def agreed(**but) -> tuple[Log, str]:
    """A panel of three who all say that everything is open."""
    log = Log()
    id = log.begin(**but)
    rated(log, id, rating(BO), rating(OUT), rating(RED))
    return log, id
