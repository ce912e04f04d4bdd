"""Cosignatures in a relay's database: what witnesses said of its logs, and what it has said of others'."""

from collections.abc import Callable, Mapping

from darklantern.errors import LogError
from darklantern.logs.merkle import EMPTY_ROOT
from darklantern.relay.stores.engine import Tables
from darklantern.relay.stores.values import Cosignature, check_integer, check_name


class WitnessTables(Tables):
    """Who vouches for what."""

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

    def notes(self) -> Mapping[str, tuple[bytes, tuple[bytes, ...]]]:
        """Log → its newest note, and the cosignature lines over that very size."""
        with self._engine.transaction(write=False) as session:
            rows = session.rows(
                "SELECT l.log, c.note, s.line FROM logs l JOIN checkpoints c ON c.log = l.log AND c.size = l.size "
                "LEFT JOIN cosignatures s ON s.log = l.log AND s.size = l.size"
            )
        found: dict[str, tuple[bytes, tuple[bytes, ...]]] = {}
        for log, note, line in rows:
            lines = found[log][1] if log in found else ()
            found[log] = bytes(note), (*lines, bytes(line)) if line is not None else lines
        return found

    def remember(self, origin: str, judge: Callable[[int, bytes], tuple[int, bytes] | None]) -> bool:
        """Replace what was cosigned last of the log `origin` by what `judge` makes of it. False where it says None.

        `judge` is told size and root, 0 and the empty root at first. Of two that judge at once, one waits.
        """
        check_name(origin)
        with self._engine.transaction(write=True) as session:
            session.change("INSERT INTO witnessed VALUES (?, 0, ?) ON CONFLICT DO NOTHING", origin, EMPTY_ROOT)
            session.change("UPDATE witnessed SET size = size WHERE origin = ?", origin)  # takes the row's lock
            ((size, root),) = session.rows("SELECT size, root FROM witnessed WHERE origin = ?", origin)
            new = judge(size, bytes(root))
            if new is None:
                return False
            check_integer(new[0])
            session.change("UPDATE witnessed SET size = ?, root = ? WHERE origin = ?", *new, origin)
            return True

    def witnessed(self, origin: str) -> tuple[int, bytes]:
        """Size and root of what was cosigned last of the log `origin`; 0 and the empty root before the first."""
        check_name(origin)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT size, root FROM witnessed WHERE origin = ?", origin)
        return (rows[0][0], bytes(rows[0][1])) if rows else (0, EMPTY_ROOT)
