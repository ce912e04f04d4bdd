"""Which devices count in a circle that asks for countersigned ones.

In: what the circle names, and who vouched for whom. Out: device ids. An org alone cannot slip a device into such a
circle: it counts if the circle's admins named it; if a device of the same person that counts vouches for it; or, where
someone has lost all theirs, if a quorum of admins vouches for it, 72 hours after the notice stood in the network's log.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from darklantern.network.circles import Circle
from darklantern.network.notes import Note
from darklantern.records.exact import Sha256, Value

NOTICE: Final = 72 * 60 * 60
"""Seconds in which the person, or anyone else, can say that this is not their device."""


class Notice(Value, frozen=True, kw_only=True):
    """That a person of a circle has lost their devices and wants this one to count."""

    v: Literal[1] = 1
    circle: Sha256
    device: Sha256


class Vouch(Value, frozen=True, kw_only=True):
    """That its signer knows whose a device is: their own other one, or, as an admin, one that a notice names."""

    v: Literal[1] = 1
    device: Sha256
    notice: Sha256 | None = None
    seen: Note | None = None
    """a checkpoint of the network's log that covers the notice: it proves how long the notice stood there"""


@dataclass(frozen=True)
class Vouched:
    """An accepted vouch."""

    device: str
    by: str
    """device id"""
    owner: tuple[str, str]
    """whose `by` is"""
    circle: str | None
    """None: a person vouches for their own device, in all circles"""
    since: int
    """when the notice stood in the log, for sure; 0 for one's own"""


def counting(
    circle_id: str, circle: Circle, vouches: Iterable[Vouched], barred: Collection[str], now: int
) -> frozenset[str]:
    """The devices that count in the circle at `now`, active or not. The word of those `barred` is worth nothing."""
    known = {device for named in circle.people for device in named.devices}
    own: dict[str, set[str]] = {}
    admins: dict[str, set[tuple[str, str]]] = {}
    for vouch in vouches:
        if vouch.by in barred:
            continue
        if vouch.circle is None:
            own.setdefault(vouch.by, set()).add(vouch.device)
        elif vouch.circle == circle_id and circle.has_admin(vouch.owner) and vouch.since + NOTICE <= now:
            admins.setdefault(vouch.device, set()).add(vouch.owner)
    known |= {device for device, owners in admins.items() if len(owners) >= circle.quorum}
    reached = list(known)
    while reached:  # a device that counts brings in those that it vouches for
        fresh = own.get(reached.pop(), set()) - known
        known |= fresh
        reached += fresh
    return frozenset(known)
