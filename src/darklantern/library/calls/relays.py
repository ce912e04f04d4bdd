"""Relays: which are known, and syncing with them.

In: calls. Out: a report of each relay. What a relay hands over is judged like a bundle.
"""

from collections.abc import Iterable, Mapping
from typing import final

from darklantern.errors import RefusedError
from darklantern.library.desk import Desk
from darklantern.library.syncing import remembering
from darklantern.library.syncing.fetching import Progress
from darklantern.library.syncing.http import HttpRemote
from darklantern.library.syncing.remote import Remote
from darklantern.library.syncing.reports import RelaySync, Synced
from darklantern.library.syncing.session import look_at, sync_with
from darklantern.network.heads import ForkedLogError
from darklantern.sealing import RelayCard


@final
class Relays:
    """The relays that a library syncs with."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def known(self) -> Mapping[str, RelayCard]:
        """Relay id → card."""
        return remembering.relays(self._desk.state)

    def add(self, card: RelayCard) -> None:
        """Sync with this relay from now on. Compare the card's fingerprint with its keeper before."""
        self._desk.step(remembering.added(self._desk.state, card))

    def remove(self, relay: str) -> None:
        """Forget the relay of that id. Raises RefusedError."""
        self._desk.step(remembering.removed(self._desk.state, relay))

    def sync(
        self,
        remotes: Iterable[Remote] | None = None,
        *,
        allow_clock_jump: bool = False,
        progress: Progress | None = None,
    ) -> Synced:
        """Take in what the known relays have and this library lacks, and give them what waits. In any order.

        Each relay is judged for itself: what one cannot or will not give comes from another. Raises ForkedLogError
        once all were asked, if two histories of one log were seen: the proof is kept, and that log is frozen. Raises
        the first error if no relay could be synced with; otherwise each error is in the report.
        `remotes` are asked in place of the known relays. `progress` is told of (pieces asked for, pieces in all).
        """
        desk, forks = self._desk, self._desk.state.view.forks.keys()
        reports = dict[str, RelaySync]()
        if remotes is not None:
            for each in remotes:
                reports[each.name] = sync_with(each, desk, confirmed=allow_clock_jump, progress=progress)
        else:
            for id, card in self._asked().items():
                with HttpRemote(card, desk.state.view.net, desk.state.device) as remote:
                    report = sync_with(remote, desk, confirmed=allow_clock_jump, progress=progress)
                    reports[remote.name] = report
                desk.step(remembering.visited(desk.state, id, report, desk.time()))
        desk.say_dropped()
        for log, proof in desk.state.view.forks.items():
            if log not in forks:
                raise ForkedLogError(proof)
        return _unless_all_failed(Synced(reports))

    def preview(self, remotes: Iterable[Remote] | None = None, *, allow_clock_jump: bool = False) -> Synced:
        """What `sync` would take in and give now, relay by relay. Nothing is written here or sent.

        Each relay is judged by what is held now, so what two of them have counts for both. `pieces` counts those to
        ask for, which a relay may lack. Raises the first error if no relay could be asked.
        """
        desk, reports = self._desk, dict[str, RelaySync]()
        if remotes is not None:
            reports = {each.name: look_at(each, desk, confirmed=allow_clock_jump) for each in remotes}
        else:
            for card in self._asked().values():
                with HttpRemote(card, desk.state.view.net, desk.state.device) as remote:
                    reports[remote.name] = look_at(remote, desk, confirmed=allow_clock_jump)
        return _unless_all_failed(Synced(reports))

    def _asked(self) -> Mapping[str, RelayCard]:
        if not self.known:
            raise RefusedError(
                "no relay is known here", hint="`darklantern sync --relay CARD` adds one; its keeper has the card"
            )
        return self.known


def _unless_all_failed(synced: Synced) -> Synced:
    if synced.relays and len(synced.failed) == len(synced.relays):
        raise next(iter(synced.failed.values()))
    return synced
