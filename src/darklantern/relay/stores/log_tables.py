"""Logs in a relay's database: entries and checkpoints."""

from typing import Final

from darklantern.errors import LogError, RefusedError
from darklantern.logs.merkle import Frontier
from darklantern.relay.stores.engine import Session, Tables
from darklantern.relay.stores.values import (
    Append,
    Entry,
    Head,
    Page,
    check_hash,
    check_integer,
    check_name,
    pack,
    unpack,
)

PAGE_ENTRIES: Final = 1000
KEEP_S: Final = 3600
"""How long a checkpoint that nobody has cosigned waits for a cosignature once a newer one is there."""
SLOT_S: Final = 10
"""Of the checkpoints that wait for longer than this, one in so many seconds is kept."""


class LogTables(Tables):
    """Reading logs, and what changes in them without an append."""

    def logs(self) -> tuple[str, ...]:
        """The names of all logs, sorted by their bytes."""
        with self._engine.transaction(write=False) as session:
            return tuple(sorted(log for (log,) in session.rows("SELECT log FROM logs")))

    def sizes(self) -> dict[str, int]:
        """Log → how many entries, for all of them."""
        with self._engine.transaction(write=False) as session:
            return {log: size for log, size in session.rows("SELECT log, size FROM logs")}

    def head(self, log: str) -> Head:
        """Where `log` ends; an empty head for one that has never been appended to."""
        check_name(log)
        with self._engine.transaction(write=False) as session:
            # One statement, one view of both tables: an append between two statements would pair wrong ones.
            rows = session.rows(
                "SELECT l.size, l.peaks, c.note, c.time FROM logs l "
                "JOIN checkpoints c ON c.log = l.log AND c.size = l.size WHERE l.log = ?",
                log,
            )
        if not rows:
            return Head()
        ((size, peaks, note, time),) = rows
        return Head(unpack(size, bytes(peaks)), bytes(note), time)

    def stamp(self, log: str, frontier: Frontier, checkpoint: bytes, time: int) -> None:
        """Replace the checkpoint by one over the same frontier, signed later: readers see that the log is alive.

        Raises LogError when the log has grown, or its checkpoint is as new.
        """
        check_name(log)
        check_integer(time)
        with self._engine.transaction(write=True) as session:
            changed = session.change(
                "UPDATE checkpoints SET note = ?, time = ? WHERE log = ? AND size = ? AND time < ? "
                "AND EXISTS (SELECT 1 FROM logs l WHERE l.log = ? AND l.size = ? AND l.peaks = ?)",
                *(checkpoint, time, log, frontier.size, time),
                *(log, frontier.size, pack(frontier)),
            )
            if not changed:
                raise outrun(log, frontier.size)

    def checkpoint(self, log: str, size: int) -> bytes | None:
        """The signed note over the first `size` entries: the newest, a cosigned one, or one of the last hour."""
        check_name(log)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT note FROM checkpoints WHERE log = ? AND size = ?", log, size)
        return bytes(rows[0][0]) if rows else None

    def entries(self, log: str, start: int, stop: int, max_bytes: int) -> Page:
        """The entries from `start` up to `stop`, as many as fit into `max_bytes` and PAGE_ENTRIES.

        The first comes in any case. Ask again from where the page ends. Empty at the log's end.
        """
        check_name(log)
        for number in (start, stop, max_bytes):
            check_integer(number)
        with self._engine.transaction(write=False) as session:
            rows = session.rows(
                "SELECT id, envelope FROM (SELECT position, id, envelope, SUM(LENGTH(envelope)) "
                "OVER (ORDER BY position) AS total FROM entries WHERE log = ? AND position >= ? AND position < ?) page "
                "WHERE total <= ? OR position = ? ORDER BY position",
                *(log, start, min(stop, start + PAGE_ENTRIES), max_bytes, start),
            )
        return Page(start, tuple(Entry(bytes(id_), bytes(envelope)) for id_, envelope in rows))

    def ids(self, log: str, start: int, stop: int) -> tuple[bytes, ...]:
        """The ids from `start` up to `stop`, without their envelopes: 32 bytes each, all that a root needs."""
        check_name(log)
        with self._engine.transaction(write=False) as session:
            rows = session.rows(
                "SELECT id FROM entries WHERE log = ? AND position >= ? AND position < ? ORDER BY position",
                *(log, start, stop),
            )
        return tuple(bytes(id_) for (id_,) in rows)

    def position(self, log: str, record: bytes) -> int | None:
        """Where the log has the record of that id, or None."""
        check_name(log)
        check_hash(record)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT position FROM entries WHERE log = ? AND id = ?", log, record)
        return int(rows[0][0]) if rows else None

    def newest_notes(self, log: str, most: int = 50) -> tuple[bytes, ...]:
        """The notes of the newest checkpoints that are kept, newest first."""
        check_name(log)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT note FROM checkpoints WHERE log = ? ORDER BY size DESC LIMIT ?", log, most)
        return tuple(bytes(note) for (note,) in rows)


