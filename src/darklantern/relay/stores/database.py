"""A relay's database: one class over either engine.

Every method is one transaction, and may be called from any thread; several processes may have the same
database open. All raise StoreError when the database cannot be used.
"""

from pathlib import Path
from typing import Any, Final

from darklantern.errors import LogError, RefusedError, StoreError
from darklantern.logs.merkle import Frontier
from darklantern.relay.stores.engine import Engine, Session
from darklantern.relay.stores.schema import migrate
from darklantern.relay.stores.values import (
    Append,
    Charge,
    Cosignature,
    Entry,
    Head,
    Page,
    Token,
    check_hash,
    check_integer,
    check_name,
    pack,
    unpack,
)

PAGE_ENTRIES: Final = 1000
KEEP_S: Final = 3600
"""How long a checkpoint that nobody has cosigned waits for a cosignature once a newer one is there."""


class Database:
    """Logs, checkpoints, cosignatures, nonces, tokens and quotas, over `engine`, which it migrates, and closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        try:
            migrate(engine)
        except BaseException:
            engine.close()
            raise

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def backup(self, path: Path) -> None:
        """A copy as of one moment, as a new file, while relays go on. Raises StoreError where the engine has none."""
        self._engine.backup(path)

    # Logs

    def logs(self) -> tuple[str, ...]:
        """The names of all logs, sorted by their bytes."""
        with self._engine.transaction(write=False) as session:
            return tuple(sorted(log for (log,) in session.rows("SELECT log FROM logs")))

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

    def append(self, step: Append, charges: tuple[Charge, ...] = ()) -> None:
        """Put the entries, the checkpoint and the charges, all or none, if the log still ends where `step` begins.

        Only after it has returned may anyone see the checkpoint. Raises LogError when another relay was faster:
        read the head, sign anew, try again. Raises RefusedError for an id that the log has, or a full quota.
        """
        with self._engine.transaction(write=True) as session:
            _advance(session, step)
            for entry in step.entries:
                # Whoever holds the log's row is the only one to append to it, so this cannot race.
                if rows := session.rows("SELECT position FROM entries WHERE log = ? AND id = ?", step.log, entry.id):
                    raise RefusedError(
                        f"the log {step.log} has the record {entry.id.hex()} already, at {rows[0][0]}",
                        hint="it has arrived; there is nothing to send again",
                    )
            session.change_many(
                "INSERT INTO entries (log, position, id, envelope) VALUES (?, ?, ?, ?)",
                [
                    (step.log, position, entry.id, entry.envelope)
                    for position, entry in enumerate(step.entries, step.before.size)
                ],
            )
            _put_checkpoint(session, step.log, step.after.size, step.checkpoint, step.time)
            _charge(session, charges)

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
                raise _outrun(log, frontier.size)

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
                "SELECT id, envelope FROM (SELECT position, id, envelope, SUM(COALESCE(LENGTH(envelope), 0)) "
                "OVER (ORDER BY position) AS total FROM entries WHERE log = ? AND position >= ? AND position < ?) page "
                "WHERE total <= ? OR position = ? ORDER BY position",
                *(log, start, min(stop, start + PAGE_ENTRIES), max_bytes, start),
            )
        return Page(start, tuple(Entry(bytes(id_), _bytes(envelope)) for id_, envelope in rows))

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

    def drop_envelope(self, log: str, record: bytes) -> bool:
        """Delete the envelope, after a tombstone. Its id stays, and with it the root. False when there was none."""
        check_name(log)
        check_hash(record)
        with self._engine.transaction(write=True) as session:
            return bool(
                session.change(
                    "UPDATE entries SET envelope = NULL WHERE log = ? AND id = ? AND envelope IS NOT NULL", log, record
                )
            )

    # Cosignatures

    def cosign(self, log: str, cosignature: Cosignature) -> None:
        """Keep the cosigner's newest line, beside the checkpoint that it is about. An older one changes nothing.

        Raises LogError when the relay has no checkpoint of that size, or no longer.
        """
        check_name(log)
        with self._engine.transaction(write=True) as session:
            # Holding the log's row keeps an append from dropping the checkpoint meanwhile.
            session.change("UPDATE logs SET size = size WHERE log = ?", log)
            if not session.rows("SELECT 1 FROM checkpoints WHERE log = ? AND size = ?", log, cosignature.size):
                raise LogError(
                    f"expected a cosignature over a checkpoint that this relay has, got one over {cosignature.size} "
                    f"entries of {log}",
                    hint="fetch the newest checkpoint and cosign that",
                )
            session.change(
                "INSERT INTO cosignatures (log, cosigner, size, line) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (log, cosigner) DO UPDATE SET size = excluded.size, line = excluded.line "
                "WHERE excluded.size >= cosignatures.size",
                *(log, cosignature.cosigner, cosignature.size, cosignature.line),
            )

    def cosignatures(self, log: str) -> tuple[Cosignature, ...]:
        """The newest of each cosigner, sorted by its name."""
        check_name(log)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT cosigner, size, line FROM cosignatures WHERE log = ?", log)
        found = (Cosignature(cosigner, size, bytes(line)) for cosigner, size, line in rows)
        return tuple(sorted(found, key=lambda each: each.cosigner))

    # Nonces and tokens

    def issue_nonce(self, nonce: bytes, expires: int) -> None:
        """Remember a nonce that may be spent once before `expires`. Raises StoreError for one issued before."""
        check_hash(nonce)
        check_integer(expires)
        with self._engine.transaction(write=True) as session:
            if not session.change("INSERT INTO nonces VALUES (?, ?) ON CONFLICT DO NOTHING", nonce, expires):
                raise StoreError(
                    "expected a new nonce, got one twice", hint="the relay's random source is broken: stop it"
                )

    def spend_nonce(self, nonce: bytes, now: int) -> bool:
        """True once for each nonce, and only before it expires: of many relays that ask at once, one is told so."""
        check_hash(nonce)
        with self._engine.transaction(write=True) as session:
            return bool(session.change("DELETE FROM nonces WHERE nonce = ? AND expires > ?", nonce, now))

    def issue_token(self, token: Token) -> None:
        """Remember a device's token. Raises StoreError for one that was issued before."""
        with self._engine.transaction(write=True) as session:
            if not session.change(
                "INSERT INTO tokens VALUES (?, ?, ?) ON CONFLICT DO NOTHING", token.hash, token.device, token.expires
            ):
                raise StoreError(
                    "expected a new token, got one twice", hint="the relay's random source is broken: stop it"
                )

    def device(self, token_hash: bytes, now: int) -> str | None:
        """Whose token it is, or None when it is unknown, expired or ended."""
        check_hash(token_hash)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT device FROM tokens WHERE hash = ? AND expires > ?", token_hash, now)
        return str(rows[0][0]) if rows else None

    def end_tokens(self, device: str) -> int:
        """End all tokens of a revoked device; how many there were."""
        check_name(device)
        with self._engine.transaction(write=True) as session:
            return session.change("DELETE FROM tokens WHERE device = ?", device)

    def expire(self, now: int) -> int:
        """Delete the nonces and tokens that have expired; how many there were. Changes no answer, only the space."""
        with self._engine.transaction(write=True) as session:
            nonces = session.change("DELETE FROM nonces WHERE expires <= ?", now)
            return nonces + session.change("DELETE FROM tokens WHERE expires <= ?", now)

    # Quotas

    def charge(self, *charges: Charge) -> None:
        """Count all of them, or none. Raises RefusedError that names the account which is full."""
        with self._engine.transaction(write=True) as session:
            _charge(session, charges)

    def refund(self, account: str, amount: int, period: int = 0) -> None:
        """Take back what was charged, as when a blob was dropped. Never below 0."""
        check_name(account)
        check_integer(amount)
        with self._engine.transaction(write=True) as session:
            session.change(
                "UPDATE usage SET used = CASE WHEN used > ? THEN used - ? ELSE 0 END WHERE account = ? AND period = ?",
                *(amount, amount, account, period),
            )

    def used(self, account: str, period: int = 0) -> int:
        """What is counted against the account."""
        check_name(account)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT used FROM usage WHERE account = ? AND period = ?", account, period)
        return int(rows[0][0]) if rows else 0

    def forget_usage(self, before_period: int) -> int:
        """Delete what was counted in periods that are over; how many rows. Period 0 stays."""
        with self._engine.transaction(write=True) as session:
            return session.change("DELETE FROM usage WHERE period > 0 AND period < ?", before_period)


