"""What came of a sync: frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from darklantern.errors import DarkLanternError
from darklantern.library.importing import Imported


@dataclass(frozen=True)
class RelaySync:
    """What came of syncing with one relay."""

    relay: str
    imported: Imported = field(default_factory=Imported)
    sent: tuple[str, ...] = ()
    """records of the outbox that are in their log now"""
    refused: tuple[tuple[str, str], ...] = ()
    """records that the relay did not append: (id, reason)"""
    hidden: tuple[str, ...] = ()
    """logs that are held here and that the relay does not show: it lacks or withholds them, or may not show them"""
    there: Mapping[str, int] = field(default_factory=dict, compare=False)
    """log → how many entries the relay showed"""
    error: DarkLanternError | None = None
    """what went wrong first; what is above happened all the same"""


@dataclass(frozen=True)
class Synced:
    """What came of a sync, relay by relay."""

    relays: Mapping[str, RelaySync]

    @property
    def failed(self) -> Mapping[str, DarkLanternError]:
        """Relay → what ended its sync early."""
        return {name: relay.error for name, relay in self.relays.items() if relay.error}


def joined(first: Imported, then: Imported) -> Imported:
    """Two rounds with one relay as one report."""
    logs = {**first.entries, **then.entries}
    return Imported(
        entries={log: first.entries.get(log, 0) + then.entries.get(log, 0) for log in logs},
        opaque=(*first.opaque, *then.opaque),
        appended=(*first.appended, *then.appended),
        refused=then.refused,
        pieces=first.pieces + then.pieces,
        missing=then.missing,
        skipped=then.skipped,
        problems=then.problems,
        taken_back={**first.taken_back, **then.taken_back},
        remade=(*first.remade, *then.remade),
    )
