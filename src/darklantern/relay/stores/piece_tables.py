"""Which log has which blob: who is charged for it, and how many of the log's records name it.

A blob belongs to each log that has it, one by one: whoever may read one log learns nothing of another's. Small
blobs lie here, in the row; the bytes of larger ones lie in the store of blobs, under their name, once for all logs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from darklantern.errors import LogError
from darklantern.relay.stores.engine import ColumnType, Session, Tables
from darklantern.relay.stores.usage_tables import put_charges, put_refund
from darklantern.relay.stores.values import Charge, Drop, Piece, Uses, check_name

SMALL_BYTES: Final = 64 * 1024
"""What is no larger lies in the database: one commit holds a record and its piece, and no file needs a sync."""
_AT_ONCE: Final = 500
_COLUMNS: Final[dict[str, ColumnType]] = {
    "log": "text",
    "name": "text",
    "size": "integer",
    "here": "integer",
    "uses": "integer",
    "account": "text",
    "time": "integer",
    "data": "bytes",
}
_FILLS: Final = "CASE WHEN pieces.here = 0 AND excluded.here = 1 THEN excluded.{0} ELSE pieces.{0} END"
_MERGE: Final = (
    "ON CONFLICT (log, name) DO UPDATE SET uses = pieces.uses + excluded.uses, here = "
    "CASE WHEN excluded.here = 1 THEN 1 ELSE pieces.here END, "
    + ", ".join(f"{column} = {_FILLS.format(column)}" for column in ("size", "account", "time", "data"))
)


class PieceTables(Tables):
    """Blobs as logs have them. A row may wait for its blob: a record came first, or an upload goes on."""

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
        """Blobs that records of this log name and that it does not have: the first ones after a name, sorted."""
        with self._engine.transaction(write=False) as session:
            rows = session.rows(
                "SELECT name FROM pieces WHERE log = ? AND here = 0 AND uses > 0 AND name > ? ORDER BY name LIMIT ?",
                *(log, after, limit),
            )
        return tuple(name for (name,) in rows)

    def put_piece(self, log: str, name: str, data: bytes, charge: Charge, now: int) -> None:
        """A small blob, if the log does not have it. Raises QuotaError."""
        with self._engine.transaction(write=True) as session:
            if not _begin(session, log, name, charge, now):
                return
            session.change("UPDATE pieces SET data = ?, here = 1 WHERE log = ? AND name = ?", data, log, name)

    def begin_piece(self, log: str, name: str, charge: Charge, now: int) -> bool:
        """Before a large blob goes into the store: charge for it, and keep its name from being collected.

        False when the log has it, so that nothing is to do. Raises QuotaError.
        """
        with self._engine.transaction(write=True) as session:
            # Waits for whoever is deleting these very bytes; they are written again afterwards.
            session.change("DELETE FROM dropped WHERE name = ?", name)
            return _begin(session, log, name, charge, now)

    def finish_piece(self, log: str, name: str) -> None:
        """Once the blob is in the store. Raises LogError when its row expired meanwhile."""
        with self._engine.transaction(write=True) as session:
            if not session.change("UPDATE pieces SET here = 1 WHERE log = ? AND name = ?", log, name):
                raise LogError(f"the upload of {name} took too long", hint="send it again")

    def cancel_piece(self, log: str, name: str) -> None:
        """When the upload failed: take the charge back."""
        with self._engine.transaction(write=True) as session:
            _clear(session, session.rows(f"{_SELECT} WHERE log = ? AND name = ? AND here = 0", log, name))

    def drop_pieces(self, drop: Drop, once: str) -> bool:
        """What no record names any more goes, at once; `collect` deletes the bytes. False where `once` was said before.

        Unlike a drop that goes with an append, nothing else keeps this from being done twice.
        """
        with self._engine.transaction(write=True) as session:
            if not session.change("INSERT INTO retired VALUES (?, ?) ON CONFLICT DO NOTHING", drop.log, once):
                return False
            put_drop(session, drop)
            return True

    def retired(self, log: str) -> frozenset[str]:
        """What was said once about this log."""
        with self._engine.transaction(write=False) as session:
            return frozenset(what for (what,) in session.rows("SELECT what FROM retired WHERE log = ?", log))

    def expire_pieces(self, before: int, limit: int = 1000) -> int:
        """Drop blobs that no record has named since `before`, and uploads that never ended; how many."""
        with self._engine.transaction(write=True) as session:
            old = session.rows(
                f"{_SELECT} WHERE (uses = 0 OR here = 0) AND time < ? AND (uses = 0 OR size > 0) ORDER BY time LIMIT ?",
                *(before, limit),
            )
            _clear(session, old)
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
                if mine and not session.rows("SELECT 1 FROM pieces WHERE name = ? AND data IS NULL LIMIT 1", name):
                    delete(name)
                    count += 1
        return count


_SELECT: Final = "SELECT log, name, size, here, uses, account, data IS NULL FROM pieces"


def put_uses(session: Session, uses: Iterable[Uses], now: int) -> list[Charge]:
    """Count what an append's records name, and keep what came along. What that costs."""
    by_log: dict[str, dict[str, Uses]] = {}
    for use in uses:
        by_log.setdefault(use.log, {})[use.name] = use
    charges: list[Charge] = []
    rows = []
    for log, wanted in sorted(by_log.items()):
        known = dict(_known(session, log, list(wanted)))
        for name, use in sorted(wanted.items()):
            # A blob by itself is kept only where a record waits for it: what a tombstone dropped does not return.
            data = use.data if not known.get(name, use.count == 0) else None
            if data is None and not use.count:
                continue
            size = len(data or b"")
            if data is not None:
                charges.append(Charge(use.account, size, use.limit))
            rows.append((log, name, size, int(data is not None), use.count, use.account, now, data))
    session.insert("pieces", _COLUMNS, rows, _MERGE)
    return charges


