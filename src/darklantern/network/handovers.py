"""Handing over: a person's own device gives their new one the seeds that it may have.

In: seeds and the new device. Out: a sealed body, or the seeds in one, each compared with the recipient that its
epoch signed.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from darklantern.errors import RefusedError
from darklantern.network.epochs import EpochSeed
from darklantern.network.secret_values import SecretValue
from darklantern.records.exact import Sha256, Value, decode, encode
from darklantern.sealing import Identity, Recipient, open, recipient_of, seal


class Handover(Value, frozen=True, kw_only=True):
    """Seeds for one device of the same person, sealed to it."""

    v: Literal[1] = 1
    device: Sha256
    sealed: Annotated[bytes, msgspec.Meta(max_length=1_000_000)]


class HandedOver(SecretValue, frozen=True, kw_only=True):
    """What is inside."""

    v: Literal[1] = 1
    circle: Sha256
    device: Sha256
    seeds: tuple[EpochSeed, ...]


def new_handover(circle: str, device: str, receiver: Recipient, seeds: Mapping[str, bytes]) -> Handover:
    """The body that hands `seeds` (epoch id → seed) to `device`."""
    listed = tuple(EpochSeed(epoch=epoch, seed=seed) for epoch, seed in sorted(seeds.items()))
    secret = HandedOver(circle=circle, device=device, seeds=listed)
    return Handover(device=device, sealed=seal(encode(secret), [receiver]))


def open_handover(
    handover: Handover, circle: str, recipients: Mapping[str, str], identity: Identity
) -> dict[str, bytes]:
    """The seeds in it, of those epochs whose signed recipient is in `recipients`. Raises SealError or RefusedError."""
    secret = decode(HandedOver, open(handover.sealed, [identity]))
    seeds = {each.epoch: each.seed for each in secret.seeds if each.epoch in recipients}
    wrong = any(str(recipient_of(seed)) != recipients[epoch] for epoch, seed in seeds.items())
    if (secret.circle, secret.device) != (circle, handover.device) or wrong:
        raise RefusedError(
            "a handover holds seeds that are not those of its circle's epochs, or is another's",
            hint="make it again on the device that has them; if it recurs, revoke that device",
        )
    return seeds
