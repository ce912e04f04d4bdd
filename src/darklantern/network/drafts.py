"""The draft: a record that several people sign in different places, on its way between them.

In: a body, or the bytes of a draft. Out: the other, and who has signed it, who may, and how many are wanting. It signs
nothing. A circle's draft carries the circle's terms, which are secret, so its bytes are sealed to who may sign it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from darklantern.errors import NoKeyError, RefusedError
from darklantern.network import circles, manifests, rosters
from darklantern.network.circles import Circle, Terms
from darklantern.network.manifests import OrgManifest
from darklantern.network.pledges import Breach
from darklantern.network.reading import Read, take_apart
from darklantern.network.roles import check_role, circle_parts, log_keys, log_parts
from darklantern.network.rosters import Roster
from darklantern.network.secret_values import SecretValue
from darklantern.network.states import NetworkState
from darklantern.records.exact import decode, encode
from darklantern.sealing import Envelope, Identity, Recipient, VerifyKey, open, seal, verify

_AGE: Final = b"age-encryption.org/v1"


class Draft(SecretValue, frozen=True, kw_only=True):
    """An envelope that may still lack signatures, and for a circle its terms."""

    v: Literal[1] = 1
    envelope: Envelope
    terms: Terms | None = None

    @property
    def read(self) -> Read:
        """What it holds. Raises RecordError or RefusedError."""
        return take_apart(self.envelope)


@dataclass(frozen=True)
class Quorum:
    """Signers of whom a number is needed, each standing for an org or a person."""

    whose: str
    """for people: 'orgs of version 2'"""
    needed: int
    stands_for: Mapping[str, str]
    """key id → org or person"""


@dataclass(frozen=True)
class Tally:
    """How far a quorum has signed."""

    quorum: Quorum
    signed: tuple[str, ...]
    """orgs or persons, sorted"""

    @property
    def enough(self) -> bool:
        """Whether enough have signed."""
        return len(self.signed) >= self.quorum.needed

    def __str__(self) -> str:
        names = f" ({', '.join(self.signed)})" if self.signed else ""
        said = f"{len(self.signed)} of the {self.quorum.needed} {self.quorum.whose} that it needs have signed{names}"
        return said if self.enough else f"{said}; lacking: {self._lacking()}"

    def _lacking(self) -> str:
        may = sorted({*self.quorum.stands_for.values()} - {*self.signed})
        count = self.quorum.needed - len(self.signed)
        return f"{f'{count} of ' if count < len(may) else ''}{', '.join(may) or 'somebody who may sign'}"


def write_draft(draft: Draft, state: NetworkState) -> bytes:
    """The bytes that travel: exact JSON, or for a circle an age file to each device that may sign it."""
    data, body = encode(draft), draft.read.body
    return seal(data, _admins(state, body)) if isinstance(body, Circle) else data


def read_draft(data: bytes, identity: Identity) -> Draft:
    """The draft in `data`. Raises SealError, RecordError or RefusedError."""
    try:
        draft = decode(Draft, open(data, [identity]) if data.startswith(_AGE) else data.strip())
    except NoKeyError as error:
        raise NoKeyError(
            "the draft is of a circle, and sealed to its admins: this device is none of theirs",
            hint="an admin of the circle signs it, and any of them publishes it; what is in it is for them alone",
        ) from error
    body = draft.read.body
    terms = draft.terms.commitment if draft.terms else None
    if terms != (body.terms if isinstance(body, Circle) else None):
        raise RefusedError(
            "the draft's terms are not those that its record names",
            hint="do not sign it; ask the one who drafted it for another",
        )
    return draft


def quorums(state: NetworkState, body: object) -> tuple[tuple[Quorum, ...], bool]:
    """Who signs `body`, and whether all of these quorums must (True) or any one of them is enough (False)."""
    match body:
        case Roster():
            last = state.roster
            versions = [each for each in (last, body) if each is not None]
            return tuple(_root_orgs(each) for each in versions), True
        case OrgManifest():
            return (_persons(state, body.org),), True
        case Breach():
            roster = state.roster
            return (*((_root_orgs(roster),) if roster else ()), _persons(state, body.org)), False
        case Circle():
            last_circle = state.circle(body.circle) if body.circle else None
            return tuple(_quorum(state, each) for each in (last_circle, body) if each is not None), True
        case _:
            raise RefusedError(
                "one device signs such a record by itself; it is never drafted",
                hint="drafts are of rosters, manifests, circles and breaches",
            )


def accepted(state: NetworkState, body: object) -> dict[str, VerifyKey]:
    """The keys whose signatures `body` may bear, by their id."""
    match body:
        case Roster():
            return {**(state.roster.keys() if state.roster else {}), **body.keys()}
        case OrgManifest():
            return _org_keys(state, body.org)
        case Breach():
            return {**(state.roster.keys() if state.roster else {}), **_org_keys(state, body.org)}
        case _:
            names = {name for quorum in quorums(state, body)[0] for name in quorum.stands_for}
            keys = (standing.device.signing for standing in state.devices.values())
            return {key.id: key for key in keys if key.id in names}


def tallies(state: NetworkState, draft: Draft) -> tuple[Tally, ...]:
    """How far each quorum has signed. Raises SignatureError for a signature that does not verify or does not count."""
    body = draft.read.body
    signers = verify(draft.envelope, accepted(state, body)) if draft.envelope.signers else frozenset[str]()
    return tuple(
        Tally(quorum, tuple(sorted({quorum.stands_for[signer] for signer in signers if signer in quorum.stands_for})))
        for quorum in quorums(state, body)[0]
    )


def is_signed(state: NetworkState, draft: Draft) -> bool:
    """Whether enough have signed."""
    found, everyone = tallies(state, draft), quorums(state, draft.read.body)[1]
    return (all if everyone else any)(tally.enough for tally in found)


def check_fits(net: str, state: NetworkState, draft: Draft) -> None:
    """Raises RefusedError for a draft that would not count whoever signs it: not the next version, or against a rule.

    To sign a version that is there already is to help a fork, so it is refused here and not only judged later.
    """
    read = draft.read
    body = read.body
    if not state.rosters:
        if not isinstance(body, Roster) or body.version != 1:
            raise RefusedError(
                "expected the first roster of a network, got another record",
                hint="join the network first: `darklantern device join`",
            )
        rosters.check_roster(body)
        return
    if read.record.net != net:
        raise RefusedError("the draft is of another network", hint="do not sign it; ask where it comes from")
    match body:
        case Roster():
            last = state.rosters[-1]
            _check_read_so_far(body.version, len(state.rosters))
            rosters.check_successor(last.body, last.id, body)
            rosters.check_roster(body)
            check_role(state, "root", rosters.root_parts(body))
            check_role(state, "log", (part for key in log_keys(body) for part in log_parts(key)))
            check_role(state, "relay", rosters.relay_parts(body))
        case OrgManifest():
            versions = state.manifests.get(body.org, ())
            before = versions[-1] if versions else None
            _check_read_so_far(body.version, len(versions))
            manifests.check_successor(before.body if before else None, before.id if before else None, body)
            manifests.check_manifest(body, state.devices)
            listed = manifests.standings(body).values()
            check_role(state, "device", (part for each in listed for part in manifests.device_parts(each.device)))
        case Circle():
            circles.check_circle(body, (org.name for org in state.roster.orgs) if state.roster else ())
            check_role(state, "log", circle_parts(body))
            if draft.terms is not None:
                circles.check_terms(draft.terms)
                circles.check_closed(body, draft.terms)
            if body.circle is not None:
                known = state.circles.get(body.circle)
                if known is None:
                    raise RefusedError("it changes a circle that is not here", hint="import a newer bundle first")
                _check_read_so_far(body.version, len(known))
                circles.check_successor(known[-1].body, known[-1].id, body)
        case _:
            quorums(state, body)


def _check_read_so_far(version: int, here: int) -> None:
    if version > here + 1:
        raise RefusedError(
            f"the draft is of version {version}, and only {here} are here: what it changes cannot be told",
            hint="import a newer bundle first",
        )


def _admins(state: NetworkState, circle: Circle) -> list[Recipient]:
    """The devices of all who may sign, of this version and of the one before."""
    owners = _owners(state, circle)
    if circle.circle and (before := state.circle(circle.circle)):
        owners |= _owners(state, before)
    found = [state.devices[device].device.receiver() for device in sorted(owners)]
    if not found:
        raise RefusedError(
            "no admin of the circle has a device that a current manifest lists",
            hint="their orgs must list them first; import a newer bundle",
        )
    return found


def _owners(state: NetworkState, circle: Circle) -> dict[str, tuple[str, str]]:
    """The active devices of a circle's admins, and whose they are."""
    return {
        device: standing.owner
        for device, standing in state.devices.items()
        if circle.has_admin(standing.owner) and state.is_active(device) and device not in state.frozen
    }


def _root_orgs(roster: Roster) -> Quorum:
    stands_for = {root.key.id: root.org for root in roster.roots}
    return Quorum(f"orgs of roster version {roster.version}", roster.threshold, stands_for)


def _persons(state: NetworkState, name: str) -> Quorum:
    org = state.roster.org(name) if state.roster else None
    if org is None:
        raise RefusedError(f"the org {name!r} is not in the roster", hint="the network's roots must admit it first")
    return Quorum(f"persons of {name}", org.threshold, {root.key.id: root.person for root in org.roots})


def _org_keys(state: NetworkState, name: str) -> dict[str, VerifyKey]:
    org = state.roster.org(name) if state.roster else None
    return {root.key.id: root.key for root in org.roots} if org else {}


def _quorum(state: NetworkState, circle: Circle) -> Quorum:
    owners = _owners(state, circle)
    stands_for = {state.devices[device].device.signing.id: " of ".join(reversed(who)) for device, who in owners.items()}
    return Quorum(f"admins of circle version {circle.version}", circle.quorum, stands_for)
