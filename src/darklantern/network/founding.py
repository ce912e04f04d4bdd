"""Setting up: the records that people sign together before anything can be shared.

In: names, public keys and the signers' keys. Out: the bytes of signed envelopes. Signers in
different places sign in turn: `draft_…` here, then `cosign` on each machine.
"""

from collections.abc import Iterable

from darklantern.network import circles, rosters
from darklantern.network.authoring import drafted
from darklantern.network.circles import Circle
from darklantern.network.manifests import OrgManifest
from darklantern.network.rosters import Roster
from darklantern.records.record import NOBODY
from darklantern.sealing import Envelope, SigningKey, add_signature


def draft_roster(roster: Roster, now: int, net: str = NOBODY) -> Envelope:
    """A roster to be signed by network roots; `net` is left out for the first one. Raises RefusedError."""
    rosters.check_roster(roster)
    return drafted(net, "roster", roster, now)


def draft_manifest(net: str, manifest: OrgManifest, now: int) -> Envelope:
    """A manifest to be signed by the org's roots."""
    return drafted(net, "org", manifest, now)


def draft_circle(net: str, circle: Circle, now: int) -> Envelope:
    """A circle to be signed by a quorum of its admins' devices. Raises RefusedError."""
    circles.check_circle(circle, (*circle.orgs, *(named.org for named in circle.people)))
    return drafted(net, "circle", circle, now)


def cosign(envelope: Envelope, keys: Iterable[SigningKey]) -> Envelope:
    """`envelope` with one more signer for each key."""
    for key in keys:
        envelope = add_signature(envelope, key)
    return envelope
