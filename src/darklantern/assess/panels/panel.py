"""The state of a panel: phase, who is awaited, what is disagreed on, the answers, the level to act on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import msgspec

from darklantern.assess.decide import Decision, decide
from darklantern.assess.panels.acts import Refused
from darklantern.assess.panels.disagreeing import Disagreement, answers_of, disagreements, unanswered
from darklantern.assess.panels.levels import Standing, standing, unheard
from darklantern.assess.panels.rounds import Rounds, rounds
from darklantern.assess.table import Table, load
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer, Level
from darklantern.records.exact import Sha256, Time
from darklantern.records.ratings import Adjudicated, Done, PanelOpened, Person, Rating

Phase = Literal["committing", "revealing", "second round", "adjudicating", "done"]
_CONCLUDED = ("adjudicating", "done")
"""phases in which the answers are there: while disagreement is adjudicated, their closed end counts"""


@dataclass(frozen=True)
class Awaited:
    """What is expected of somebody, and until when."""

    who: Person
    what: str
    until: Time


@dataclass(frozen=True)
class Panel:
    """Where a panel stands."""

    id: Sha256
    opened: PanelOpened
    by: Person
    phase: Phase
    first: dict[Person, Rating]
    """first-round ratings; none before all have committed or the time for it is over"""
    second: dict[Person, Rating]
    blind: bool
    """nobody committed after somebody else's rating could be read"""
    awaited: tuple[Awaited, ...]
    late: tuple[Person, ...]
    """raters who never answered: unknown on everything"""
    disagreements: tuple[Disagreement, ...]
    """of the latest ratings, those that were adjudicated too"""
    adjudicated: dict[str, tuple[str, ...]]
    """criterion → what two see it as, one from outside; it narrows nothing"""
    answers: tuple[Answer, ...]
    """of all raters, as the table takes them; measurements come beside them"""
    decision: Decision | None
    """what they come to, with the measurements that were given; None before both rounds are over"""
    standing: Standing
    refused: tuple[Refused, ...]


def panel(
    acts: Sequence[Done],
    table: Table,
    now: datetime,
    measured: Sequence[Answer] = (),
    origin: str | None = None,
    unread: Collection[Person] = (),
    id: Sha256 | None = None,
    before: Level = "V0",
) -> Panel:
    """The panel `id`, or the first that these acts opened, from all acts of the thread in the log's order.

    `before` is the level at which the finding stands without it, whatever whoever opened it says.

    `measured` are answers by protocols, which stand beside people's. `origin` is the organisation of the finding's
    author: a rater of it is not from outside, whatever the panel says. `unread` are people whose acts may be missing
    here: while one of them is a rater, nothing opens further, since they may have spoken against it. Raises
    AssessmentError where no panel is opened, or by a table that this is not.
    """
    begun = next((done for done in acts if isinstance(done.act, PanelOpened) and id in (None, done.id)), None)
    if begun is None or not isinstance(begun.act, PanelOpened):
        raise AssessmentError("no panel was opened here", hint="three raters, one from outside, one of a red team")
    opened = msgspec.structs.replace(begun.act, level=max(begun.act.level, before))
    if opened.table != table.id:
        raise AssessmentError(f"the panel rates by {opened.table}, and this is {table.id}", hint="load that version")
    if origin is not None and (
        own := [each for each in opened.raters if each.role == "outside" and each.who.org == origin]
    ):
        raise AssessmentError(
            f"{own[0].who.person} of {origin} is not from outside: the finding is {origin}'s",
            hint="a rater of another organisation",
        )
    found = rounds(acts, begun.id, opened, table)
    disagreed, settled = disagreements(found.last, table), _adjudicated(acts, begun.id, opened)
    phase = _phase(found, now, settled, disagreed)
    late = tuple(each.who for each in opened.raters if each.who not in found.last) if phase in _CONCLUDED else ()
    answers = tuple(answer for rating in found.last.values() for answer in answers_of(rating, table))
    answers += tuple(answer for who in late for answer in unanswered(who, table))
    decision = decide((*measured, *answers), table) if phase in _CONCLUDED else None
    held = standing(acts, begun.id, found, decision.operate if decision else None, phase == "done", now)
    held = unheard(held, opened, unread)
    return Panel(
        id=begun.id,
        opened=opened,
        by=begun.who,
        phase=phase,
        first=found.first,
        second=found.second,
        blind=found.blind,
        awaited=_awaited(found, phase),
        late=late,
        disagreements=disagreed,
        adjudicated=settled,
        answers=answers,
        decision=decision,
        standing=held,
        refused=(*found.refused, *held.refused),
    )


