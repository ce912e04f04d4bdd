"""What an import does: decided in full before anything is written.

In: a state and a bundle. Out: the next state, the pieces to keep, and a report; or an error. The order
is: logs and their checkpoints, the maker, records that wait, keys, pieces.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.library.bundles import Bundle
from darklantern.library.state import State, appended, unlocked, with_heads
from darklantern.network.merging import merge
from darklantern.network.reading import leaf_id, place_of, read
from darklantern.network.states import Opaque
from darklantern.network.view import View, admit, is_registered


@dataclass(frozen=True)
class Imported:
    """What came of a bundle. All of it empty: there was nothing new."""

    entries: Mapping[str, int] = field(default_factory=dict)
    """log → how many entries are new"""
    opaque: tuple[Opaque, ...] = ()
    """new entries that are in a log and do not count, with the reason"""
    appended: tuple[str, ...] = ()
    """waiting records that this library, which keeps their log, has appended"""
    refused: tuple[tuple[str, str], ...] = ()
    """waiting records that were not appended: (id, reason)"""
    pieces: int = 0
    """pieces of ciphertext that are new"""
    missing: tuple[str, ...] = ()
    """pieces that counting entries name and that are in neither the bundle nor the library"""
    skipped: tuple[str, ...] = ()
    """logs that no accepted record names, or that are frozen"""
    problems: tuple[str, ...] = ()
    """epochs of which this device is a member and whose seed it could not take"""


@dataclass(frozen=True)
class Step:
    """What to write, and what to tell."""

    state: State
    pieces: Mapping[str, bytes]
    imported: Imported


def take_in(state: State, bundle: Bundle, *, has: frozenset[str], clock: int, confirmed: bool) -> Step:
    """The step that `bundle` makes from `state`. Raises DarkLanternError, and then there is no step.

    `has` are the names of the pieces that the library holds.
    """
    before = state
    # 1. The logs: all or nothing.
    merged = merge(state.view, state.entries, bundle.logs, kept=state.kept, clock=clock, confirmed=confirmed)
    state = replace(state, view=merged.view, entries=merged.entries)
    # 2. Whoever made the bundle is one of us, as far as anybody here knows.
    maker = bundle.maker.id
    if not merged.view.network.is_active(maker):
        raise RefusedError(
            f"the bundle was made by device {maker[:8]}…, which no current manifest lists",
            hint="ask a current member for a bundle; its maker's org may have revoked the device",
        )
    # 3. Records that wait: those of logs that we keep are judged one by one.
    state, added, refused = _append_waiting(state, bundle.waiting)
    state, lost = _tidy_outbox(state)
    # 4. Keys, then pieces that an entry which counts has asked for.
    state = unlocked(with_heads(state, clock))
    wanted = wanted_pieces(state.working, state.keyring.forgotten) - has
    pieces = {name: bundle.pieces[name] for name in sorted(wanted) if name in bundle.pieces}
    old = {(leaf.log, leaf.position) for leaf in before.view.opaque}
    imported = Imported(
        entries=_growth(before.view, state.view),
        opaque=tuple(leaf for leaf in state.view.opaque if (leaf.log, leaf.position) not in old),
        appended=added,
        refused=(*refused, *lost),
        pieces=len(pieces),
        missing=tuple(sorted(wanted - pieces.keys())),
        skipped=merged.skipped,
        problems=tuple(sorted(state.keyring.problems.values())),
    )
    return Step(state, pieces, imported)


def wanted_pieces(view: View, forgotten: Collection[str] = ()) -> frozenset[str]:
    """Every piece that an entry which counts names, but for entries of `forgotten` epochs."""
    return frozenset(
        name
        for circle in view.circles.values()
        for entry in circle.entries.values()
        if entry.body.header.epoch not in forgotten
        for name in (*entry.body.pieces, *entry.body.attached)
    )


def _append_waiting(
    state: State, waiting: tuple[bytes, ...]
) -> tuple[State, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The state with what may stand in our logs, its ids, and what may not."""
    added: list[str] = []
    refused: list[tuple[str, str]] = []
    # The network's own records first: a circle's may depend on them.
    for data in sorted(waiting, key=lambda data: place_of(data) != state.view.net):
        envelope_id, log = leaf_id(data), place_of(data)
        if log is None or log not in state.kept or log in state.view.forks:
            refused.append((envelope_id, "this library does not keep its log: take the bundle to the one that does"))
            continue
        if is_registered(state.view, log, envelope_id):
            continue
        if waits := state.waits(log):
            refused.append((envelope_id, waits))
            continue
        try:
            reason = admit(state.view, log, data)
        except DarkLanternError as error:
            refused.append((envelope_id, error.message))
            continue
        state = appended(state, log, data)
        added.append(envelope_id)
        if reason is not None:
            refused.append((envelope_id, reason))
    return state, tuple(added), tuple(refused)


def _tidy_outbox(state: State) -> tuple[State, tuple[tuple[str, str], ...]]:
    """The state without waiting records that are in their log now, or whose place in our chain is taken.

    The second happens when this store was restored from a backup. Such a record must never leave: it
    would be the proof that freezes this device.
    """
    lost: list[tuple[str, str]] = []
    left = []
    for waiting in state.outbox:
        if is_registered(state.view, waiting.log, waiting.id):
            continue
        record = read(waiting.envelope).record
        network = waiting.log == state.view.net
        chains = state.view.network.chains if network else state.view.circle(waiting.log).chains
        if record.author_device == state.device_id and record.seq < len(chains.get(state.device_id, ())):
            lost.append((waiting.id, "another record of this device stands in its place; write it again"))
        else:
            left.append(waiting)
    return replace(state, outbox=tuple(left)), tuple(lost)


def _growth(before: View, after: View) -> dict[str, int]:
    return {log: grown for log, trail in after.trails.items() if (grown := trail.size - before.trail(log).size)}
