"""What a sync or an import does: decided in full before anything is written.

In: a state, and parts from a relay or a bundle. Out: the next state, the pieces to keep and to look for, and a
report; or an error. The order is: logs and their checkpoints, the maker, records that wait, keys, pieces.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.library import restored
from darklantern.library.foreign import foreign, with_foreign
from darklantern.library.keeping import appended as with_entry
from darklantern.library.keeping import with_heads
from darklantern.library.opening import Fetch
from darklantern.library.outbox import carrying_on, leaving
from darklantern.library.resealing import remade
from darklantern.library.state import State, pieces_of, unlocked
from darklantern.library.taken_back import newly_taken_back
from darklantern.network.merging import LogCopy, merge
from darklantern.network.reading import leaf_id, log_of, read
from darklantern.network.sentences import dropped_words
from darklantern.network.states import Opaque
from darklantern.network.view import View, admit, check_timely, is_registered
from darklantern.sealing import DevicePublic
from darklantern.sealing.fingerprints import brief


@dataclass(frozen=True)
class Parts:
    """What somebody hands over, none of it judged. Its pieces stay where they are until it is."""

    logs: tuple[LogCopy, ...]
    waiting: tuple[bytes, ...] = ()
    """records for the keeper of their log"""
    maker: DevicePublic | None = None
    """who signed for all of it: a bundle's maker. A relay signs for its logs alone"""
    behind: frozenset[str] = frozenset()
    """logs of which whoever hands them over is not the appender, and may have seen less than is held here"""


@dataclass(frozen=True)
class Imported:
    """What came of a bundle or of a relay. All of it empty: there was nothing new."""

    entries: Mapping[str, int] = field(default_factory=dict)
    """log → how many entries are new to this library; what had waited here is not"""
    opaque: tuple[Opaque, ...] = ()
    """new entries that are in a log and do not count, with the reason"""
    appended: tuple[str, ...] = ()
    """waiting records that this library, which keeps their log, has appended"""
    carried: tuple[str, ...] = ()
    """waiting records of others, which wait here now for the keeper of their log: this library brings them there"""
    refused: tuple[tuple[str, str], ...] = ()
    """waiting records that were neither appended nor carried on: (id, reason)"""
    pieces: int = 0
    """pieces of ciphertext that are new"""
    missing: tuple[str, ...] = ()
    """pieces that counting entries name and that are neither in the library nor came along"""
    skipped: tuple[str, ...] = ()
    """logs that no accepted record names, or that are frozen"""
    problems: tuple[str, ...] = ()
    """epochs of which this device is a member and whose seed it could not take; pieces that came altered"""
    taken_back: Mapping[str, str] = field(default_factory=dict)
    """id → kind, of items and posts that counted here and that somebody took back: they are gone"""
    remade: tuple[tuple[str, str], ...] = ()
    """own records that could not count as they were, sealed and signed again: (old id, new id)"""


@dataclass(frozen=True)
class Step:
    """What to write, and what to tell. The pieces that are wanted then are the state's."""

    state: State
    pieces: Mapping[str, bytes]
    """new ciphertext of this device's own records"""
    imported: Imported


def take_in(state: State, parts: Parts, *, fetch: Fetch, clock: int, confirmed: bool) -> Step:
    """The step that `parts` make from `state`. Raises DarkLanternError, and then there is no step.

    `fetch` finds the pieces of own records that must be sealed again.
    """
    before = state
    # 1. The logs: all or nothing.
    everything = {copy.log for copy in parts.logs} if parts.maker else ()  # whoever made a bundle keeps no log, mostly
    older = state.kept | parts.behind | frozenset(everything)
    merged = merge(state.view, state.entries, parts.logs, kept=older, clock=clock, confirmed=confirmed)
    state = state.with_logs(view=merged.view, entries=merged.entries)
    # 2. Whoever made a bundle is one of us, as far as anybody here knows.
    if parts.maker and not merged.view.network.is_active(parts.maker.id):
        raise RefusedError(
            f"the bundle was made by device {brief(parts.maker.id)}, which no current manifest lists",
            hint="ask a current member for a bundle; its maker's org may have revoked the device",
        )
    # 3. Records that wait: those of logs that we keep are judged one by one.
    taken = _take_waiting(state, parts.waiting, clock)
    step = settle(before, taken.state, fetch=fetch, clock=clock, taken=taken, skipped=merged.skipped)
    told = (dropped_words(log, gone, state.device_id) for log, gone in merged.dropped.items())
    return replace(
        step, imported=replace(step.imported, problems=(*step.imported.problems, *told, *merged.put_off.values()))
    )