def put_drop(session: Session, drop: Drop) -> None:
    """A record less for each time that a name stands here; what none names goes."""
    for name, count in sorted(Counter(drop.names).items()):
        key = (drop.log, name)
        session.change(
            "UPDATE pieces SET uses = CASE WHEN uses > ? THEN uses - ? ELSE 0 END WHERE log = ? AND name = ?",
            *(count, count, *key),
        )
        _clear(session, session.rows(f"{_SELECT} WHERE log = ? AND name = ? AND uses = 0", *key))


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


def _begin(session: Session, log: str, name: str, charge: Charge, now: int) -> bool:
    check_name(log)
    check_name(name)
    rows = session.rows("SELECT here, size FROM pieces WHERE log = ? AND name = ?", log, name)
    if rows and rows[0][0]:
        return False
    values = (charge.amount, charge.account, now, log, name)
    if rows:
        session.change("UPDATE pieces SET size = ?, account = ?, time = ? WHERE log = ? AND name = ?", *values)
    else:
        session.change(
            "INSERT INTO pieces (size, account, time, log, name, here, uses) VALUES (?, ?, ?, ?, ?, 0, 0) "
            "ON CONFLICT DO NOTHING",
            *values,
        )
    if not (rows and rows[0][1]):  # else an upload before this one has paid
        put_charges(session, (charge,))
    return True


def _clear(session: Session, rows: Iterable[Sequence[object]]) -> None:
    """Give back what these rows cost. Those that no record names go; a record's own row waits for its blob again."""
    for log, name, size, _, uses, account, stored in rows:
        key = (str(log), str(name))
        if uses:
            session.change("UPDATE pieces SET size = 0, data = NULL WHERE log = ? AND name = ?", *key)
        else:
            session.change("DELETE FROM pieces WHERE log = ? AND name = ?", *key)
        if stored:
            session.change("INSERT INTO dropped (name) VALUES (?) ON CONFLICT DO NOTHING", key[1])
        put_refund(session, str(account), int(str(size)))
