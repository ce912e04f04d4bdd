"""Both rounds of a panel, from acts in the log's order: who committed, what was revealed, who rated again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from darklantern.assess.panels.acts import Refused
from darklantern.assess.table import Table
from darklantern.records.exact import Sha256, Time
from darklantern.records.ratings import (
    Committed,
    Done,
    PanelOpened,
    Person,
    RatedAgain,
    Rater,
    Rating,
    Revealed,
    commitment,
)


@dataclass(frozen=True)
class Rounds:
    """What counts of both rounds, by the rater who was asked, whoever stepped in."""

    opened: PanelOpened
    committed: dict[Person, Sha256]
    first: dict[Person, Rating]
    second: dict[Person, Rating]
    acted: dict[Person, Person]
    """rater → who acted for them: themselves, or their substitute"""
    blind: bool
    """no first rating could be read by somebody who had not committed"""
    refused: tuple[Refused, ...]

    @property
    def last(self) -> dict[Person, Rating]:
        """Each one's latest word."""
        return {**self.first, **self.second}


@dataclass
class _Folding:
    opened: PanelOpened
    id: Sha256
    table: Table
    committed: dict[Person, Sha256] = field(default_factory=dict)
    first: dict[Person, Rating] = field(default_factory=dict)
    second: dict[Person, Rating] = field(default_factory=dict)
    acted: dict[Person, Person] = field(default_factory=dict)
    blind: bool = True
    refused: list[Refused] = field(default_factory=list)
    shown: bool = False
    """somebody's rating stands in the log, too early"""

    @property
    def whole(self) -> bool:
        return len(self.committed) == len(self.opened.raters)

    def late(self, time: Time) -> bool:
        """The time to commit is over, by the author's own clock."""
        return time > self.opened.commit_by


def rounds(acts: Sequence[Done], id: Sha256, opened: PanelOpened, table: Table) -> Rounds:
    """What acts of one panel come to. `acts` are all that stand in the thread behind the panel's beginning."""
    at = _Folding(opened, id, table)
    for done in acts:
        why = _step(at, done)
        if why:
            at.refused.append(Refused(done.id, done.who, why))
    return Rounds(opened, at.committed, at.first, at.second, at.acted, at.blind, tuple(at.refused))


def _step(at: _Folding, done: Done) -> str | None:
    """Do what the act says, or why it counts for nothing; None too for acts that are not about rounds."""
    act = done.act
    if not isinstance(act, Committed | Revealed | RatedAgain) or act.panel != at.id:
        return None
    if isinstance(act, Revealed | RatedAgain) and not at.whole and not at.late(done.time):
        at.shown = True  # whether it counts or not, everybody can read it
    rater = _rater(at, done.who)
    if rater is None:
        return "its author is no rater of this panel"
    who = rater.who
    if at.acted.get(who, done.who) != done.who:
        return f"{at.acted[who].person} acts for this rater already"
    if isinstance(act, Committed):
        return _commit(at, who, done, act)
    why = _wrong(at, act.rating, done.who, 1 if isinstance(act, Revealed) else 2)
    if why:
        return why
    return _reveal(at, who, done, act) if isinstance(act, Revealed) else _rate_again(at, who, done, act)


def _rater(at: _Folding, who: Person) -> Rater | None:
    return next((each for each in at.opened.raters if who in (each.who, each.substitute)), None)


def _commit(at: _Folding, who: Person, done: Done, act: Committed) -> str | None:
    if who in at.committed:
        return "this rater has committed already, and the first commitment counts"
    if at.late(done.time):
        return "the time to commit is over"
    if act.commitment in at.committed.values():
        return "it is a copy of somebody else's commitment"
    at.committed[who], at.acted[who] = act.commitment, done.who
    at.blind = at.blind and not at.shown
    return None


def _wrong(at: _Folding, rating: Rating, who: Person, number: int) -> str | None:
    """Why a rating is none of this panel's, this round's and this person's."""
    if (rating.finding, rating.table) != (at.opened.finding, at.opened.table):
        return "it rates another finding, or by another table"
    if rating.rater != who:
        return "it is somebody else's rating"
    if rating.round != number:
        return f"it is of round {rating.round}"
    for each in rating.answers:
        criterion = at.table.criteria.get(each.criterion)
        if criterion is None or not ({"judged", "attested"} & set(criterion.kinds)):
            return f"{each.criterion} is no criterion that people answer"
        if not set(each.values) <= set(criterion.values) or not (each.values or each.unknown):
            return f"its answer to {each.criterion} is not one of {', '.join(criterion.values)}"
    return None


def _reveal(at: _Folding, who: Person, done: Done, act: Revealed) -> str | None:
    if who not in at.committed:
        return "nothing was committed to before it"
    if commitment(act.rating, act.nonce) != at.committed[who]:
        return "it is not what was committed to"
    if not at.whole and not at.late(done.time):
        return "not all have committed, and the time for it is not over; it may be revealed again then"
    if who in at.first:
        return "it was revealed already"
    at.first[who] = act.rating
    return None


def _rate_again(at: _Folding, who: Person, done: Done, act: RatedAgain) -> str | None:
    revealed = set(at.first) >= set(at.committed)
    if who not in at.first:
        return "there is no first rating of this rater to revise"
    if not revealed and done.time <= at.opened.reveal_by:
        return "first ratings are still being revealed"
    if done.time > at.opened.second_by:
        return "the time for the second round is over"
    at.second[who] = act.rating  # the last word counts
    return None
