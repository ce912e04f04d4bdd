"""A panel in words: for the command line and the page."""

from dataclasses import dataclass

from darklantern.assess.panels.panel import Panel
from darklantern.records.ratings import Person, Rating


@dataclass(frozen=True)
class Told:
    """A panel in words, as somebody busy reads it. Texts are raters' own: data, whatever they say."""

    standing: str
    """phase, level, and what holds it"""
    awaited: tuple[str, ...]
    rated: tuple[str, ...]
    """who said what, by round"""
    disagreed: tuple[str, ...]
    red_team: tuple[str, ...]
    """what a capabilities organisation would do with it"""
    remarks: tuple[str, ...]
    """what must not be missed: it was not blind, somebody never answered, acts that count for nothing"""


def told(panel: Panel) -> Told:
    """What there is to say of a panel."""
    ratings = [*panel.first.items(), *panel.second.items()]
    left = panel.decision
    standing = f"{panel.phase}; level now {panel.standing.level}: {'; '.join(panel.standing.why)}"
    return Told(
        standing=standing + (f"; the answers leave {left.lowest} to {left.operate}" if left else ""),
        awaited=tuple(f"{name(each.who)}: {each.what}, until {each.until}" for each in panel.awaited),
        rated=tuple(_rated(who, rating) for who, rating in ratings),
        disagreed=tuple(each.says for each in panel.disagreements),
        red_team=tuple(f"{name(who)}: {rating.red_team}" for who, rating in ratings if rating.red_team),
        remarks=tuple(_remarks(panel)),
    )


def name(who: Person) -> str:
    """ORG/PERSON, as commands take it."""
    return f"{who.org}/{who.person}"


def _rated(who: Person, rating: Rating) -> str:
    said = ", ".join(
        f"{each.criterion} {'unknown' if each.unknown else ' or '.join(each.values)}" for each in rating.answers
    )
    return f"{name(who)}, round {rating.round}: {said}"


def _remarks(panel: Panel) -> list[str]:
    blind = [] if panel.blind else ["not blind: somebody committed after another's rating could be read"]
    late = [f"{name(who)} did not answer in time: unknown on everything" for who in panel.late]
    nothing = [f"counts for nothing: {each.id[:16]} by {each.who.person}: {each.why}" for each in panel.refused]
    return [*blind, *late, *nothing]
