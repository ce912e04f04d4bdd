"""May this device seal to this circle now, and to which epoch: decided by the sealer, told by no server.

In: a view, a circle, a device and a time. Out: the epoch to seal to, or the members to rotate to; or
RefusedError naming the rule that forbids it. It seals nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from darklantern.errors import RefusedError
from darklantern.network.circles import Terms
from darklantern.network.clock import JUMP, seconds, text
from darklantern.network.effective import Effective, effective
from darklantern.network.epochs import EpochSeed, Previous
from darklantern.network.following import bases, holders, wanted_link
from darklantern.network.items import finding_hash
from darklantern.network.merging import check_not_frozen
from darklantern.network.pledges import PledgeText, command
from darklantern.network.states import CircleState, EpochEntry
from darklantern.network.view import View
from darklantern.network.witnessing import witnessed
from darklantern.records.assessments import LEVEL_NAMES, LEVELS, Assessment, Level
from darklantern.records.findings import Finding

Follows = Callable[[Assessment], bool]
"""Whether an assessment's level follows from its answers by the table that it names; never true of an unknown table.

Whoever opens a library passes it in (`assess.level_follows`): the sharing half does not know the tables.
"""


@dataclass(frozen=True)
class Plan:
    """What to do before sealing."""

    members: Effective
    epoch: EpochEntry | None
    """seal to this one; None: rotate to `members` first"""
    as_of: int
    """the time at which they were judged; a rotation says so"""
    last: EpochEntry | None
    """the newest epoch, which a rotation follows"""
    linked: str | None
    """the epoch whose seed a rotation must carry"""

    def previous(self, seeds: Mapping[str, bytes]) -> Previous | None:
        """What a rotation follows, with the seed that it carries."""
        if self.last is None:
            return None
        linked = EpochSeed(epoch=self.linked, seed=seeds[self.linked]) if self.linked else None
        return Previous(id=self.last.id, number=self.last.body.number, linked=linked)


def check_label(finding: Finding, assessment: Assessment | None, terms: Terms, follows: Follows) -> Level:
    """The level at which the finding may go to a circle with these terms. Raises RefusedError naming what binds.

    Without an assessment, or with one that does not follow, nothing is known of a finding, and unknown means private.
    """
    if assessment is None:
        raise RefusedError(
            "no assessment: the level of this finding is unknown, so it is V4 Private",
            hint="assess it first; what is not measured counts as the worst case",
        )
    if assessment.finding != finding_hash(finding):
        raise RefusedError(
            "the assessment is of another finding, or of another version of it",
            hint="assess the finding that you want to share",
        )
    check_follows(assessment, follows)
    if _rank(assessment.operate) > _rank(terms.level):
        raise RefusedError(
            f"the finding's level is {assessment.operate} {LEVEL_NAMES[assessment.operate]}, more closed than "
            f"circle {terms.name!r} at {terms.level} {LEVEL_NAMES[terms.level]}; "
            f"binding: {'; '.join(assessment.binding) or 'no rule is named'}",
            hint=f"what would lower it: {'; '.join(assessment.lowering) or 'nothing that the assessment names'}",
        )
    return assessment.operate


def check_follows(assessment: Assessment, follows: Follows) -> None:
    """Raises RefusedError for a level that is only claimed: it does not follow from the answers beside it."""
    if not follows(assessment):
        raise RefusedError(
            f"the assessment says {assessment.operate}, and that does not follow from its answers by any table that "
            f"this program has; it names {assessment.table!r}. So the level is unknown, and that is V4 Private",
            hint="a newer program may have the table; otherwise whoever assessed the finding must do it again",
        )


def check_carried(level: Level, terms: Terms, carried: Iterable[Level]) -> None:
    """Raises RefusedError when somebody else's finding would lose the level that it came with.

    `carried` are the levels at which others have shared the same finding here. Only its author widens. The circle is
    at least as closed as `level`, which `check_label` gave.
    """
    closest = max(carried, key=_rank, default=None)
    if closest and _rank(level) < _rank(closest):
        raise RefusedError(
            f"its author shared this finding at {closest}; going to {terms.level} at {level} would widen it",
            hint="ask its author to share it there: no hop changes a label",
        )


def allows(level: Level, terms: Terms) -> bool:
    """Whether a circle with these terms is closed enough for something at `level`."""
    return _rank(level) <= _rank(terms.level)


def check_fresh(view: View, circle: CircleState, kept: Collection[str], now: int) -> None:
    """Raises RefusedError when the view is older than the circle allows.

    Whoever withholds the newest entries cannot be caught, only bounded. A log that this library keeps itself
    (`kept`) is never stale.
    """
    rules = view.rules(circle.id)
    freshness = rules.freshness
    for log, what in ((view.net, "the network's log"), (circle.id, "the circle's log")):
        head = view.heads.get(log)
        if log in kept or (log == circle.id and head is None and not view.trail(log).size):
            continue
        if head is None or now - head.time > freshness:
            since = f"stale since {text(head.time + freshness)}" if head else "never seen"
            raise RefusedError(
                f"the view of {what} is {since}; the circle's freshness limit is {freshness} s",
                hint="import a newer bundle: somebody may have been removed since",
            )
        said = witnessed(view, log, rules.witnesses)
        if said is None or now - said > freshness:
            when = f"last on {text(said)}" if said else "never all of them"
            raise RefusedError(
                f"the circle asks that {rules.witnesses} orgs beside its keeper's cosign {what}; they did {when}",
                hint="sync with a relay that has their cosignatures: without them, two histories could be shown",
            )


def plan(
    view: View,
    circle_id: str,
    device: str,
    *,
    seeds: Collection[str],
    kept: Collection[str],
    now: int,
    signed: Collection[PledgeText] = (),
) -> Plan:
    """What `device` must do to seal to the circle at `now`. Raises RefusedError naming the rule that forbids it.

    `seeds` are the epochs whose seed it holds; `kept` are the logs that its library appends to; `signed` are pledges
    that its person has signed, in no log yet perhaps: they are not told to sign these again.
    """
    # 1. Nothing that the view rests on is in doubt.
    for log in (view.net, circle_id):
        check_not_frozen(view, log)
        _check_whole(view, log)
    circle, rules = view.circle(circle_id), view.rules(circle_id)
    _check_roster(view, now)
    if circle_id in view.network.circle_forks:
        raise RefusedError(
            "two records claim to be the next version of this circle: sealing stops until its quorum settles it",
            hint="its admins sign a version after the first of them, whose `settles` names the other",
        )
    check_fresh(view, circle, kept, now)
    # 2. There is somebody to seal to, and the sealer is one of them.
    epoch, size = circle.epoch, view.trail(circle_id).size
    as_of = _as_of(epoch, now)
    members = effective(view.network, circle_id, as_of, circle.frozen_at(size))
    if not members.members:
        reasons = "; ".join(str(excluded) for excluded in members.excluded[:5])
        raise RefusedError(
            f"the circle has no effective member: {reasons or 'its orgs list nobody'}",
            hint="empty means nobody, never everybody",
        )
    if device not in members.ids:
        raise RefusedError(
            f"this device is not an effective member: {members.explain(device)}",
            hint=_remedy(view.to_sign(circle_id, device, as_of), signed),
        )
    # 3. The newest epoch is for exactly them, or a new one is made.
    old = epoch is not None and _is_old(seconds(epoch.body.as_of), rules.rotation, now)
    right = epoch if epoch and epoch.members == members.ids and epoch.id in seeds and not old else None
    # 4. That stands on the newest epoch whose seed is here; none is skipped whose seed somebody claims to hold.
    closed = None
    for base in bases(circle, rules, members, device, as_of, size):
        linked = wanted_link(rules, base, members)
        if linked is None or linked in seeds:
            return Plan(members, right, as_of, epoch, linked)
        closed = base
    raise _closed(view, circle, closed, members, size)


def _remedy(wanting: Collection[PledgeText], signed: Collection[PledgeText]) -> str:
    """What makes a device a member whose person lacks these pledges, if that is all it lacks."""
    if not wanting:
        return "only members seal, so that somebody can answer for what is in the circle"
    unsigned = " and ".join(f"`{command(each)}`" for each in wanting if each not in signed)
    return f"{unsigned}, and a sync, make it one" if unsigned else "your signature waits: sync"


def _closed(view: View, circle: CircleState, epoch: EpochEntry | None, members: Effective, size: int) -> RefusedError:
    """Who can rotate, where this device cannot."""
    assert epoch is not None  # what stands on no epoch carries no seed, and was planned
    claim = holders(circle, epoch.id, members.ids, size)
    owners = sorted({view.network.devices[device].owner for device in claim})
    who = ", ".join(f"{person} of {org}" for org, person in owners) or "another of its members"
    return RefusedError(
        f"epoch {epoch.body.number} is not for exactly the effective members, or is closed to this device, and "
        f"rotating needs its seed, which is not here",
        hint=f"ask {who} to rotate; if it opens for nobody else, an admin removes whoever made it and sealed to it, "
        f"and the next epoch skips it",
    )


def _as_of(epoch: EpochEntry | None, now: int) -> int:
    """When members are judged: never before the newest epoch was, if that is not from a future that cannot be."""
    said = seconds(epoch.body.as_of) if epoch else 0
    return said if now < said <= now + JUMP else now


def _is_old(as_of: int, rotation: int | None, now: int) -> bool:
    """Whether an epoch is not to be sealed to any more. One from the future would never be."""
    return as_of > now + JUMP or (rotation is not None and now - as_of > rotation)


def _check_whole(view: View, log: str) -> None:
    """Raises RefusedError while an entry is here without its signatures.

    Ids and roots leave signatures out. Whoever alters those of a removal on its way hides it from a reader whose view
    is fresh, and witnessed, in all else.
    """
    state = view.network if log == view.net else view.circle(log)
    spoiled = next((leaf for leaf in state.opaque if leaf.unsigned), None)
    if spoiled:
        raise RefusedError(
            f"entry {spoiled.position} of log {log[:8]}… is here without its signers' signatures: {spoiled.reason}",
            hint="it may remove somebody: take it from another relay, or import a bundle; until then nothing is sealed",
        )


def _check_roster(view: View, now: int) -> None:
    roster = view.network.roster
    if roster is None:
        raise RefusedError("there is no roster yet", hint="import a bundle of this network first")
    if view.network.roster_fork:
        raise RefusedError(
            "two rosters claim to follow the same version: sealing stops until the roots settle which one counts",
            hint="show both to the roots; reading goes on",
        )
    if seconds(roster.until) <= now:
        raise RefusedError(
            f"roster version {roster.version} expired on {roster.until}: sealing stops, reading goes on",
            hint="import a newer roster, signed by the network's roots",
        )


def _rank(level: Level) -> int:
    return LEVELS.index(level)