def newest(
    acts: Sequence[Done],
    now: datetime,
    answers: Sequence[Answer] = (),
    origin: str | None = None,
    unread: Collection[Person] = (),
    level: Level = "V0",
) -> Panel | None:
    """The last panel of a thread, by the table that it names; None where there is none.

    `level` is the one that the finding was shared at, and `answers` are its assessment's, of which measured ones stand
    beside raters'. A panel begins where the one before it stands, so that a new one opens nothing by being opened.
    One that cannot be is listed as refused, so that nobody ends a panel by opening such a one. Raises AssessmentError
    where there is no other: its table is not in this version, its outsider is of the finding's own organisation.
    """
    measured = tuple(each for each in answers if each.kind == "measured")
    found: Panel | None = None
    problems: list[Refused] = []
    for done in acts:
        if isinstance(done.act, PanelOpened):
            before = level if found is None else max(level, found.standing.level)
            try:
                table = load(done.act.table.rpartition("/")[2])
                found = panel(acts, table, now, measured, origin, unread, done.id, before)
            except AssessmentError as error:
                problems.append(Refused(done.id, done.who, error.message))
    if found is None and problems:
        raise AssessmentError(f"no panel here can be: {problems[0].why}", hint="open another one, or update")
    return None if found is None else replace(found, refused=(*problems, *found.refused))


def _phase(found: Rounds, now: datetime, settled: Collection[str], disagreed: Sequence[Disagreement]) -> Phase:
    """How far it is. A round ends when all have done their part, or its time is over; so does adjudication."""
    opened, count = found.opened, len(found.opened.raters)
    if len(found.committed) < count and now <= datetime.fromisoformat(opened.commit_by):
        return "committing"
    if len(found.first) < len(found.committed) and now <= datetime.fromisoformat(opened.reveal_by):
        return "revealing"
    second_runs = now <= datetime.fromisoformat(opened.second_by)
    if len(found.second) < len(found.first) and second_runs:
        return "second round"
    unsettled = [each for each in disagreed if (each.criterion or "level") not in settled]
    return "adjudicating" if unsettled and second_runs else "done"


def _awaited(found: Rounds, phase: Phase) -> tuple[Awaited, ...]:
    opened = found.opened
    everybody = [each.who for each in opened.raters]
    parts: dict[Phase, tuple[list[Person], Mapping[Person, object], str, Time]] = {
        "committing": (everybody, found.committed, "a commitment", opened.commit_by),
        "revealing": (list(found.committed), found.first, "what was committed to", opened.reveal_by),
        "second round": (list(found.first), found.second, "a second rating", opened.second_by),
    }
    if phase not in parts:
        return ()
    of, done, what, until = parts[phase]
    return tuple(Awaited(each, what, until) for each in of if each not in done)


def _adjudicated(acts: Sequence[Done], id: Sha256, opened: PanelOpened) -> dict[str, tuple[str, ...]]:
    """What two raters see alike, one of them from outside; nothing where two others see it otherwise."""
    roles = {each.who: each.role for each in opened.raters}
    seen: dict[tuple[str, tuple[str, ...]], set[Person]] = {}
    for done in acts:
        if isinstance(done.act, Adjudicated) and done.act.panel == id and done.who in roles:
            seen.setdefault((done.act.criterion, done.act.values), set()).add(done.who)
    found: dict[str, list[tuple[str, ...]]] = {}
    for (criterion, values), who in seen.items():
        if len(who) >= 2 and any(roles[each] == "outside" for each in who):
            found.setdefault(criterion, []).append(values)
    return {criterion: settled[0] for criterion, settled in found.items() if len(settled) == 1}
