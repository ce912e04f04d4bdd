"""Which other relays there are: those that the roster names, and those that the keeper has named in the settings.

In: settings and the folded logs. Out: relays by the id of their public record. All of them may read every log here,
mirror it, and cosign what is appended here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from darklantern.network.rosters import Roster
from darklantern.relay.folded import Folded
from darklantern.sealing import RelayCard


@dataclass(frozen=True)
class Peer:
    """Another relay."""

    name: str
    card: RelayCard
    pull: bool = True
    """whether this relay asks it for what is new"""


class KnownPeers:
    """The other relays, as of the newest roster."""

    def __init__(self, named: tuple[Peer, ...], folded: Folded, own: str) -> None:
        self._named = {peer.card.public.id: peer for peer in named}
        self._folded = folded
        self._own = own
        self._roster: Roster | None = None
        self._all: Mapping[str, Peer] = self._named

    def all(self) -> Mapping[str, Peer]:
        """Id → relay. What the settings say of one outweighs the roster."""
        roster = self._folded.view.network.roster
        if roster is not None and roster is not self._roster:
            listed = {relay.card.public.id: Peer(relay.name, relay.card) for relay in roster.relays}
            listed.pop(self._own, None)
            self._all, self._roster = {**listed, **self._named}, roster
        return self._all
