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
from darklantern.records.assessments import LEVELS
from darklantern.records.exact import plain
from darklantern.records.ratings import (
    Act,
    Adjudicated,
    Closed,
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
    from darklantern.library import Library, OpenedFinding
    from darklantern.library.panels import Acts

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
    opened: "OpenedFinding"
    acts: "Acts"

    @property
    def panel(self) -> "Panel":
        """The newest as it stands now. Raises RefusedError where there is none."""
        found = panel_of(self.opened, self.acts)
        if found is None:
            raise RefusedError("no panel was opened for this finding", hint="darklantern panel open")
        return found


def panel_of(opened: "OpenedFinding", acts: "Acts") -> "Panel | None":
    """The newest panel about an item as it stands now. Raises AssessmentError where none that was opened can be."""
    from darklantern.assess.panels import newest

    answers = opened.assessment.answers if opened.assessment else ()
    return newest(acts.done, datetime.now(UTC), answers, opened.author.org, acts.unread, opened.level)


@contextmanager
def _at(item: str, given: At) -> Iterator[_Found]:
    with open_own(given.folder, given.passphrase_file) as library:
        whole = item_named(library, item)
        yield _Found(library, whole, library.findings.open(whole), library.panels.acts(whole))


def begin(item: str, raters: Sequence[str], days: int, given: At) -> None:
    """Open a panel. Raises RefusedError for people who cannot be one."""
    from darklantern.assess import load
    from darklantern.network.clock import text
    from darklantern.network.items import finding_hash

    with _at(item, given) as at:
        now, origin = int(time.time()), at.opened.author.org
        try:
            act = PanelOpened(
                finding=finding_hash(at.opened.finding),
                table=load().id,
                level=at.opened.level,
                raters=tuple(_rater(at.library, each) for each in raters),
                commit_by=text(now + days * _DAY),
                reveal_by=text(now + 2 * days * _DAY),
                second_by=text(now + 3 * days * _DAY),
            )
            msgspec.json.decode(msgspec.json.encode(act), type=PanelOpened)
        except (ValueError, msgspec.ValidationError) as error:
            raise RefusedError(str(error), hint="three people: --rater A/ada=member --rater B/bo=outside …") from error
        if any(each.role == "outside" and each.who.org == origin for each in act.raters):
            raise RefusedError(f"a rater of {origin} is not from outside: the finding is theirs", hint="another org's")
        id = at.library.panels.act(at.item, act)
    asked = [f"{each.who.org}/{each.who.person}, {each.role}" for each in act.raters]
    until = f"commitments until {act.commit_by}, reveals until {act.reveal_by}, second ratings until {act.second_by}"
    given.tell([*asked, until], {"panel": id, **plain(act)})


def write_form(item: str, out: Path, given: At) -> None:
    """A form for whoever asks."""
    from darklantern.assess import load
    from darklantern.cli.rating_form import blank

    with _at(item, given) as at:
        role, table = _role(at), at.panel.opened.table
    hand_out_new(out, blank(load(table.rpartition("/")[2]), role).encode())
    says = f"{out}: fill it in, as {role}; it lies in the clear until you delete it"
    given.tell([says], {"form": str(out), "role": role})


def rate_by(item: str, form: Path, given: At) -> None:
    """Commit, or rate again, as the panel's phase is."""
    from darklantern.assess import load
    from darklantern.cli.rating_form import rating

    with _at(item, given) as at:
        _, state = _role(at), at.panel
        opened, number = state.opened, 1 if state.phase == "committing" else 2
        made = rating(form, opened.finding, load(opened.table.rpartition("/")[2]), at.library.panels.me, number)
        if number == 1:
            id = at.library.panels.commit(at.item, state.id, made)
            says = [
                "committed: the others see that you rated, and not what",
                f"`darklantern panel reveal` shows it once all have, or after {opened.commit_by}",
                "until then it is on this device and nowhere else",
            ]
        else:
            id, says = at.library.panels.rate_again(at.item, state.id, made), ["rated in the second round"]
    given.tell(says, {"id": id, "round": number})


def reveal_own(item: str, given: At) -> None:
    """Reveal, unless it would be too early to count."""
    with _at(item, given) as at:
        id = at.library.panels.reveal(at.item, at.panel.id)
    given.tell(["revealed"], {"id": id})


def vote_on(item: str, level: str, agrees: bool, because: str, given: At) -> None:
    """Vote for or against a level."""
    _act(item, lambda at: Voted(panel=at.panel.id, level=_level(level), agrees=agrees, text=because), given)


def adjudicate_one(item: str, criterion: str, values: Sequence[str], because: str, given: At) -> None:
    """Say what a disagreement comes to."""
    from darklantern.assess import load

    found = load().criterion(criterion)
    if any(value not in found.values for value in values):
        raise RefusedError(
            f"{criterion} is one of {', '.join(found.values)}, got {', '.join(values)}", hint="its words"
        )

    def made(at: _Found) -> Act:
        return Adjudicated(panel=at.panel.id, criterion=found.code, values=tuple(values), text=because)  # type: ignore[arg-type]

    _act(item, made, given)


def close_to(item: str, level: str, because: str, given: At) -> None:
    """Close at once."""
    _act(item, lambda at: Closed(panel=at.panel.id, level=_level(level), text=because), given)


def second_one(item: str, closing: str, given: At) -> None:
    """Second a closing."""

    def made(at: _Found) -> Act:
        found = [done.id for done in at.acts.done if isinstance(done.act, Closed) and done.id.startswith(closing)]
        if len(found) != 1:
            raise RefusedError(
                f"expected the beginning of one closing's id, got {closing!r}, with which {len(found)} begin",
                hint="`darklantern panel show` lists them",
            )
        return Seconded(panel=at.panel.id, closing=found[0])

    _act(item, made, given)


def override_level(item: str, levels: tuple[str, str], why: tuple[str, str, str], given: At) -> None:
    """Sign an override."""
    code, because, until = why
    if code not in get_args(OverrideCode):
        raise RefusedError(f"expected one of {', '.join(get_args(OverrideCode))}, got {code!r}", hint="--code")
    before, after = map(_level, levels)

    def made(at: _Found) -> Act:
        return Overridden(panel=at.panel.id, before=before, after=after, code=code, text=because, expires=until)  # type: ignore[arg-type]

    _act(item, made, given)


def tell_state(item: str, given: At) -> None:
    """The panel in words."""
    from darklantern.assess.panels import told
    from darklantern.assess.panels.telling import name

    with _at(item, given) as at:
        found, acts = at.panel, at.acts
    if given.as_json:
        unreadable = [{"id": each.id, "why": each.reason} for each in acts.unreadable]
        tell_json({**_plain(found), "unreadable": unreadable})
        return
    says = told(found)
    tell(says.standing)
    for heading, lines in (
        ("awaited of", says.awaited),
        ("", says.rated),
        ("the red team,", says.red_team),
        ("disagreed on", says.disagreed),
        ("", says.remarks),
    ):
        for line in lines:
            tell(f"{heading} {line}".strip())
    for done in acts.done:
        if isinstance(done.act, Closed) and done.act.panel == found.id:
            tell(f"closing {done.id[:16]} to {done.act.level} by {name(done.who)}: {done.act.text}")
    for lost in acts.unreadable:
        tell(f"may be an act, and does not open here: {lost.id[:16]} by {lost.author}: {lost.reason}")


def _act(item: str, made: Any, given: At) -> None:
    with _at(item, given) as at:
        _role(at)
        id = at.library.panels.act(at.item, made(at))
    given.tell([f"{id[:16]}: said; `darklantern panel show` tells what it comes to"], {"id": id})


def _role(at: _Found) -> Role:
    """The role in which this person is asked. Raises RefusedError where they are not."""
    me = at.library.panels.me
    found = next((each for each in at.panel.opened.raters if me in (each.who, each.substitute)), None)
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
    from darklantern.assess.panels.telling import name

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
