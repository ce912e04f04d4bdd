"""Keeping a library whole: verifying, compacting, backups, passphrase, index, and the account of what was opened.

In: calls. Out: what was found or done. Nothing here shows a finding.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import final

from darklantern.library import backup, compacting, open_log, report, resealing, restored, searching, verifying
from darklantern.library.backup import BackedUp
from darklantern.library.compacting import Compaction
from darklantern.library.desk import Desk
from darklantern.library.open_log import OpenLog
from darklantern.library.report import Report
from darklantern.library.verifying import Problem
from darklantern.stores import RECOMMENDED, Cost


@final
class Care:
    """What a library needs now and then."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def verify(self, progress: verifying.Progress | None = None) -> tuple[Problem, ...]:
        """Everything that is not as it should be, and what it belongs to. Reads all of the store, in flat memory.

        Damaged pages and pieces, missing pieces, and entries that count and do not open. Damaged pieces count as
        lacking from here on: a sync, or a bundle, brings them again. `progress` is told of (bytes done, bytes in all)
        after each piece.
        """
        desk = self._desk
        desk.take_stock()
        found = tuple(verifying.verify(desk.vault, desk.state, desk.fetch, desk.follows, progress))
        desk.found_damaged([each.piece for each in found if each.piece and each.piece in desk.state.wanted])
        return found

    def compaction(self, forget: Collection[str] | None = None) -> Compaction:
        """What `compact` would remove: pieces that nothing names, and all of the epochs `forget`. Print it, and ask.

        Without `forget`, the epochs whose retention has ended by their circle's rules. Raises RefusedError for an epoch
        that a circle seals to.
        """
        desk = self._desk
        desk.forget_shared()
        epochs = compacting.past(desk.state, desk.now()) if forget is None else forget
        return compacting.plan(desk.state, desk.vault, epochs)

    def compact(self, planned: Compaction) -> int:
        """Remove what `compaction` said, and nothing that is in use by now. How many bytes the disk has back."""
        vault, again = self._desk.vault, self.compaction([each.epoch for each in planned.forgotten])
        self._desk.step(compacting.without_seeds(self._desk.state, again))
        going = set(planned.pieces) & set(again.pieces)
        freed = sum(map(vault.blobs.size, going))
        vault.blobs.discard(sorted(going))
        vault.incoming.discard(set(planned.abandoned) & set(again.abandoned))
        return freed + vault.database.vacuum()

    def drop_waiting(self, ids: Collection[str]) -> tuple[tuple[str, str], ...]:
        """Drop records that wait here and have not left; their content is gone. (old id, new id) of what followed them.

        What this device wrote after them in the same log is signed anew. Raises RefusedError for one that others may
        hold by now (`may_be_held`), unless its log is closed to this device, so that it could only wait for ever.
        """
        desk = self._desk
        made = resealing.without(desk.state, ids, desk.fetch, desk.time())
        desk.step(made.state, made.pieces)
        return made.remade

    def may_be_held(self, ids: Collection[str]) -> frozenset[str]:
        """Those of these waiting records that have left this library: others may hold them, whatever is dropped here.

        A device that drops one and is let in again writes another in its place, and would be frozen if both turn up.
        """
        return self._desk.state.left & frozenset(ids)

    def backup(self, path: Path, *, passphrase: str | None = None, progress: backup.Progress | None = None) -> BackedUp:
        """All of this library as one new file. `restore` takes it back.

        This library's passphrase of today opens it, or `passphrase`: give one where the library's own is only in this
        machine's keystore, or a backup would be lost with the machine. Encrypted like the library, pieces included;
        sealings that are not finished stay out. Keep it where the library would be safe too: it holds this device's
        keys. Raises StoreError, and then there is no file.
        """
        return backup.back_up(self._desk.state, self._desk.vault, path, self._desk.now(), passphrase, progress)

    @property
    def restored(self) -> dict[str, str]:
        """Log → why this library, which came from a backup, signs nothing in it yet. Empty for any other library."""
        state = self._desk.state
        waiting = {log: state.waits(log) for log in (state.view.net, *state.view.circles)}
        return {log: reason for log, reason in waiting.items() if reason}

    def confirm_whole(self, log: str) -> None:
        """Say that a log, as it is here, has all that this device and its log key ever signed in it.

        Only for a log that nobody else keeps, after importing from everybody who reads it. If it is not true, the next
        record freezes this device, or the log for everybody, and nothing takes that back.
        """
        state = self._desk.state
        self._desk.step(replace(state, settings=restored.confirmed(state.settings, log)))

    def change_passphrase(self, passphrase: str, *, cost: Cost = RECOMMENDED, keystore: str | None = None) -> None:
        """Encrypt the database anew under another passphrase, or the same at another cost. Raises StoreError.

        Copies of the folder from before still open with the old one.
        """
        self._desk.vault.change_passphrase(passphrase, cost, keystore)

    def set_indexed(self, circle: str, wanted: bool) -> None:
        """Put a circle's texts into the index on this device, or take them out, whatever the circle asks for."""
        state = self._desk.state
        settings = {**state.settings, searching.OPTED + self._desk.circle(circle): "yes" if wanted else "no"}
        self._desk.step(replace(state, settings=settings))

    def reindex(self) -> int:
        """Make the index anew of all that opens here. How many texts it holds."""
        return self._desk.reindex()

    def opened_log(self) -> OpenLog:
        """What was opened on this device, in order, each at most once an hour. Raises LogError if it was altered."""
        database = self._desk.vault.database
        return open_log.read(database.openings(), database.setting(open_log.END))

    def report(self) -> Report:
        """Who may read what, who changed that, and what was opened here: for somebody who is cleared for none of it.

        Raises LogError where the open-log was altered.
        """
        return report.report(self._desk.state, self.opened_log(), self._desk.now())
