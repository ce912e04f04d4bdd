"""What a device can open: the seeds of epochs and the terms of circles.

In: a view, the device's identity and what it holds already. Out: what it holds now, and what it
should hold and cannot open, with the reason. A seed that does not fit what was signed is never kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from darklantern.errors import DarkLanternError, SealError
from darklantern.network.circles import Terms
from darklantern.network.epochs import open_epoch, open_link
from darklantern.network.handovers import open_handover
from darklantern.network.states import CircleState
from darklantern.network.view import View
from darklantern.records.exact import Sha256
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

    def __repr__(self) -> str:
        return f"<Keyring of {len(self.seeds)} epochs, secret not shown>"


def unlock(view: View, device: str, identity: Identity, held: Keyring) -> Keyring:
    """`held`, with every seed that `view` brings within reach of the device."""
    seeds, terms, problems = dict(held.seeds), dict(held.terms), dict[str, str]()
    for circle in view.circles.values():
        _take_handovers(circle, device, identity, seeds, problems)
        _unlock_circle(circle, view.rules(circle.id).terms, device, identity, seeds, terms, problems)
    return Keyring(seeds, terms, problems)


def _take_handovers(
    circle: CircleState, device: str, identity: Identity, seeds: dict[str, bytes], problems: dict[str, str]
) -> None:
    """Seeds from another device of the same person; those of destroyed epochs do not come back this way."""
    wanted = {epoch.id: epoch.body.recipient for epoch in circle.epochs if epoch.id not in seeds}
    for handover in circle.handovers:
        if handover.device == device and wanted:
            try:
                seeds |= open_handover(handover, circle.id, wanted, identity)
            except DarkLanternError as error:
                problems[circle.id] = error.message


def _unlock_circle(
    circle: CircleState,
    committed: Sha256,
    device: str,
    identity: Identity,
    seeds: dict[str, bytes],
    terms: dict[str, Terms],
    problems: dict[str, str],
) -> None:
    """Newest first, so that each seed found can open the link to the one before."""
    for index in range(len(circle.epochs) - 1, -1, -1):
        epoch = circle.epochs[index]
        if epoch.id in seeds:
            continue
        try:
            if device in epoch.members:
                secret = open_epoch(epoch.body, circle.id, committed, epoch.members, identity)
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
    if epoch not in keyring.seeds:
        raise SealError(
            keyring.problems.get(epoch, "it is sealed to an epoch that this device was never given"),
            hint="the circle's history policy decides what newcomers may read; an admin can tell",
        )
    return keyring.seeds[epoch]
