"""What the commands of `darklantern panel` do: an item, a panel of it, one act; and its state in words."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from darklantern.cli.handing_out import hand_out_new
from darklantern.cli.library_option import open_own
from darklantern.cli.naming import item_named, person_named
from darklantern.cli.output import tell, tell_json
from darklantern.errors import RefusedError
from darklantern.records.assessments import LEVELS, Answer
from darklantern.records.exact import plain
from darklantern.records.ratings import (
    Act,
    Adjudicated,
    Closed,
    Done,
    Overridden,
    OverrideCode,
    PanelOpened,
    Person,
    Rater,
    Role,
    Seconded,
    Voted,
)

if TYPE_CHECKING:
    from darklantern.assess.panels import Panel
    from darklantern.library import Library

_DAY = 86_400


@dataclass(frozen=True)
class At:
    """Which library, and how its answer is told."""

    folder: Path | None
    passphrase_file: Path | None
    as_json: bool

    def tell(self, lines: Sequence[str], value: dict[str, Any]) -> None:
        """Lines for people, or one JSON value."""
        if self.as_json:
            tell_json(value)
            return
        for line in lines:
            tell(line)


@dataclass(frozen=True)
class _Found:
    """An open library at an item."""

    library: "Library"
    item: str
    finding: str
    measured: tuple[Answer, ...]
    origin: str
    acts: tuple[Done, ...]
    """from the newest panel on"""

    @property
    def begun(self) -> str:
        """The newest panel's id. Raises RefusedError where there is none."""
        if not self.acts:
            raise RefusedError("no panel was opened for this finding", hint="darklantern panel open")
        return self.acts[0].id

    def panel(self) -> "Panel":
        """Where it stands now."""
        from darklantern.assess import load
        from darklantern.assess.panels import panel

        return panel(self.acts, load(), datetime.now(UTC), self.measured, self.origin)


@contextmanager
def _at(item: str, given: At) -> Iterator[_Found]:
    from darklantern.network.items import finding_hash

    with open_own(given.folder, given.passphrase_file) as library:
        whole = item_named(library, item)
        opened = library.findings.open(whole)
        answers = opened.assessment.answers if opened.assessment else ()
        measured = tuple(each for each in answers if each.kind == "measured")
        acts = library.panels.acts(whole)
        begun = max((place for place, done in enumerate(acts) if isinstance(done.act, PanelOpened)), default=None)
        newest = acts[begun:] if begun is not None else ()
        yield _Found(library, whole, finding_hash(opened.finding), measured, opened.author.org, newest)


def begin(item: str, raters: Sequence[str], days: int, given: At) -> None:
    """Open a panel. Raises RefusedError for people who cannot be one."""
    from darklantern.assess import load
    from darklantern.network.clock import text

    with _at(item, given) as at:
        opened, now = at.library.findings.open(at.item), int(time.time())
        try:
            act = PanelOpened(
                finding=at.finding,
                table=load().id,
                level=opened.level,
                raters=tuple(_rater(at.library, each) for each in raters),
                commit_by=text(now + days * _DAY),
                reveal_by=text(now + 2 * days * _DAY),
                second_by=text(now + 3 * days * _DAY),
            )
            msgspec.json.decode(msgspec.json.encode(act), type=PanelOpened)
        except (ValueError, msgspec.ValidationError) as error:
            raise RefusedError(str(error), hint="three people: --rater A/ada=member --rater B/bo=outside …") from error
        if any(each.role == "outside" and each.who.org == at.origin for each in act.raters):
            raise RefusedError(
                f"a rater of {at.origin} is not from outside: the finding is theirs", hint="another org's"
            )
        id = at.library.panels.act(at.item, act)
    asked = [f"{each.who.org}/{each.who.person}, {each.role}" for each in act.raters]
    until = f"commitments until {act.commit_by}, reveals until {act.reveal_by}, second ratings until {act.second_by}"
    given.tell([*asked, until], {"panel": id, **plain(act)})


