"""What a record says and changes, in plain words, for whoever is about to sign it.

In: a body, and the version before it if there is one. Out: sentences. Every field that decides something has its
words: what is not said here would be signed unread. Names in it were written by people; they are data.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from darklantern.network.circles import Admin, Circle, Named, Terms
from darklantern.network.heads import Moving
from darklantern.network.manifests import OrgManifest, Person
from darklantern.network.pledges import Breach, PledgeText
from darklantern.network.reading import Body
from darklantern.network.rosters import NetworkRoot, Org, OrgRoot, Relay, Roster
from darklantern.records.assessments import LEVEL_NAMES
from darklantern.sealing.fingerprints import fingerprint, fingerprint_of

_HISTORY = {
    "all": "newcomers may read everything of the past",
    "since-join": "newcomers may read what is sealed from the day they join",
    "none": "nobody may read what an earlier epoch sealed unless they were in it",
}


class _Settling(Protocol):
    @property
    def settles(self) -> str | None: ...


def words(body: Body, before: Body | None = None, terms: Terms | None = None) -> tuple[str, ...]:
    """`body` in sentences: what it changes against `before`, or all of it where there is nothing before."""
    match body:
        case Roster():
            return tuple(_roster(body, before if isinstance(before, Roster) else None))
        case OrgManifest():
            return tuple(_manifest(body, before if isinstance(before, OrgManifest) else None))
        case Circle():
            return tuple(_circle(body, before if isinstance(before, Circle) else None, terms))
        case Breach():
            return tuple(_breach(body))
        case _:
            return ()


def _roster(new: Roster, old: Roster | None) -> Iterator[str]:
    if old is None:
        yield f"founds the network {new.name!r}, and expires on {new.until}"
    else:
        yield f"version {new.version} of the roster of network {old.name!r}"
        yield from _renamed("the network is called", old.name, new.name)
        yield from _renamed("it expires on", old.until, new.until)
    yield from _settled(new)
    if old is None or old.threshold != new.threshold:
        yield f"{new.threshold} of {len({root.org for root in new.roots})} orgs must sign each roster from here on"
    yield from _lists(
        "network root", _roots(old.roots if old else ()), _roots(new.roots), gone="no longer signs for the network"
    )
    orgs = {org.name: org for org in (old.orgs if old else ())}
    for org in new.orgs:
        yield from _org(org, orgs.get(org.name))
    for name in orgs.keys() - {org.name for org in new.orgs}:
        why = next((each for each in reversed(new.expelled) if each.name == name), None)
        yield f"expels the org {name}{f' as of {why.time}: {why.reason}' if why else ''}; nobody of it counts any more"
        if any(root.org == name for root in new.roots):
            yield f"{name} is expelled, and its network root still signs rosters"
    fresh = set(new.expelled) - set(old.expelled if old else ())
    for each in sorted(fresh, key=lambda each: each.name):
        if each.name not in orgs or each.name in {org.name for org in new.orgs}:
            yield f"says that {each.name} was expelled on {each.time}: {each.reason}"
    yield from _lists("relay", _relays(old.relays if old else ()), _relays(new.relays), gone="no longer counts")
    yield from _log("the network's log", old, new)


def _org(new: Org, old: Org | None) -> Iterator[str]:
    if old is None:
        yield f"admits the org {new.name} as of {new.admitted}: {new.reason}"
    elif (old.admitted, old.reason) != (new.admitted, new.reason):
        yield f"{new.name}: admitted as of {new.admitted}: {new.reason}"
    if old is None or (old.threshold, len(old.roots)) != (new.threshold, len(new.roots)):
        yield f"{new.name}: {new.threshold} of {len(new.roots)} persons must sign its manifests"
    before = _org_roots(old.roots if old else ())
    yield from _lists(f"{new.name}: root of", before, _org_roots(new.roots), gone="no longer signs for the org")


def _manifest(new: OrgManifest, old: OrgManifest | None) -> Iterator[str]:
    yield f"version {new.version} of the people and devices of {new.org}"
    yield from _settled(new)
    before = {person.id: person for person in (old.people if old else ())}
    after = {person.id: person for person in new.people}
    for id, person in after.items():
        known = before.get(id)
        if known is None:
            yield f"adds the person {id}, called {person.name}"
        elif known.name != person.name:
            yield f"{id} is now called {person.name}, before {known.name}"
        yield from _devices(person, known, new.revoked)
    for id in before.keys() - after.keys():
        yield f"removes the person {id}, called {before[id].name}; nothing of theirs counts any more"
    listed = {device.id for person in before.values() for device in person.devices}
    for device in sorted(set(new.revoked) - set(old.revoked if old else ()) - listed):
        yield f"revokes the device {fingerprint_of(device)}, for good"


def _devices(new: Person, old: Person | None, revoked: Iterable[str]) -> Iterator[str]:
    before = {device.id: device for device in (old.devices if old else ())}
    after = {device.id: device for device in new.devices}
    for id in after.keys() - before.keys():
        yield f"{new.id}: adds the device {after[id].fingerprint}"
    for id in before.keys() - after.keys():
        how = "revokes the device {}, for good" if id in revoked else "no longer lists the device {}"
        yield f"{new.id}: {how.format(before[id].fingerprint)}"


def _circle(new: Circle, old: Circle | None, terms: Terms | None) -> Iterator[str]:
    called = f" {terms.name!r}" if terms else ""
    if old is None:
        yield f"founds the circle{called}"
    else:
        yield f"version {new.version} of the circle{called}"
    if terms is not None:
        tags = f", tagged {', '.join(terms.tags)}" if terms.tags else ""
        yield f"it is at {terms.level} {LEVEL_NAMES[terms.level]}{tags}, which never changes"
    yield from _settled(new)
    for name, before, after in (
        ("all people of", old.orgs if old else (), new.orgs),
        ("admin", _admins(old.admins if old else ()), _admins(new.admins)),
        ("pledge", _pledges(old.pledges if old else ()), _pledges(new.pledges)),
    ):
        yield from _lists(name, {each: each for each in before}, {each: each for each in after}, gone="no longer")
    yield from _named(new.people, old.people if old else ())
    if old is None or (old.quorum, len(old.admins)) != (new.quorum, len(new.admins)):
        yield f"{new.quorum} of {len(new.admins)} admins must sign each version; any one of them removes people"
    if old is None or old.history != new.history:
        yield f"history {new.history!r}: {_HISTORY[new.history]}"
    for name, was, now in (
        ("a view counts as stale, and sealing stops, after", old and old.freshness, new.freshness),
        ("an epoch is too old to seal to after", old and old.rotation, new.rotation),
        ("seeds are destroyed, after the end of their epoch, in", old and old.retention, new.retention),
    ):
        if (old is None and now is not None) or (old is not None and was != now):
            yield f"{name} {_span(now)}"
    if (old.witnesses if old else 0) != new.witnesses:
        yield f"{new.witnesses} other orgs' relays must have cosigned what it rests on before anything is sealed"
    if (old.countersigned if old else False) != new.countersigned:
        yield (
            "a device counts only if it is named, or somebody vouches for it"
            if new.countersigned
            else "every device that an org lists counts, vouched for or not"
        )
    for removal in sorted(set(new.restored) - set(old.restored if old else ())):
        yield f"undoes the removal {removal[:16]}…: whom it removed is in again"
    yield from _log("the circle's log", old, new)


def _named(new: tuple[Named, ...], old: tuple[Named, ...]) -> Iterator[str]:
    before = {(each.org, each.person): each for each in old}
    after = {(each.org, each.person): each for each in new}
    for who, named in after.items():
        known = before.get(who)
        if known is None:
            yield f"adds {named.person} of {named.org}"
        for device in sorted(set(named.devices) - set(known.devices if known else ())):
            yield f"{named.person} of {named.org}: the admins have compared the device {fingerprint_of(device)}"
        for device in sorted(set(known.devices if known else ()) - set(named.devices)):
            yield f"{named.person} of {named.org}: the device {fingerprint_of(device)} is no longer named"
    for who in before.keys() - after.keys():
        yield f"no longer names {who[1]} of {who[0]}"


def _breach(breach: Breach) -> Iterator[str]:
    who = f"{breach.person} of {breach.org}"
    if breach.withdraws is not None:
        yield f"takes back that {who} broke the pledge {breach.pledge!r} (record {breach.withdraws[:16]}…)"
    else:
        yield f"says that {who} broke the pledge {breach.pledge!r}, in all its versions, on {breach.time}"
        yield f"{who} is in no circle that asks for it, until this is taken back"
    yield f"the reason: {breach.reason}"


def _settled(body: _Settling) -> Iterator[str]:
    if body.settles is not None:
        yield f"settles a fork: {body.settles} is set aside for good"


def _renamed(what: str, old: str, new: str) -> Iterator[str]:
    if old != new:
        yield f"{what} {new}, before {old}"


def _log(what: str, old: Moving | None, new: Moving) -> Iterator[str]:
    if old is None:
        yield f"{what} is kept by whoever holds the key {new.log.fingerprint}"
    elif old.log != new.log:
        yield f"{what} moves to whoever holds the key {new.log.fingerprint}, before {old.log.fingerprint}"
    elif old.moving and not new.moving:
        yield f"{what} stays with whoever holds the key {new.log.fingerprint}: the move is called off"
    if new.moving and (old is None or old.moving != new.moving):
        yield f"announces that {what} moves to whoever holds the key {new.moving.fingerprint}"
        yield "until the next version moves it, or calls the move off, nothing is appended to it"


def _lists(what: str, old: dict[str, str], new: dict[str, str], gone: str) -> Iterator[str]:
    """What a list gains, loses and holds in another form; each by its name and its words."""
    for name, said in new.items():
        if name not in old:
            yield f"{what} {said}"
        elif old[name] != said:
            yield f"{what} {said}, before {old[name]}"
    for name in old.keys() - new.keys():
        yield f"{what} {old[name]}: {gone}"


def _roots(roots: Iterable[NetworkRoot]) -> dict[str, str]:
    return {f"{root.org} {root.key.id}": f"of {root.org}: {root.key.fingerprint}" for root in roots}


def _org_roots(roots: Iterable[OrgRoot]) -> dict[str, str]:
    return {root.person: f"{root.person}: {root.key.fingerprint}" for root in roots}


def _relays(relays: Iterable[Relay]) -> dict[str, str]:
    return {
        f"{relay.name} {relay.card.public.id}": f"{relay.name} of {relay.org}: {relay.card.public.fingerprint}, "
        f"at {', '.join(relay.card.urls)}, certificate {_certificate(relay)}"
        for relay in relays
    }


def _certificate(relay: Relay) -> str:
    return fingerprint(relay.card.certificate) if relay.card.certificate else "none: without TLS"


def _admins(admins: Iterable[Admin]) -> list[str]:
    return [f"{admin.person} of {admin.org}" for admin in admins]


def _pledges(pledges: Iterable[PledgeText]) -> list[str]:
    return [f"{each.name!r} version {each.version} (text {each.text[:16]}…)" for each in pledges]


def _span(seconds: int | None) -> str:
    """A length of time as people say it, exactly."""
    if seconds is None:
        return "no time: never"
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
