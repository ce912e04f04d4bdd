"""Which log has which blob: who is charged for it, and whether a record of the log needs it.

A blob belongs to each log that has it, one by one: whoever may read one log learns nothing of another's. Small
blobs lie here, in the row; the bytes of larger ones lie in the store of blobs, under their name, once for all logs.
An upload into that store has a row of its own while it goes on, with who has paid what for it: several may go on under
one name, and what becomes of one is nothing to the others.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from darklantern.errors import LogError
from darklantern.relay.stores.engine import ColumnType, Session, Tables
from darklantern.relay.stores.usage_tables import put_charges, put_refund
from darklantern.relay.stores.values import Charge, Drop, Need, Piece, check_name

SMALL_BYTES: Final = 64 * 1024
"""What is no larger lies in the database: one commit holds a record and its piece, and no file needs a sync."""
_AT_ONCE: Final = 500
_COLUMNS: Final[dict[str, ColumnType]] = {
    "log": "text",
    "name": "text",
    "size": "integer",
    "here": "integer",
    "needed": "integer",
    "account": "text",
    "time": "integer",
    "data": "bytes",
}
_FILLS: Final = "CASE WHEN pieces.here = 0 AND excluded.here = 1 THEN excluded.{0} ELSE pieces.{0} END"
_MERGE: Final = (
    "ON CONFLICT (log, name) DO UPDATE SET "
    "needed = CASE WHEN excluded.needed = 1 THEN 1 ELSE pieces.needed END, here = "
    "CASE WHEN excluded.here = 1 THEN 1 ELSE pieces.here END, "
    + ", ".join(f"{column} = {_FILLS.format(column)}" for column in ("size", "account", "time", "data"))
)


class PieceTables(Tables):
    """Blobs as logs have them. A row may wait for its blob, where a record came first."""

    def piece(self, log: str, name: str) -> Piece | None:
        """The blob, if this log has it."""
        check_name(log)
        check_name(name)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT size, data FROM pieces WHERE log = ? AND name = ? AND here = 1", log, name)
        return Piece(rows[0][0], None if rows[0][1] is None else bytes(rows[0][1])) if rows else None

    def missing(self, log: str, names: Sequence[str]) -> tuple[str, ...]:
        """Those of `names` that this log does not have, in their order."""
        with self._engine.transaction(write=False) as session:
            here = {name for name, here in _known(session, log, names) if here}
        return tuple(name for name in names if name not in here)

    def wanted(self, log: str, after: str, limit: int) -> tuple[str, ...]:
        """Blobs that records of this log need and that it does not have: the first ones after a name, sorted."""
        with self._engine.transaction(write=False) as session:
            rows = session.rows(
                "SELECT name FROM pieces WHERE log = ? AND here = 0 AND needed = 1 AND name > ? ORDER BY name LIMIT ?",
                *(log, after, limit),
            )
        return tuple(name for (name,) in rows)

    def put_piece(self, log: str, name: str, data: bytes, charge: Charge, now: int, *also: Charge) -> None:
        """A small blob, if the log does not have it. Raises QuotaError. What it costs `also` it costs in any case."""
        with self._engine.transaction(write=True) as session:
            placed = _place(session, log, name, charge.amount, charge.account, now, data)
            put_charges(session, (*also, charge) if placed else also)

    def begin_piece(self, upload: str, log: str, name: str, charge: Charge, now: int, *also: Charge) -> bool:
        """Before a large blob goes into the store: charge for it, and keep its name from being collected.

        `upload` is what nobody else calls theirs. False when the log has the blob, so that nothing is to do. Raises
        QuotaError.
        """
        check_name(log)
        check_name(name)
        with self._engine.transaction(write=True) as session:
            # Waits for whoever is deleting these very bytes; they are written again afterwards.
            session.change("DELETE FROM dropped WHERE name = ?", name)
            here = session.rows("SELECT 1 FROM pieces WHERE log = ? AND name = ? AND here = 1", log, name)
            if here:
                put_charges(session, also)
                return False
            session.change(
                "INSERT INTO uploads (upload, log, name, size, account, time) VALUES (?, ?, ?, ?, ?, ?)",
                *(upload, log, name, charge.amount, charge.account, now),
            )
            put_charges(session, (*also, charge))
        return True

    def finish_piece(self, upload: str, now: int) -> None:
        """Once the blob is in the store. Raises LogError when the upload expired meanwhile."""
        with self._engine.transaction(write=True) as session:
            ended = _end(session, upload)
            if ended is None:
                raise LogError("the upload took too long", hint="send it again")
            log, name, size, account = ended
            if not _place(session, log, name, size, account, now, None):  # another was faster, and has paid for it
                put_refund(session, account, size)

    def cancel_piece(self, upload: str, name: str) -> None:
        """When it failed: give back what it cost, to who has paid; what it may have stored is collected."""
        with self._engine.transaction(write=True) as session:
            session.change(_DROP, name)
            _refund(session, upload)

    def drop_pieces(self, drop: Drop) -> None:
        """Let go of what nothing needs any more; `collect` deletes the bytes."""
        with self._engine.transaction(write=True) as session:
            put_drop(session, drop)

    def expire_pieces(self, before: int, limit: int = 1000) -> int:
        """Drop blobs that no record has needed since `before`; how many."""
        with self._engine.transaction(write=True) as session:
            old = session.rows(
                "SELECT log, name FROM pieces WHERE needed = 0 AND time < ? ORDER BY time LIMIT ?", before, limit
            )
            _clear(session, old)
        return len(old)

    def expire_uploads(self, before: int, limit: int = 1000) -> int:
        """Cancel uploads that began before that and never ended; how many."""
        with self._engine.transaction(write=True) as session:
            old = session.rows("SELECT upload, name FROM uploads WHERE time < ? ORDER BY time LIMIT ?", before, limit)
            for upload, name in old:
                session.change(_DROP, name)
                _refund(session, upload)
        return len(old)

    def collect(self, delete: Callable[[str], object]) -> int:
        """Call `delete` for blobs in the store that no log has any more; how many. A name at a time, so that an upload
        of the same bytes waits for no more than one deletion."""
        with self._engine.transaction(write=False) as session:
            names = [name for (name,) in session.rows("SELECT name FROM dropped ORDER BY name LIMIT 1000")]
        count = 0
        for name in names:
            with self._engine.transaction(write=True) as session:
                mine = session.change("DELETE FROM dropped WHERE name = ?", name)
                if mine and not session.rows(_STORED, name, name):
                    delete(name)
                    count += 1
        return count


_STORED: Final = (
    "SELECT 1 FROM pieces WHERE name = ? AND data IS NULL UNION ALL SELECT 1 FROM uploads WHERE name = ? LIMIT 1"
)
_DROP: Final = "INSERT INTO dropped (name) VALUES (?) ON CONFLICT DO NOTHING"


def put_needs(session: Session, needs: Iterable[Need], now: int) -> list[Charge]:
    """Note what records need, and keep what came along. What that costs."""
    by_log: dict[str, dict[str, Need]] = {}
    for need in needs:
        by_log.setdefault(need.log, {})[need.name] = need
    charges: list[Charge] = []
    rows = []
    for log, wanted in sorted(by_log.items()):
        known = dict(_known(session, log, list(wanted)))
        for name, need in sorted(wanted.items()):
            # A blob by itself is kept only where a record waits for it: what a tombstone dropped does not return.
            data = need.data if not known.get(name, not need.needed) else None
            if data is None and not need.needed:
                continue
            size = len(data or b"")
            if data is not None:
                charges.append(Charge(need.account, size, need.limit))
            rows.append((log, name, size, int(data is not None), int(need.needed), need.account, now, data))
    session.insert("pieces", _COLUMNS, rows, _MERGE)
    return charges


def put_drop(session: Session, drop: Drop) -> None:
    """Nothing needs these any more: they go, and what they cost is given back. Most may be gone already."""
    names = sorted(set(drop.names))
    for name in [name for name, _ in _known(session, drop.log, names)]:
        session.change("UPDATE pieces SET needed = 0 WHERE log = ? AND name = ?", drop.log, name)
        _clear(session, [(drop.log, name)])


def _known(session: Session, log: str, names: Sequence[str]) -> Iterable[tuple[str, bool]]:
    """Name → whether it is here, for those that the log has a row of."""
    check_name(log)
    for at in range(0, len(names), _AT_ONCE):
        some = names[at : at + _AT_ONCE]
        marks = ",".join("?" * len(some))
        for name, here in session.rows(
            f"SELECT name, here FROM pieces WHERE log = ? AND name IN ({marks})", log, *some
        ):
            yield name, bool(here)


def _place(session: Session, log: str, name: str, size: int, account: str, now: int, data: bytes | None) -> bool:
    """Note that the log has the blob, and for whose money. False where it had it."""
    check_name(log)
    check_name(name)
    return (
        session.change(
            "INSERT INTO pieces (log, name, size, here, needed, account, time, data) VALUES (?, ?, ?, 1, 0, ?, ?, ?) "
            "ON CONFLICT (log, name) DO UPDATE SET size = excluded.size, here = 1, account = excluded.account, "
            "time = excluded.time, data = excluded.data WHERE pieces.here = 0",
            *(log, name, size, account, now, data),
        )
        > 0
    )


def _end(session: Session, upload: str) -> tuple[str, str, int, str] | None:
    """Log, name, size and account of an upload that goes on no longer; None where it had ended."""
    rows = session.rows("DELETE FROM uploads WHERE upload = ? RETURNING log, name, size, account", upload)
    return (str(rows[0][0]), str(rows[0][1]), int(rows[0][2]), str(rows[0][3])) if rows else None


def _refund(session: Session, upload: str) -> None:
    if ended := _end(session, upload):
        _, _, size, account = ended
        put_refund(session, account, size)


def _clear(session: Session, keys: Iterable[Sequence[str]]) -> None:
    """Let these rows go, and give back what they cost: once, whoever else is at it, and not what is needed by now."""
    for log, name in keys:
        # Not `data IS NULL`, which SQLite 3.40 answers with 0 after a deletion, by the index that has this condition.
        for size, account, length in session.rows(
            "DELETE FROM pieces WHERE log = ? AND name = ? AND needed = 0 RETURNING size, account, length(data)",
            *(log, name),
        ):
            if length is None:
                session.change(_DROP, name)
            put_refund(session, str(account), int(size))