def write_form(item: str, out: Path, given: At) -> None:
    """A form for whoever asks."""
    from darklantern.assess import load
    from darklantern.cli.rating_form import blank

    with _at(item, given) as at:
        role = _role(at)
    hand_out_new(out, blank(load(), role).encode())
    says = f"{out}: fill it in, as {role}; it lies in the clear until you delete it"
    given.tell([says], {"form": str(out), "role": role})


def rate_by(item: str, form: Path, given: At) -> None:
    """Commit, or rate again, as the panel's phase is."""
    from darklantern.assess import load
    from darklantern.cli.rating_form import rating

    with _at(item, given) as at:
        begun, _, state = at.begun, _role(at), at.panel()
        number = 1 if state.phase == "committing" else 2
        made = rating(form, at.finding, load(), at.library.panels.me, number)
        if number == 1:
            id = at.library.panels.commit(at.item, begun, made)
            says = [
                "committed: the others see that you rated, and not what",
                f"`darklantern panel reveal` shows it once all have, or after {state.opened.commit_by}",
                "until then it is on this device and nowhere else",
            ]
        else:
            id, says = at.library.panels.rate_again(at.item, begun, made), ["rated in the second round"]
    given.tell(says, {"id": id, "round": number})


def reveal_own(item: str, given: At) -> None:
    """Reveal, unless it would be too early to count."""
    with _at(item, given) as at:
        begun, state = at.begun, at.panel()
        if state.phase == "committing":
            waiting = ", ".join(each.who.person for each in state.awaited)
            raise RefusedError(f"{waiting} have not committed yet", hint="it would not count, and they would see it")
        id = at.library.panels.reveal(at.item, begun)
    given.tell(["revealed"], {"id": id})


def vote_on(item: str, level: str, agrees: bool, because: str, given: At) -> None:
    """Vote for or against a level."""
    _act(item, lambda at: Voted(panel=at.begun, level=_level(level), agrees=agrees, text=because), given)


def adjudicate_one(item: str, criterion: str, values: Sequence[str], because: str, given: At) -> None:
    """Say what a disagreement comes to."""
    from darklantern.assess import load

    found = load().criterion(criterion)
    if any(value not in found.values for value in values):
        raise RefusedError(
            f"{criterion} is one of {', '.join(found.values)}, got {', '.join(values)}", hint="its words"
        )

    def made(at: _Found) -> Act:
        return Adjudicated(panel=at.begun, criterion=found.code, values=tuple(values), text=because)  # type: ignore[arg-type]

    _act(item, made, given)


def close_to(item: str, level: str, because: str, given: At) -> None:
    """Close at once."""
    _act(item, lambda at: Closed(panel=at.begun, level=_level(level), text=because), given)


def second_one(item: str, closing: str, given: At) -> None:
    """Second a closing."""

    def made(at: _Found) -> Act:
        found = [done.id for done in at.acts if isinstance(done.act, Closed) and done.id.startswith(closing)]
        if len(found) != 1:
            raise RefusedError(
                f"expected the beginning of one closing's id, got {closing!r}, with which {len(found)} begin",
                hint="`darklantern panel show` lists them",
            )
        return Seconded(panel=at.begun, closing=found[0])

    _act(item, made, given)


def override_level(item: str, levels: tuple[str, str], why: tuple[str, str, str], given: At) -> None:
    """Sign an override."""
    code, because, until = why
    if code not in get_args(OverrideCode):
        raise RefusedError(f"expected one of {', '.join(get_args(OverrideCode))}, got {code!r}", hint="--code")
    before, after = map(_level, levels)

    def made(at: _Found) -> Act:
        return Overridden(panel=at.begun, before=before, after=after, code=code, text=because, expires=until)  # type: ignore[arg-type]

    _act(item, made, given)