def settle(
    before: State,
    state: State,
    *,
    fetch: Fetch,
    clock: int,
    taken: "_Outcome | None" = None,
    skipped: tuple[str, ...] = (),
) -> Step:
    """The rest of the step, also where nothing came: keys, and our own records that the logs have overtaken."""
    again = remade(unlocked(with_heads(with_foreign(before, state), clock)), fetch, clock)
    state = again.state
    old = {(leaf.log, leaf.position) for leaf in before.view.opaque}
    fresh = set(foreign(state)) - set(foreign(before))
    imported = Imported(
        entries=_growth(before, state.view),
        opaque=tuple(leaf for leaf in state.view.opaque if (leaf.log, leaf.position) not in old),
        appended=taken.appended if taken else (),
        carried=taken.carried if taken else (),
        refused=(*(taken.refused if taken else ()), *again.refused),
        skipped=skipped,
        problems=(*sorted(state.keyring.problems.values()), *sorted(str(each) for each in fresh)),
        taken_back=newly_taken_back(before, state),
        remade=again.remade,
    )
    return Step(state, again.pieces, imported)


def with_pieces(imported: Imported, new: int, missing: Iterable[str], problems: Iterable[str] = ()) -> Imported:
    """The report, once it is known which pieces came."""
    return replace(imported, pieces=new, missing=tuple(sorted(missing)), problems=(*imported.problems, *problems))


def wanted_pieces(view: View, forgotten: Collection[str] = ()) -> frozenset[str]:
    """Every piece that an entry which counts names, but for entries of `forgotten` epochs."""
    return frozenset(pieces_of(view, forgotten))


@dataclass(frozen=True)
class _Outcome:
    """What became of records that wait for the keeper of their log."""

    state: State
    appended: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def _take_waiting(state: State, waiting: tuple[bytes, ...], clock: int) -> _Outcome:
    """Each is appended where this library keeps its log, and waits here with our own where it does not."""
    appended: list[str] = []
    carried: list[str] = []
    refused: list[tuple[str, str]] = []
    # The network's own records first: a circle's may depend on them.
    for data in sorted(waiting, key=lambda data: log_of(data) != state.view.net):
        envelope_id, log = leaf_id(data), log_of(data)
        if log is not None and is_registered(state.view, log, envelope_id):
            continue
        try:
            if log not in state.kept or log in state.view.forks:
                before, state = state, carrying_on(state, log, data)
                carried += [envelope_id] if len(state.outbox) > len(before.outbox) else []
                continue
            restored.check(state.waits(log))
            reason = admit(state.view, log, data)
            check_timely(read(data), state.now(clock))
        except DarkLanternError as error:
            refused.append((envelope_id, error.message))
            continue
        state = with_entry(state, log, data)
        appended.append(envelope_id)
        if reason is not None:
            refused.append((envelope_id, reason))
    # Who gave them away has them, too: none of them is this library's to replace.
    left = leaving(state, carried) if carried else state
    return _Outcome(left, tuple(appended), tuple(carried), tuple(refused))


def _growth(before: State, after: View) -> dict[str, int]:
    """What was not known here: a record that waited here is no news where it comes back from its log."""
    waited = {waiting.id for waiting in before.outbox}
    came = ((log, trail.ids[before.view.trail(log).size :]) for log, trail in after.trails.items())
    return {log: count for log, ids in came if (count := sum(id not in waited for id in ids))}
