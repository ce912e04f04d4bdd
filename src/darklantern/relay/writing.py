"""Writing a batch of judged requests: one transaction, one checkpoint for each log that grows.

In: a batch. Out: the same on disk, and signed; what its records need of blobs and what they cost with it. A commit and
a checkpoint's signatures cost milliseconds whatever they hold; so the larger the batch, the cheaper the record.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from darklantern.logs import checkpoint
from darklantern.network.heads import origin
from darklantern.network.view import View
from darklantern.relay.charging import Quotas
from darklantern.relay.judging import Judged
from darklantern.relay.needs import needed, no_longer_needed
from darklantern.relay.stores import Append, Charge, Commit, Database, Entry, Need
from darklantern.sealing import LogKey


@dataclass
class Batch:
    """Requests that go to disk together, each judged on the view that the one before it left."""

    before: View
    judged: list[Judged] = field(default_factory=list)
    size: int = 0

    @property
    def view(self) -> View:
        """With all of them."""
        return self.judged[-1].view if self.judged else self.before

    def add(self, judged: Judged) -> None:
        """One more, which was judged on `view`."""
        self.judged.append(judged)
        self.size += judged.put.size

    def entries(self) -> dict[str, tuple[Entry, ...]]:
        """What enters each log."""
        found: dict[str, tuple[Entry, ...]] = {}
        for each in self.judged:
            if each.entries:
                found[each.put.log] = (*found.get(each.put.log, ()), *each.entries)
        return found


class Writing:
    """Commits batches under `key`. For a thread: signing takes half a millisecond, in which others are answered."""

    def __init__(
        self,
        database: Database,
        key: LogKey,
        quotas: Quotas,
        collect: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._key = key
        self._public = key.public  # deriving it takes as long as a fifth of a put
        self._quotas = quotas
        self._collect = collect
        self._clock = clock

    def commit(self, batch: Batch) -> None:
        """All of it, or nothing. Raises QuotaError, LogError where another relay was faster, StoreError."""
        entries = batch.entries()
        commit = Commit(
            appends=tuple(self._append(batch, log, new) for log, new in entries.items()),
            needs=tuple(self._needs(batch)),
            charges=tuple(self._charges(batch)),
            drops=tuple(drop for log in entries for drop in no_longer_needed(batch.before, batch.view, log)),
            time=int(self._clock()),
        )
        self._database.commit(commit)
        if commit.drops:
            self._collect()

    def _append(self, batch: Batch, log: str, entries: tuple[Entry, ...]) -> Append:
        end = batch.view.trail(log).frontier
        said = checkpoint.Checkpoint(origin(self._public, log), end.size, end.root)
        # Never before the last one, whatever the clock says: readers refuse a log that goes back in time.
        signed = max(int(self._clock()), self._database.head(log).time)
        note = checkpoint.sign(said, self._key, signed)
        return Append(log, batch.before.trail(log).frontier, entries, note, signed)

    def _needs(self, batch: Batch) -> Iterator[Need]:
        """As of the end of the batch: what one of its records needs, another may have taken back."""
        view, limit = batch.view, self._quotas.org_bytes
        wanted: set[tuple[str, str]] = set()
        came: dict[tuple[str, str], tuple[bytes, str]] = {}
        for each in batch.judged:
            log, put = each.put.log, each.put
            wanted.update((log, name) for entry in each.entries for name in needed(view, log, entry.id.hex()))
            for name, data in put.blobs.items():
                came.setdefault((log, name), (data, put.account))
        for key, (data, account) in came.items():
            yield Need(*key, data, account, limit, needed=key in wanted)
        for key in wanted - came.keys():
            yield Need(*key)

    def _charges(self, batch: Batch) -> Iterator[Charge]:
        """One for each account, however many requests it has made."""
        kept, sent = Counter[str](), Counter[str]()
        for each in batch.judged:
            if each.entries:
                kept[each.put.account] += sum(len(entry.envelope) for entry in each.entries)
            sent[each.put.device] += each.put.size
        yield from (self._quotas.kept(account, size) for account, size in kept.items())
        yield from (self._quotas.sent(device, size) for device, size in sent.items())