def _advance(session: Session, step: Append) -> None:
    """Move the log's end, if it is where `step` begins. The row stays locked to the end of the transaction."""
    if not step.before.size:
        session.change("INSERT INTO logs (log, size, peaks) VALUES (?, 0, ?) ON CONFLICT DO NOTHING", step.log, b"")
    moved = session.change(
        "UPDATE logs SET size = ?, peaks = ? WHERE log = ? AND size = ? AND peaks = ?",
        *(step.after.size, pack(step.after), step.log, step.before.size, pack(step.before)),
    )
    if not moved:
        raise _outrun(step.log, step.before.size)


def _put_checkpoint(session: Session, log: str, size: int, note: bytes, time: int) -> None:
    """The log's newest checkpoint; older ones go, but for those that are cosigned or may still be."""
    if not session.change(
        "INSERT INTO checkpoints (log, size, time, note) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        *(log, size, time, note),
    ):
        raise _outrun(log, size)  # a log that was begun twice, empty
    session.change(
        "DELETE FROM checkpoints WHERE log = ? AND size < ? AND time < ? AND NOT EXISTS "
        "(SELECT 1 FROM cosignatures s WHERE s.log = checkpoints.log AND s.size = checkpoints.size)",
        *(log, size, time - KEEP_S),
    )


def _charge(session: Session, charges: tuple[Charge, ...]) -> None:
    # In one order everywhere: two relays that lock accounts crosswise would wait for each other.
    for charge in sorted(charges, key=lambda each: (each.account, each.period)):
        key = (charge.account, charge.period)
        session.change("INSERT INTO usage (account, period, used) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", *key)
        room = charge.limit - charge.amount
        if room < 0 or not session.change(
            "UPDATE usage SET used = used + ? WHERE account = ? AND period = ? AND used <= ?",
            *(charge.amount, *key, room),
        ):
            raise RefusedError(
                f"{charge.amount} more would pass the quota of {charge.account}, which is {charge.limit}",
                hint="delete what is no longer needed, or ask the relay's keeper for more",
            )


def _outrun(log: str, size: int) -> LogError:
    return LogError(
        f"the log {log} no longer ends at {size}, or is not the one that was signed",
        hint="another relay was faster: read the head again, sign that, and retry",
    )


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
