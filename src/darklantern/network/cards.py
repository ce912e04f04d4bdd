"""The card: what a device, and whoever holds it, hands to others before anything is signed. Public keys only.

In: a person's word for who they are, and public keys. Out: a value whose fingerprint two people compare. A card proves
nothing: an org's manifest and the network's roster say what counts.
"""

from collections.abc import Iterator
from typing import Literal, final

from darklantern.errors import RefusedError
from darklantern.network.manifests import device_parts
from darklantern.network.naming import check_name
from darklantern.network.roles import log_parts
from darklantern.records.exact import Name, Value
from darklantern.sealing import DevicePublic, LogVerifyKey, VerifyKey
from darklantern.sealing.fingerprints import Identified


class Holder(Value, frozen=True, kw_only=True):
    """Who holds a device, as they say themselves."""

    org: Name
    person: Name
    """their id within the org: short, and the same for life"""
    name: Name
    """what others see"""


@final
class Card(Identified, frozen=True, kw_only=True):
    """One device and its holder, with the other keys of theirs that others must know."""

    v: Literal[1] = 1
    holder: Holder
    device: DevicePublic
    org_root: VerifyKey | None = None
    """theirs, with which they sign their org's manifest"""
    network_root: VerifyKey | None = None
    """their org's, with which it signs rosters"""
    log: LogVerifyKey | None = None
    """of the logs that this library can keep"""


def check_holder(holder: Holder) -> None:
    """Raises RefusedError for names that nobody could be called by: people are named as ORG/PERSON."""
    for name in (holder.org, holder.person, holder.name):
        check_name(name)
    for what, name in (("an org's name", holder.org), ("a person's id", holder.person)):
        if "/" in name:
            raise RefusedError(f"expected {what} without a slash, got {name!r}", hint="people are named as ORG/PERSON")
    if any(letter.isspace() for letter in holder.person):
        raise RefusedError(
            f"expected a person's id without white space, got {holder.person!r}",
            hint="the id is short, like a login; the whole name goes to --name",
        )


def check_card(card: Card) -> None:
    """Raises RefusedError for a card on which one key has two roles, and SealError for one nobody could seal to."""
    parts = list(_parts(card))
    if len(set(parts)) != len(parts):
        raise RefusedError(
            f"the card of {card.holder.person!r} has one key in two roles",
            hint="make a new key for each role; no key is ever used for two",
        )
    card.device.receiver()


def _parts(card: Card) -> Iterator[object]:
    yield from device_parts(card.device)
    for root in (card.org_root, card.network_root):
        if root is not None:
            yield from (root.ed25519, root.mldsa65)
    if card.log is not None:
        yield from log_parts(card.log)
