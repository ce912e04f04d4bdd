"""A relay's database: one class over either engine.

Every method is one transaction, and may be called from any thread; several processes may have the same
database open. All raise StoreError when the database cannot be used.
"""

from pathlib import Path

from darklantern.relay.stores.engine import Engine
from darklantern.relay.stores.log_tables import LogTables, put_entries
from darklantern.relay.stores.piece_tables import PieceTables, put_drop, put_needs
from darklantern.relay.stores.schema import migrate
from darklantern.relay.stores.token_tables import TokenTables
from darklantern.relay.stores.usage_tables import UsageTables, put_charges
from darklantern.relay.stores.values import Append, Charge, Commit
from darklantern.relay.stores.witness_tables import WitnessTables


class Database(LogTables, WitnessTables, PieceTables, TokenTables, UsageTables):
    """All that a relay keeps but large blobs, over `engine`, which it migrates, and closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        try:
            migrate(engine)
        except BaseException:
            engine.close()
            raise

    def append(self, step: Append, charges: tuple[Charge, ...] = ()) -> None:
        """Put the entries, the checkpoint and the charges, all or none, if the log still ends where `step` begins.

        Only after it has returned may anyone see the checkpoint. Raises LogError when another relay was faster:
        read the head, sign anew, try again. Raises RefusedError for an id that the log has, or a full quota.
        """
        self.commit(Commit((step,), charges=charges, time=step.time))

    def commit(self, commit: Commit) -> None:
        """The same for several logs at once, with what their entries need of blobs."""
        with self._engine.transaction(write=True) as session:
            # In one order everywhere: two relays that lock logs crosswise would wait for each other.
            for step in sorted(commit.appends, key=lambda each: each.log):
                put_entries(session, step)
            put_charges(session, (*commit.charges, *put_needs(session, commit.needs, commit.time)))
            for drop in commit.drops:
                put_drop(session, drop)

    def backup(self, path: Path) -> None:
        """A copy as of one moment, as a new file, while relays go on. Raises StoreError where the engine has none."""
        self._engine.backup(path)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
