"""The next version: what several people are about to sign, made from the version before and what is to change.

In: the last accepted version, and changes. Out: a body, or RefusedError for a change that means nothing. Whether the
body may be signed, and whether it counts, is judged like anybody's.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import msgspec

from darklantern.errors import RefusedError, refusing
from darklantern.network.cards import Card, check_card
from darklantern.network.circles import Circle
from darklantern.network.clock import text
from darklantern.network.manifests import OrgManifest, Person
from darklantern.network.rosters import Expelled, NetworkRoot, Org, OrgRoot, Relay, Roster
from darklantern.network.states import Version
from darklantern.sealing import LogVerifyKey, VerifyKey

_refused = refusing(RefusedError, "draft", hint="nothing was drafted; check the names")


def majority(count: int) -> int:
    """More than half: the fewest of whom two groups always share somebody."""
    return count // 2 + 1


def first_roster(
    name: str,
    cards: Iterable[Card],
    *,
    log: LogVerifyKey,
    until: int,
    now: int,
    threshold: int | None = None,
    thresholds: Mapping[str, int] | None = None,
    relays: Iterable[Relay] = (),
) -> Roster:
    """The roster that founds a network of the holders of these cards. Thresholds are majorities unless they are given.

    Each card's network root signs for its org, and its org root signs the org's manifests.
    """
    cards = tuple(cards)
    _check_apart(cards)
    roots = _with_network_roots((), cards)
    orgs = _with_org_roots((), cards, thresholds or {}, admitted=text(now), reason="founded the network")
    return Roster(
        name=name,
        version=1,
        previous=None,
        until=text(until),
        threshold=threshold or majority(len({root.org for root in roots})),
        roots=roots,
        orgs=orgs,
        log=log,
        relays=tuple(relays),
    )


def next_roster(
    last: Version[Roster],
    *,
    now: int,
    admit: Iterable[Card] = (),
    roots: Iterable[Card] = (),
    expel: Iterable[str] = (),
    retire: Iterable[str] = (),
    reason: str = "",
    until: int | None = None,
    threshold: int | None = None,
    thresholds: Mapping[str, int] | None = None,
    relays: Iterable[Relay] = (),
    without_relays: Iterable[str] = (),
    moving: LogVerifyKey | None = None,
    log: LogVerifyKey | None = None,
    final: bytes | None = None,
    settles: str | None = None,
) -> Roster:
    """The roster after `last`.

    `admit` brings in the orgs of these cards, `expel` puts orgs out, both for `reason`. `roots` gives orgs that are in
    it other keys: each card's take the place of its org's network root and of its person's org root. `retire`
    takes away an org's network root. `relays` come in, or in place of those of the same name. `moving` announces
    to whom the network's log moves, and the version after that moves it: `log`, with its `final` checkpoint by the old
    key.
    """
    old, admit, roots, expel, retire = last.body, tuple(admit), tuple(roots), set(expel), set(retire)
    _check_known(expel, {org.name for org in old.orgs}, "org of the roster", "to expel")
    _check_known(retire, {root.org for root in old.roots}, "org with a network root", "to retire")
    _check_known({card.holder.org for card in roots}, {org.name for org in old.orgs} - expel, "org", "to give roots")
    if (admit or expel) and not reason:
        raise _refused("a reason for whom the network begins or ceases to trust", "none")
    _check_apart((*admit, *roots))
    gone_relays, relays = set(without_relays), tuple(relays)
    _check_known(gone_relays, {relay.name for relay in old.relays}, "relay of the roster", "to leave out")
    gone_relays |= {relay.name for relay in relays} | {relay.name for relay in old.relays if relay.org in expel}
    kept = tuple(root for root in old.roots if root.org not in retire)
    orgs = tuple(org for org in old.orgs if org.name not in expel)
    if twice := {card.holder.org for card in admit} & {org.name for org in orgs}:
        raise _refused("new orgs to admit", f"{', '.join(sorted(twice))}, which it has")
    orgs = _with_org_roots(orgs, (*admit, *roots), thresholds or {}, admitted=text(now), reason=reason)
    gone = tuple(Expelled(name=name, time=text(now), reason=reason) for name in sorted(expel))
    return msgspec.structs.replace(
        old,
        version=old.version + 1,
        previous=last.id,
        settles=settles,
        until=text(until) if until is not None else old.until,
        threshold=threshold or old.threshold,
        roots=_with_network_roots(kept, (*admit, *roots)),
        orgs=orgs,
        log=log or old.log,
        moving=moving,
        final=final,
        expelled=(*old.expelled, *gone),
        relays=(*(relay for relay in old.relays if relay.name not in gone_relays), *relays),
    )


def next_manifest(
    org: str,
    last: Version[OrgManifest] | None,
    *,
    add: Iterable[Card] = (),
    revoke: Iterable[str] = (),
    remove: Iterable[str] = (),
    settles: str | None = None,
) -> OrgManifest:
    """The org's manifest after `last`: with the holders and devices of `add`, without devices to `revoke` (by id) and
    persons to `remove` (by id)."""
    people = {person.id: person for person in (last.body.people if last else ())}
    revoke, remove = set(revoke), set(remove)
    _check_known(remove, people.keys(), "person in the manifest", "to remove")
    _check_known(revoke, {each.id for one in people.values() for each in one.devices}, "device in it", "to revoke")
    for card in add:
        holder = card.holder
        check_card(card)
        if holder.org != org:
            raise _refused(f"cards of people of {org}", f"one of {holder.org}")
        known = people.get(holder.person)
        devices = known.devices if known else ()
        if card.device not in devices:
            devices = (*devices, card.device)
        people[holder.person] = Person(id=holder.person, name=holder.name, devices=devices)
    return OrgManifest(
        org=org,
        version=last.body.version + 1 if last else 1,
        previous=last.id if last else None,
        settles=settles,
        people=tuple(
            msgspec.structs.replace(person, devices=tuple(each for each in person.devices if each.id not in revoke))
            for person in people.values()
            if person.id not in remove
        ),
        revoked=tuple(sorted({*(last.body.revoked if last else ()), *revoke})),
    )


def next_circle(circle: str, last: Version[Circle], **changes: object) -> Circle:
    """The record of a circle after `last`, with other values in the fields of `changes`."""
    following = {"circle": circle, "version": last.body.version + 1, "previous": last.id, "settles": None}
    return msgspec.structs.replace(last.body, **(following | {"moving": None, "final": None} | changes))


def _check_apart(cards: Sequence[Card]) -> None:
    """Raises RefusedError for a card that would change nothing: without a root, or with one that another displaces."""
    for card in cards:
        if card.org_root is None and card.network_root is None:
            raise RefusedError(
                f"the card of {_holder(card)} names no root: it would change nothing",
                hint="`darklantern org root` makes one, on their device; then a new card: `darklantern device card`",
            )
    for one, other in combinations(cards, 2):
        if one == other:
            raise RefusedError(
                f"the card of {_holder(one)} is there twice",
                hint="name each card once; is one of them meant to be another's?",
            )
        if one.holder.org != other.holder.org:
            continue
        same = one.holder.person == other.holder.person
        if _differ(one.network_root, other.network_root) or (same and _differ(one.org_root, other.org_root)):
            raise RefusedError(
                f"expected one network root for each org, and one org root for each person, got two: on the cards of "
                f"{_holder(one)} and of {_holder(other)}",
                hint="leave one of the cards out; two orgs need two names (`darklantern device new --org`)",
            )


def _holder(card: Card) -> str:
    return f"{card.holder.name} ({card.holder.person} of {card.holder.org})"


def _differ(one: VerifyKey | None, other: VerifyKey | None) -> bool:
    return one is not None and other is not None and one != other


def _with_network_roots(roots: tuple[NetworkRoot, ...], cards: Iterable[Card]) -> tuple[NetworkRoot, ...]:
    fresh = {card.holder.org: card.network_root for card in cards if card.network_root is not None}
    kept = tuple(root for root in roots if root.org not in fresh)
    return (*kept, *(NetworkRoot(org=org, key=key) for org, key in fresh.items()))


def _with_org_roots(
    orgs: tuple[Org, ...], cards: Iterable[Card], thresholds: Mapping[str, int], *, admitted: str, reason: str
) -> tuple[Org, ...]:
    """The orgs with the org roots of these cards: new ones, or in place of the same person's. Majorities by default."""
    listed = {org.name: org for org in orgs}
    for card in cards:
        check_card(card)
        if card.org_root is None:
            continue
        holder, key = card.holder, card.org_root
        known = listed.get(holder.org)
        others = tuple(root for root in (known.roots if known else ()) if root.person != holder.person)
        roots = (*others, OrgRoot(person=holder.person, key=key))
        if known is None:
            listed[holder.org] = Org(name=holder.org, roots=roots, threshold=1, admitted=admitted, reason=reason)
        else:
            listed[holder.org] = msgspec.structs.replace(known, roots=roots)
    _check_known(thresholds.keys(), listed.keys(), "org of the roster", "to set a threshold for")
    changed = {name for name, org in listed.items() if org not in orgs}
    return tuple(
        msgspec.structs.replace(org, threshold=thresholds.get(name) or majority(len(org.roots)))
        if name in changed or name in thresholds
        else org
        for name, org in listed.items()
    )


def _check_known(named: Iterable[str], known: Iterable[str], what: str, why: str) -> None:
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise _refused(f"an {what} {why}" if what[0] in "aeiou" else f"a {what} {why}", unknown[0])
