"""Which level to act on: opening takes everybody, closing takes one, and whatever is said out of turn has an end.

1. The finding stays where it was until the panel is done. 2. A panel that ends more closed closes it. One that ends
more open opens nothing by itself: it takes a vote of all who rated, three at least, one from outside, and nobody
against. No vote opens below what the answers leave. 3. An override needs two who sign the same, one from outside; it
loosens by one level at most, and expires. 4. Any rater can close by one signature, at once, for thirty days; seconded
by another, it stays. A closing counts over every override, and over votes that stood before it: only a vote of all
lifts it. Raters of earlier panels about the finding can close it too: otherwise whoever wants it open would look for
other raters.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from darklantern.assess.panels.acts import Refused
from darklantern.assess.panels.rounds import Rounds
from darklantern.records.assessments import LEVELS, Level
from darklantern.records.exact import Sha256
from darklantern.records.ratings import (
    LEAST_RATERS,
    Closed,
    Done,
    Overridden,
    PanelOpened,
    Person,
    Role,
    Seconded,
    Voted,
)

UNSECONDED: Final = timedelta(days=30)


@dataclass(frozen=True)
class Standing:
    """The level now, and what holds it."""

    level: Level
    why: tuple[str, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class _Said:
    place: int
    done: Done


def standing(
    acts: Sequence[Done], id: Sha256, rounds: Rounds, concluded: Level | None, done: bool, now: datetime
) -> Standing:
    """The level at `now`. `concluded` is what the answers come to, None while rounds run; `done` when none is
    adjudicated."""
    opened, refused = rounds.opened, []
    mine = [_Said(place, done) for place, done in enumerate(acts) if getattr(done.act, "panel", None) == id]
    people = _raters(opened)
    kept = []
    for said in mine:
        why = _foreign(said.done, people, concluded if done else None, acts)
        if why:
            refused.append(Refused(said.done.id, said.done.who, why))
        else:
            kept.append(said)
    level, why_now, voted = _base(opened, rounds, concluded, done, kept)
    level, over = _overridden(level, kept, opened, now.date())
    closings = [each for each in _closings(acts, now) if each[0] > voted]
    closed = max((each[1] for each in closings), default=level)
    if closed > level:
        return Standing(closed, (f"closed to {closed} by {len(closings)} of its raters", *why_now), tuple(refused))
    return Standing(level, (*over, *why_now), tuple(refused))


def unheard(held: Standing, opened: PanelOpened, unread: Collection[Person]) -> Standing:
    """The same, or what it was before where a rater's acts may be missing: a missing one may be a closing."""
    missing = sorted(_raters(opened).keys() & set(unread))
    if not missing or held.level >= opened.level:
        return held
    names = ", ".join(f"{who.person} of {who.org}" for who in missing)
    why = f"words of {names} do not open here and may speak against opening: it stays where it was"
    return Standing(opened.level, (why, *held.why), held.refused)


def _raters(opened: PanelOpened) -> dict[Person, Role]:
    """Everybody who may speak, with the role that they speak in."""
    found: dict[Person, Role] = {each.who: each.role for each in opened.raters}
    return found | {each.substitute: each.role for each in opened.raters if each.substitute is not None}


def _foreign(done: Done, people: dict[Person, Role], concluded: Level | None, acts: Sequence[Done]) -> str | None:
    """Why an act about levels counts for nothing."""
    act = done.act
    if not isinstance(act, Voted | Closed | Seconded | Overridden):
        return None
    if done.who not in people:
        return "its author is no rater of this panel"
    if isinstance(act, Voted | Overridden) and concluded is None:
        return "the panel is not done"
    if isinstance(act, Voted) and concluded is not None and act.agrees and act.level < concluded:
        return f"the answers leave {concluded}: only an override opens further"
    if isinstance(act, Overridden) and LEVELS.index(act.before) - LEVELS.index(act.after) > 1:
        return "an override loosens by one level at most"
    if isinstance(act, Seconded):
        closing = next((each for each in acts if each.id == act.closing), None)
        if closing is None or not isinstance(closing.act, Closed) or closing.who == done.who:
            return "there is no closing of somebody else that it could second"
    return None


def _base(
    opened: PanelOpened, rounds: Rounds, concluded: Level | None, done: bool, kept: Sequence[_Said]
) -> tuple[Level, tuple[str, ...], int]:
    """What panel and vote come to, and the place of the act that settled it."""
    if concluded is None:
        return opened.level, ("the panel is not done: it stays where it was",), -1
    if concluded >= opened.level:
        return concluded, ("what the panel's answers leave, at their closed end",), -1
    if not done:
        return opened.level, ("raters disagree, and it is not settled yet: it stays where it was",), -1
    last: dict[Person, tuple[int, Voted]] = {}
    for each in kept:
        if isinstance(each.done.act, Voted):
            last[each.done.who] = (each.place, each.done.act)
    voters = {rounds.acted[rater] for rater in rounds.last}
    votes = {who: vote for who, (_, vote) in last.items() if who in voters}
    roles = _raters(opened)
    outside = any(roles[who] == "outside" for who in votes)
    if any(not vote.agrees for vote in votes.values()):
        return opened.level, ("a rater voted against opening",), -1
    if set(votes) != voters or len(votes) < LEAST_RATERS or not outside:
        missing = len(voters) - len(votes)
        return opened.level, (f"the answers would allow {concluded}; {missing} of {len(voters)} have not voted",), -1
    level = max(vote.level for vote in votes.values())
    level = max(level, concluded)
    if level >= opened.level:
        return opened.level, ("nobody voted for less",), -1
    return level, (f"opened to {level} by all {len(votes)} who rated",), max(place for place, _ in last.values())


def _overridden(level: Level, kept: Sequence[_Said], opened: PanelOpened, today: date) -> tuple[Level, tuple[str, ...]]:
    """The last override that two have signed, one of them from outside, as long as it runs: one, from where panel and
    vote leave it, so that no two of them add up.
    """
    roles = _raters(opened)
    signed: dict[tuple[Level, Level, str, str, str], dict[Person, int]] = {}
    for each in kept:
        act = each.done.act
        if isinstance(act, Overridden):
            key = (act.before, act.after, act.code, act.text, act.expires)
            signed.setdefault(key, {})[each.done.who] = each.place
    for (before, after, code, text, expires), who in sorted(signed.items(), key=lambda one: -max(one[1].values())):
        enough = len(who) >= 2 and any(roles[each] == "outside" for each in who)
        if enough and before == level and today <= date.fromisoformat(expires):
            told = f"overridden from {before} to {after} until {expires} ({code}: {text}), signed by {len(who)}"
            return after, (told,)
    return level, ()


def _closings(acts: Sequence[Done], now: datetime) -> list[tuple[int, Level]]:
    """Closings that hold, by raters of any panel: seconded by somebody else, or not older than thirty days."""
    people = {done.id: _raters(done.act) for done in acts if isinstance(done.act, PanelOpened)}
    said = [(place, done) for place, done in enumerate(acts) if isinstance(done.act, Closed | Seconded)]
    said = [(place, done) for place, done in said if done.who in people.get(done.act.panel, {})]  # type: ignore[union-attr]
    seconds = {(done.act.closing, done.who) for _, done in said if isinstance(done.act, Seconded)}
    found = []
    for place, done in said:
        if isinstance(done.act, Closed):
            seconded = any(closing == done.id and who != done.who for closing, who in seconds)
            if seconded or now - datetime.fromisoformat(done.time) <= UNSECONDED:
                found.append((place, done.act.level))
    return found
