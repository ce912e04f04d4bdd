"""Giving space back: pieces that nothing names, and what a circle's retention has ended for.

In: a state, a vault and the epochs whose time has come. Out: first a plan that says what would go, then, if it is
wanted, that and nothing else is gone. A seed is destroyed in the database before the pieces that it opens, so that a
crash in between leaves orphans and never a seed.

What it does not do: reach what others hold. Relays and members keep their copies, and the epoch's record, from which
this device's key could open the seed again, stays in the log for good.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from darklantern.counted import counted
from darklantern.errors import RefusedError
from darklantern.library.artifact_sealing import Unfinished, unfinished
from darklantern.library.importing import wanted_pieces
from darklantern.library.loading import FORGOTTEN
from darklantern.library.state import State
from darklantern.network.retaining import past_retention
from darklantern.network.states import CircleState, EpochEntry
from darklantern.stores import Vault


@dataclass(frozen=True)
class Forgotten:
    """An epoch whose seed goes, with all that only it opens."""

    circle: str
    epoch: str
    number: int
    entries: tuple[str, ...]
    """items and posts that will not open again on this device"""
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Compaction:
    """What would go. Nothing has been removed yet."""

    orphans: tuple[str, ...]
    """pieces that no record which counts and no unfinished sealing names"""
    abandoned: tuple[str, ...]
    """pieces of which a relay gave a beginning, and which nothing lacks any more"""
    forgotten: tuple[Forgotten, ...]
    bytes: int
    """of all these pieces and beginnings"""
    unfinished: tuple[Unfinished, ...]
    """sealings that stay until they are given up"""

    @property
    def pieces(self) -> tuple[str, ...]:
        """All pieces that would go."""
        return (*self.orphans, *(piece for each in self.forgotten for piece in each.pieces))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        going = counted(len(self.pieces), "piece")
        yield f"{going} of {self.bytes:,} bytes would go, {len(self.orphans)} of which nothing names"
        if self.abandoned:
            yield f"{len(self.abandoned)} beginnings of pieces would go, which nothing lacks any more"
        for each in self.forgotten:
            yield (
                f"the seed of epoch {each.number} of circle {each.circle[:8]}… would be destroyed: {len(each.entries)} "
                "items and posts will not open again on this device, which cannot be undone"
            )
        for sealing in self.unfinished:
            what = sealing.problem or f"{counted(len(sealing.pieces), 'piece')} of a file of {sealing.size:,} bytes"
            yield f"an unfinished sealing stays until it is given up: {sealing.sha256 or sealing.journal}: {what}"


def past(state: State, now: int) -> frozenset[str]:
    """The epochs that ended longer ago than their circle's retention, and are not forgotten yet."""
    view = state.working
    found = (past_retention(circle, view.rules(circle.id), now) for circle in view.circles.values())
    return frozenset[str]().union(*found) - state.keyring.forgotten


def plan(state: State, vault: Vault, forget: Collection[str] = ()) -> Compaction:
    """What compacting would remove, with the seeds of the epochs `forget`. Raises RefusedError for one in use."""
    epochs = [_epoch(state, epoch) for epoch in sorted(forget) if epoch not in state.keyring.forgotten]
    ids = {entry.id for _, entry in epochs} | state.keyring.forgotten
    kept = wanted_pieces(state.working, ids)
    waiting = unfinished(vault.unfinished, state.device.receiving)
    held = frozenset(vault.blobs)
    forgotten = tuple(_forgotten(circle, entry, held - kept) for circle, entry in epochs)
    named = kept.union(*(each.pieces for each in waiting), *(each.pieces for each in forgotten))
    orphans = tuple(sorted(held - named))
    begun = vault.incoming.begun()
    abandoned = tuple(sorted(begun.keys() - (kept - held)))
    found = Compaction(orphans, abandoned, forgotten, 0, waiting)
    size = sum(map(vault.blobs.size, found.pieces)) + sum(begun[name] for name in abandoned)
    return replace(found, bytes=size)


def without_seeds(state: State, planned: Compaction) -> State:
    """The state after a plan: without the seeds, which it takes from nobody again."""
    epochs = {each.epoch for each in planned.forgotten}
    seeds = {id: seed for id, seed in state.keyring.seeds.items() if id not in epochs}
    keyring = replace(state.keyring, seeds=seeds, forgotten=state.keyring.forgotten | epochs)
    return replace(state, keyring=keyring, settings={**state.settings, **{f"{FORGOTTEN}{id}": "yes" for id in epochs}})


def _epoch(state: State, epoch: str) -> tuple[CircleState, EpochEntry]:
    for circle in state.working.circles.values():
        entry = circle.find_epoch(epoch)
        if entry and entry is circle.epoch:
            raise RefusedError(
                f"epoch {entry.body.number} of circle {circle.id[:8]}… is the newest: the circle seals to it",
                hint="rotate first; then its time can come",
            )
        if entry:
            return circle, entry
    raise RefusedError(f"no epoch {epoch} counts here", hint="check the id, or import a newer bundle")


def _forgotten(circle: CircleState, entry: EpochEntry, free: frozenset[str]) -> Forgotten:
    sealed = [each for each in circle.entries.values() if each.body.header.epoch == entry.id]
    pieces = {name for each in sealed for name in (*each.body.pieces, *each.body.attached)}
    return Forgotten(
        circle=circle.id,
        epoch=entry.id,
        number=entry.body.number,
        entries=tuple(each.id for each in sealed),
        pieces=tuple(sorted(pieces & free)),
    )
