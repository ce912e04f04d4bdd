"""What a device can open: the seeds of epochs and the terms of circles.

In: a view, the device's identity and what it holds already. Out: what it holds now, and what it
should hold and cannot open, with the reason. A seed that does not fit what was signed is never kept.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from darklantern.errors import DarkLanternError, SealError
from darklantern.network.circles import Terms
from darklantern.network.epochs import open_epoch, open_link
from darklantern.network.handovers import open_handover
from darklantern.network.states import CircleState, EpochEntry
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
    forgotten: frozenset[str] = frozenset()
    """epochs whose seed this device has destroyed, and takes from nobody again"""

    def __repr__(self) -> str:
        return f"<Keyring of {len(self.seeds)} epochs, secret not shown>"


def unlock(view: View, device: str, identity: Identity, held: Keyring) -> Keyring:
    """`held`, with every seed that `view` brings within reach of the device. What was forgotten stays so."""
    unlocking = _Unlocking(device, identity, dict(held.seeds), dict(held.terms), {})
    for circle in view.circles.values():
        wanted = [epoch for epoch in circle.epochs if epoch.id not in held.seeds and epoch.id not in held.forgotten]
        if wanted:
            unlocking.handovers(circle, wanted)
            unlocking.epochs(circle, view.rules(circle.id).terms, wanted)
    return Keyring(unlocking.seeds, unlocking.terms, unlocking.problems, held.forgotten)


@dataclass(frozen=True)
class _Unlocking:
    """What has been found so far."""

    device: str
    identity: Identity
    seeds: dict[str, bytes]
    terms: dict[str, Terms]
    problems: dict[str, str]

    def handovers(self, circle: CircleState, wanted: list[EpochEntry]) -> None:
        """From another device of the same person."""
        recipients = {epoch.id: epoch.body.recipient for epoch in wanted}
        for handover in circle.handovers:
            if handover.device == self.device:
                try:
                    self.seeds.update(open_handover(handover, circle.id, recipients, self.identity))
                except DarkLanternError as error:
                    self.problems[circle.id] = error.message

    def epochs(self, circle: CircleState, committed: Sha256, wanted: list[EpochEntry]) -> None:
        """Newest first, so that each seed found can open the links to those before."""
        linking = defaultdict[str | None, list[EpochEntry]](list)
        for epoch in circle.epochs:
            linking[epoch.body.linked].append(epoch)
        for epoch in reversed(wanted):
            if epoch.id in self.seeds:
                continue
            # 1. What was sealed to this device itself.
            if self.device in epoch.members:
                try:
                    secret = open_epoch(epoch.body, circle.id, committed, epoch.members, self.identity)
                except DarkLanternError as error:
                    self.problems[epoch.id] = error.message
                else:
                    self.seeds[epoch.id] = secret.seed
                    self.terms[circle.id] = secret.terms
                    continue
            # 2. What a later epoch carries of it.
            self.link(circle, epoch, [later for later in linking[epoch.id] if later.id in self.seeds])

    def link(self, circle: CircleState, epoch: EpochEntry, later: list[EpochEntry]) -> None:
        """From the first of these that holds its seed: a link in one that was skipped may be false."""
        for each in later:
            try:
                seed = open_link(each.body, circle.id, self.seeds[each.id], epoch.body.recipient)
            except DarkLanternError as error:
                self.problems[epoch.id] = error.message
            else:
                self.seeds[epoch.id] = seed
                self.problems.pop(epoch.id, None)
                return


def seed_of(keyring: Keyring, epoch: str) -> bytes:
    """The seed of an epoch. Raises SealError when this device does not hold it."""
    if epoch in keyring.forgotten:
        raise SealError(
            "it is sealed to an epoch whose seed was destroyed on this device",
            hint="its time had come by the circle's retention; whoever still holds the seed can share it anew",
        )
    if epoch not in keyring.seeds:
        raise SealError(
            keyring.problems.get(epoch, "it is sealed to others: this device was never given the key of its epoch"),
            hint="`darklantern explain` says to whom, and why not to this device",
        )
    return keyring.seeds[epoch]