def tell_state(item: str, given: At) -> None:
    """The panel in words."""
    with _at(item, given) as at:
        _ = at.begun
        found, closings = at.panel(), [done for done in at.acts if isinstance(done.act, Closed)]
    if given.as_json:
        tell_json(_plain(found))
        return
    tell(f"{found.phase}; level now {found.standing.level}: {'; '.join(found.standing.why)}")
    for waiting in found.awaited:
        tell(f"awaited of {waiting.who.org}/{waiting.who.person}: {waiting.what}, until {waiting.until}")
    if not found.blind:
        tell("not blind: somebody committed after another's rating could be read")
    for who, rating in {**found.first, **found.second}.items():
        said = ", ".join(
            f"{each.criterion} {'unknown' if each.unknown else ' or '.join(each.values)}" for each in rating.answers
        )
        tell(f"{who.org}/{who.person}, round {rating.round}: {said}")
        if rating.red_team:
            tell(f"the red team: {rating.red_team}", lead="  ")
    for each in found.disagreements:
        tell(f"disagreed on {each.says}")
    for late in found.late:
        tell(f"{late.org}/{late.person} did not answer in time: unknown on everything")
    if found.decision is not None:
        tell(f"the answers leave {found.decision.lowest} to {found.decision.operate}")
    for done in closings:
        tell(f"closing {done.id[:16]} to {done.act.level} by {done.who.person}: {done.act.text}")  # type: ignore[union-attr]
    for refused in found.refused:
        tell(f"counts for nothing: {refused.id[:16]} by {refused.who.person}: {refused.why}")


def _act(item: str, made: Any, given: At) -> None:
    with _at(item, given) as at:
        _role(at)
        id = at.library.panels.act(at.item, made(at))
    given.tell([f"{id[:16]}: said; `darklantern panel show` tells what it comes to"], {"id": id})


def _role(at: _Found) -> Role:
    """The role in which this person is asked. Raises RefusedError where they are not."""
    begun, me = at.begun, at.library.panels.me
    act = at.acts[0].act
    assert isinstance(act, PanelOpened) and begun
    found = next((each for each in act.raters if me in (each.who, each.substitute)), None)
    if found is None:
        raise RefusedError(f"{me.org}/{me.person} is no rater of this panel", hint="it would count for nothing")
    return found.role


def _rater(library: "Library", said: str) -> Rater:
    named, equals, rest = said.partition("=")
    role, _, other = rest.partition(",")
    if not equals or role not in get_args(Role):
        raise RefusedError(f"expected ORG/PERSON=role, got {said!r}", hint="member, outside or red_team")
    who, substitute = (person_named(library, each) if each else None for each in (named, other))
    assert who is not None
    return Rater(
        who=Person(org=who[0], person=who[1]),
        role=role,  # type: ignore[arg-type]
        substitute=Person(org=substitute[0], person=substitute[1]) if substitute else None,
    )


def _level(said: str) -> Any:
    if said.upper() not in LEVELS:
        raise RefusedError(f"expected one of {', '.join(LEVELS)}, got {said!r}", hint="V0 is open, V4 is private")
    return said.upper()


def _plain(found: "Panel") -> dict[str, Any]:
    def name(who: Person) -> str:
        return f"{who.org}/{who.person}"

    return {
        "panel": found.id,
        "phase": found.phase,
        "level": found.standing.level,
        "why": list(found.standing.why),
        "blind": found.blind,
        "awaited": [{"who": name(each.who), "what": each.what, "until": each.until} for each in found.awaited],
        "first": {name(who): plain(each) for who, each in found.first.items()},
        "second": {name(who): plain(each) for who, each in found.second.items()},
        "disagreements": [each.says for each in found.disagreements],
        "late": [name(each) for each in found.late],
        "range": [found.decision.lowest, found.decision.operate] if found.decision else None,
        "refused": [{"id": each.id, "who": name(each.who), "why": each.why} for each in found.refused],
    }
