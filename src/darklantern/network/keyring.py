"""What a device can open: the seeds of epochs and the terms of circles.

In: a view, the device's identity and what it holds already. Out: what it holds now, and what it
should hold and cannot open, with the reason. A seed that does not fit what was signed is never kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from darklantern.errors import DarkLanternError, SealError
from darklantern.network.circles import Terms
from darklantern.network.epochs import open_epoch, open_link
from darklantern.network.states import CircleState
from darklantern.network.view import View
from darklantern.sealing import Identity


@dataclass(frozen=True, repr=False)
class Keyring:
    """Seeds and terms. Secret: it does not print."""

    seeds: Mapping[str, bytes] = field(default_factory=dict)
    """epoch id → seed"""
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """circle id → terms"""
    problems: Mapping[str, str] = field(default_factory=dict)
    """epoch id → why this device, a member, could not take its seed"""
    forgotten: frozenset[str] = frozenset()
    """epochs whose seed this device has destroyed, and takes from nobody again"""

    def __repr__(self) -> str:
        return f"<Keyring of {len(self.seeds)} epochs, secret not shown>"


def unlock(view: View, device: str, identity: Identity, held: Keyring) -> Keyring:
    """`held`, with every seed that `view` brings within reach of the device."""
    seeds, terms, problems = dict(held.seeds), dict(held.terms), dict[str, str]()
    for circle in view.circles.values():
        _unlock_circle(circle, device, identity, seeds, terms, problems, held.forgotten)
    return Keyring(seeds, terms, problems, held.forgotten)


def _unlock_circle(
    circle: CircleState,
    device: str,
    identity: Identity,
    seeds: dict[str, bytes],
    terms: dict[str, Terms],
    problems: dict[str, str],
    forgotten: frozenset[str],
) -> None:
    """Newest first, so that each seed found can open the link to the one before."""
    for index in range(len(circle.epochs) - 1, -1, -1):
        epoch = circle.epochs[index]
        if epoch.id in seeds or epoch.id in forgotten:
            continue
        try:
            if device in epoch.members:
                secret = open_epoch(epoch.body, circle.id, circle.circle.terms, epoch.members, identity)
                seeds[epoch.id] = secret.seed
                terms[circle.id] = secret.terms
                continue
            later = circle.epochs[index + 1] if index + 1 < len(circle.epochs) else None
            if later and later.id in seeds and later.body.link is not None:
                recipient = epoch.body.recipient
                seeds[epoch.id] = open_link(later.body, circle.id, seeds[later.id], epoch.id, recipient)
        except DarkLanternError as error:
            problems[epoch.id] = error.message


def seed_of(keyring: Keyring, epoch: str) -> bytes:
    """The seed of an epoch. Raises SealError when this device does not hold it."""
    if epoch in keyring.forgotten:
        raise SealError(
            "it is sealed to an epoch whose seed was destroyed on this device",
            hint="its time had come by the circle's retention; whoever still holds the seed can share it anew",
        )
    if epoch not in keyring.seeds:
        raise SealError(
            keyring.problems.get(epoch, "it is sealed to an epoch that this device was never given"),
            hint="the circle's history policy decides what newcomers may read; an admin can tell",
        )
    return keyring.seeds[epoch]
