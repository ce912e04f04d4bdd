"""The epoch: one generation of a circle's key, sealed to each member, and linked to one before it.

In: members and seeds. Out: an epoch's signed body, or the secret in one, checked. It does not decide
who the members are, and it never makes an epoch for nobody.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from darklantern.errors import RefusedError, SealError
from darklantern.network.circles import History, Salt, Terms
from darklantern.network.rosters import Count
from darklantern.network.secret_values import SecretValue
from darklantern.records.exact import Sha256, Time, Value, decode, encode
from darklantern.sealing import Identity, Recipient, open, recipient_of, seal
from darklantern.sealing.header import read as read_header
from darklantern.sealing.hybrid import STANZA

Seed = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Last(Value, frozen=True, kw_only=True):
    """The last record of a device that still counts."""

    seq: Annotated[int, msgspec.Meta(ge=0)]
    id: Sha256


class Cutoff(Value, frozen=True, kw_only=True):
    """A device that this epoch drops: its records chained at or below `last` stay, others are refused."""

    device: Sha256
    last: Last | None
    """None when it had written nothing"""


class Epoch(Value, frozen=True, kw_only=True):
    """The public half of an epoch. Its id is the id of the envelope around it."""

    v: Literal[1] = 1
    number: Count
    previous: Sha256 | None
    as_of: Time
    """the time at which pledges and roster were judged; whoever seals judges again at their own time"""
    recipient: Annotated[str, msgspec.Meta(pattern=r"^age1pq1[0-9a-z]{1952}\Z")]
    """what sealers of this epoch seal to"""
    count: Count
    """how many members, and so how many stanzas"""
    members: Sha256
    """salted hash of the member set"""
    sealed: Annotated[bytes, msgspec.Meta(max_length=4_000_000)]
    """age file to each member's device: an `EpochSecret`"""
    linked: Sha256 | None
    """the epoch whose seed the link holds: the one before, unless that is skipped (`following`)"""
    link: Annotated[bytes, msgspec.Meta(max_length=8_192)] | None
    """age file to this epoch's recipient: the seed of `linked`; None where the history policy cuts"""
    dropped: tuple[Cutoff, ...]


class MemberSet(Value, frozen=True, kw_only=True):
    """Device ids, sorted, under a salt: a relay that knows all devices could guess an unsalted hash."""

    salt: Salt
    devices: tuple[Sha256, ...]

    @property
    def commitment(self) -> Sha256:
        """What the epoch says of it in public."""
        return hashlib.sha256(encode(self)).hexdigest()


class EpochSecret(SecretValue, frozen=True, kw_only=True):
    """What is sealed to the members. Circle and number stop it from being passed off as another's."""

    v: Literal[1] = 1
    circle: Sha256
    number: Count
    seed: Seed
    members: MemberSet
    terms: Terms


class EpochSeed(SecretValue, frozen=True, kw_only=True):
    """The seed of one epoch."""

    epoch: Sha256
    seed: Seed


class LinkSecret(SecretValue, frozen=True, kw_only=True):
    """The seed of an epoch before, for those who hold this one."""

    v: Literal[1] = 1
    circle: Sha256
    epoch: Sha256
    seed: Seed


class Previous(SecretValue, frozen=True, kw_only=True):
    """The epoch that a new one follows, and the one whose seed it is to carry, if any."""

    id: Sha256
    number: Count
    linked: EpochSeed | None


def needs_link(history: History, before: Iterable[object] | None, after: Iterable[object]) -> bool:
    """Whether an epoch must carry the seed of one before, given the persons in both; `before` is None without one.

    Since-join: someone who joins must not walk back past the day they joined.
    """
    if before is None or history == "none":
        return False
    return history == "all" or set(after) <= set(before)


def new_epoch(
    circle: str,
    members: Sequence[tuple[str, Recipient]],
    *,
    previous: Previous | None,
    as_of: Time,
    terms: Terms,
    dropped: Iterable[Cutoff],
) -> tuple[Epoch, bytes]:
    """A fresh epoch for `members` (device id, recipient), and its seed, which is secret."""
    identity = Identity.generate()
    number = previous.number + 1 if previous else 1
    member_set = MemberSet(salt=os.urandom(32), devices=tuple(sorted(device for device, _ in members)))
    secret = EpochSecret(circle=circle, number=number, seed=identity.seed, members=member_set, terms=terms)
    linked = previous.linked if previous else None
    link = None
    if linked:
        link = seal(encode(LinkSecret(circle=circle, epoch=linked.epoch, seed=linked.seed)), [identity.recipient])
    epoch = Epoch(
        number=number,
        previous=previous.id if previous else None,
        as_of=as_of,
        recipient=str(identity.recipient),
        count=len(members),
        members=member_set.commitment,
        sealed=seal(encode(secret), [recipient for _, recipient in members]),
        linked=linked.epoch if linked else None,
        link=link,
        dropped=tuple(sorted(dropped, key=lambda cutoff: cutoff.device)),
    )
    return epoch, identity.seed


def check_stanzas(epoch: Epoch, members: int) -> None:
    """Raises RefusedError unless the seed is sealed to exactly as many devices as there are members.

    A stanza more could be for anyone. Each must be hybrid: one classical stanza would undo them all.
    """
    stanzas = read_header(io.BytesIO(epoch.sealed)).stanzas
    if {stanza.arguments[0] for stanza in stanzas} != {STANZA}:
        raise _refused(epoch, f"{STANZA} stanzas only", "another type")
    if not len(stanzas) == epoch.count == members:
        raise _refused(
            epoch, f"a stanza for each of {members} members", f"{len(stanzas)} stanzas and a count of {epoch.count}"
        )


def open_epoch(epoch: Epoch, circle: str, terms: Sha256, members: Iterable[str], identity: Identity) -> EpochSecret:
    """The secret that was sealed to this device, after checking all that it says against what is signed.

    Raises SealError when no stanza is for `identity`, and RefusedError when the secret is another's:
    another circle, member set or terms, or a seed whose recipient is not the signed one.
    """
    secret = decode(EpochSecret, open(epoch.sealed, [identity]))
    if (secret.circle, secret.number) != (circle, epoch.number):
        raise _refused(epoch, "its own circle and number inside", "another's")
    if str(recipient_of(secret.seed)) != epoch.recipient:
        raise _refused(epoch, "a seed whose recipient is the signed one", "another seed")
    if secret.members.commitment != epoch.members or set(secret.members.devices) != set(members):
        raise _refused(epoch, "the member set that its cited views give", "another set")
    if secret.terms.commitment != terms:
        raise _refused(epoch, "the circle's own terms", "others")
    return secret


def open_link(epoch: Epoch, circle: str, seed: bytes, recipient: str) -> bytes:
    """The seed of the epoch that it links to, whose signed recipient is `recipient`.

    Raises SealError or RefusedError.
    """
    if epoch.link is None:
        raise SealError(
            f"epoch {epoch.number} carries no link to one before",
            hint="the circle's history policy cut it; what was sealed earlier stays closed to newcomers",
        )
    secret = decode(LinkSecret, open(epoch.link, [Identity(seed)]))
    if (secret.circle, secret.epoch) != (circle, epoch.linked) or str(recipient_of(secret.seed)) != recipient:
        raise _refused(epoch, "a link to the epoch that it names", "another seed")
    return secret.seed


def _refused(epoch: Epoch, expected: str, got: str) -> RefusedError:
    return RefusedError(
        f"epoch {epoch.number}: expected {expected}, got {got}",
        hint="do not seal to it; tell the circle's admins who wrote it, and rotate",
    )
