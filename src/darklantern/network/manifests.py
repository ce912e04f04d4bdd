"""The org's manifest: its people, and the devices by which others know them.

In: a manifest, its signers, the one before it. Out: nothing, or RefusedError naming the rule.
Revocation only grows: a device that was revoked never comes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from darklantern.errors import RefusedError
from darklantern.network.naming import check_apart, check_name
from darklantern.network.rosters import Count, Org
from darklantern.records.exact import Name, Sha256, Value
from darklantern.sealing import DevicePublic


class Person(Value, frozen=True, kw_only=True):
    """A member of an org. `id` stays the same for life; `name` is what others see."""

    id: Name
    name: Name
    devices: tuple[DevicePublic, ...]


class OrgManifest(Value, frozen=True, kw_only=True):
    """One version of an org's people and devices."""

    v: Literal[1] = 1
    org: Name
    version: Count
    previous: Sha256 | None
    settles: Sha256 | None = None
    """where two claimed to be the version before: the other one, which this one sets aside"""
    people: tuple[Person, ...]
    revoked: tuple[Sha256, ...] = ()
    """ids of devices that are lost, stolen or given back; sorted"""


@dataclass(frozen=True)
class Standing:
    """Whose a device is, as its org's manifest says."""

    id: str
    device: DevicePublic
    org: str
    person: str
    name: str

    @property
    def owner(self) -> tuple[str, str]:
        """(org, person): person ids mean something within their org only."""
        return self.org, self.person


def standings(manifest: OrgManifest) -> dict[str, Standing]:
    """Device id → whose it is, for each device that the manifest lists. Raises RefusedError for one listed twice."""
    listed = [
        Standing(device.id, device, manifest.org, person.id, person.name)
        for person in manifest.people
        for device in person.devices
    ]
    parts = [key for standing in listed for key in device_parts(standing.device)]
    if len(set(parts)) != len(parts):
        raise _refused(manifest, "each device once", "one twice, or two that share a key")
    return {standing.id: standing for standing in listed}


def check_manifest(manifest: OrgManifest, known: Mapping[str, Standing]) -> None:
    """Raises RefusedError for a device listed twice, in use elsewhere, or listed although revoked.

    `known` are all devices that any manifest ever listed: a device belongs to one person for good.
    """
    if len({person.id for person in manifest.people}) != len(manifest.people):
        raise _refused(manifest, "each person once", "one twice")
    check_apart(person.id for person in manifest.people)
    for person in manifest.people:
        check_name(person.name)
    owners = {key: standing.owner for standing in known.values() for key in device_parts(standing.device)}
    for standing in standings(manifest).values():
        if any(owners.get(key, standing.owner) != standing.owner for key in device_parts(standing.device)):
            raise _refused(manifest, "devices of its own people", "a key that another person uses")
        standing.device.receiver()  # a recipient that cannot be sealed to would stop every rotation
        if standing.id in manifest.revoked:
            raise _refused(manifest, "no revoked device among the people's", standing.id)
    if list(manifest.revoked) != sorted(set(manifest.revoked)):
        raise _refused(manifest, "revoked devices sorted, each once", "another order")


def check_successor(old: OrgManifest | None, old_id: str | None, new: OrgManifest) -> None:
    """Raises RefusedError unless `new` is the next version after `old` and forgets no revocation."""
    version = old.version if old else 0
    if new.version != version + 1 or new.previous != old_id:
        raise _refused(new, f"version {version + 1} after {old_id or 'nothing'}", f"version {new.version}")
    forgotten = set(old.revoked if old else ()) - set(new.revoked)
    if forgotten:
        raise _refused(new, "revocations only to grow", f"{len(forgotten)} of them gone")


def check_signed(manifest: OrgManifest, org: Org, signers: Iterable[str]) -> None:
    """Raises RefusedError unless enough distinct persons of the org's roots are among the signers."""
    signed = set(signers)
    persons = {root.person for root in org.roots if root.key.id in signed}
    if len(persons) < org.threshold:
        raise _refused(manifest, f"signatures of {org.threshold} distinct persons", f"{len(persons)}")


def device_parts(device: DevicePublic) -> tuple[object, ...]:
    """Each part of a device's keys: two devices that share one are not two devices."""
    return device.signing.ed25519, device.signing.mldsa65, device.recipient, device.auth


def _refused(manifest: OrgManifest, expected: str, got: str) -> RefusedError:
    return RefusedError(
        f"manifest of {manifest.org!r} version {manifest.version}: expected {expected}, got {got}",
        hint="the org's roots must sign another version",
    )