def put_entries(session: Session, step: Append) -> None:
    """Entries and checkpoint after the log's end. LogError when that is elsewhere, RefusedError for one twice."""
    signed_before = _advance(session, step)
    put = session.insert(
        "entries",
        {"log": "text", "position": "integer", "id": "bytes", "envelope": "bytes"},
        [(step.log, at, entry.id, entry.envelope) for at, entry in enumerate(step.entries, step.before.size)],
        "ON CONFLICT DO NOTHING",
    )
    if put != len(step.entries):
        raise _there_already(session, step)
    _put_checkpoint(session, step, signed_before)


def outrun(log: str, size: int) -> LogError:
    """What to raise when another relay was faster."""
    return LogError(
        f"the log {log} no longer ends at {size}, or is not the one that was signed",
        hint="another relay was faster: read the head again, sign that, and retry",
    )


def _there_already(session: Session, step: Append) -> RefusedError:
    for entry in step.entries:
        rows = session.rows("SELECT position FROM entries WHERE log = ? AND id = ?", step.log, entry.id)
        if rows and rows[0][0] < step.before.size:
            return RefusedError(
                f"the log {step.log} has the record {entry.id.hex()} already, at {rows[0][0]}",
                hint="it has arrived; there is nothing to send again",
            )
    raise outrun(step.log, step.before.size)


def _advance(session: Session, step: Append) -> int | None:
    """Move the log's end, if it is where `step` begins; when its checkpoint there was signed.

    The row stays locked to the end of the transaction: nobody else appends meanwhile.
    """
    if not step.before.size:
        session.change("INSERT INTO logs (log, size, peaks) VALUES (?, 0, ?) ON CONFLICT DO NOTHING", step.log, b"")
    moved = session.rows(
        "UPDATE logs SET size = ?, peaks = ? WHERE log = ? AND size = ? AND peaks = ? "
        "RETURNING (SELECT time FROM checkpoints c WHERE c.log = logs.log AND c.size = ?)",
        *(step.after.size, pack(step.after), step.log, step.before.size, pack(step.before), step.before.size),
    )
    if not moved:
        raise outrun(step.log, step.before.size)
    return None if moved[0][0] is None else int(moved[0][0])


def _put_checkpoint(session: Session, step: Append, signed_before: int | None) -> None:
    """The log's newest checkpoint. Older ones wait for a cosignature: all for some seconds, then one of each slot."""
    log, size, time = step.log, step.after.size, step.time
    if not session.change(
        "INSERT INTO checkpoints (log, size, time, note) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        *(log, size, time, step.checkpoint),
    ):
        raise outrun(log, size)  # a log that was begun twice, empty
    if (
        signed_before is not None and signed_before // SLOT_S != time // SLOT_S
    ):  # a busy log signs a hundred in a second
        session.change(
            "DELETE FROM checkpoints WHERE log = ? AND size < ? AND time < ? AND (time < ? OR EXISTS (SELECT 1 FROM "
            f"checkpoints n WHERE n.log = checkpoints.log AND n.size > checkpoints.size AND n.time / {SLOT_S} = "
            f"checkpoints.time / {SLOT_S})) AND NOT EXISTS "
            "(SELECT 1 FROM cosignatures s WHERE s.log = checkpoints.log AND s.size = checkpoints.size)",
            *(log, size, time - SLOT_S, time - KEEP_S),
        )
