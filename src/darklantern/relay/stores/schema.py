"""The tables of a relay's database, version by version, the same for both engines.

A version is never edited once a relay has run it; a change is one more at the end. There is no way back: an
older relay refuses a newer database.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from darklantern.errors import StoreError
from darklantern.relay.stores.engine import Engine, Session


class Raw(NamedTuple):
    """A column that holds ciphertext, which is not worth compressing."""

    table: str
    column: str


Migration = tuple[str | Raw, ...]
"""Statements; `{integer}`, `{bytes}` and `{table}` are the dialect's."""

MIGRATIONS: Final[tuple[Migration, ...]] = (
    (
        """CREATE TABLE logs (log TEXT PRIMARY KEY, size {integer} NOT NULL CHECK (size >= 0),
                              peaks {bytes} NOT NULL){table}""",
        """CREATE TABLE entries (log TEXT NOT NULL REFERENCES logs (log), position {integer} NOT NULL,
                                 id {bytes} NOT NULL, envelope {bytes},
                                 PRIMARY KEY (log, position), UNIQUE (log, id)){table}""",
        """CREATE TABLE checkpoints (log TEXT NOT NULL REFERENCES logs (log), size {integer} NOT NULL,
                                     time {integer} NOT NULL, note {bytes} NOT NULL, PRIMARY KEY (log, size)){table}""",
        """CREATE TABLE cosignatures (log TEXT NOT NULL REFERENCES logs (log), cosigner TEXT NOT NULL,
                                      size {integer} NOT NULL, line {bytes} NOT NULL,
                                      PRIMARY KEY (log, cosigner)){table}""",
        "CREATE TABLE nonces (nonce {bytes} PRIMARY KEY, expires {integer} NOT NULL){table}",
        "CREATE INDEX nonces_by_expiry ON nonces (expires)",
        "CREATE TABLE tokens (hash {bytes} PRIMARY KEY, device TEXT NOT NULL, expires {integer} NOT NULL){table}",
        "CREATE INDEX tokens_by_device ON tokens (device)",
        "CREATE INDEX tokens_by_expiry ON tokens (expires)",
        """CREATE TABLE usage (account TEXT NOT NULL, period {integer} NOT NULL,
                               used {integer} NOT NULL CHECK (used >= 0), PRIMARY KEY (account, period)){table}""",
    ),
    (
        """CREATE TABLE pieces (log TEXT NOT NULL, name TEXT NOT NULL, size {integer} NOT NULL, here {integer} NOT NULL,
                                needed {integer} NOT NULL, account TEXT NOT NULL,
                                time {integer} NOT NULL, data {bytes}, PRIMARY KEY (log, name)){table}""",
        "CREATE INDEX pieces_stored ON pieces (name) WHERE data IS NULL",
        "CREATE INDEX pieces_idle ON pieces (time) WHERE needed = 0 OR here = 0",
        "CREATE TABLE dropped (name TEXT PRIMARY KEY){table}",
        "CREATE TABLE witnessed (origin TEXT PRIMARY KEY, size {integer} NOT NULL, root {bytes} NOT NULL){table}",
        Raw("pieces", "data"),
        Raw("entries", "envelope"),
    ),
    (
        """CREATE TABLE uploads (upload TEXT PRIMARY KEY, log TEXT NOT NULL, name TEXT NOT NULL,
                                 size {integer} NOT NULL, account TEXT NOT NULL, time {integer} NOT NULL){table}""",
        "CREATE INDEX uploads_by_name ON uploads (name)",
        "CREATE INDEX uploads_by_time ON uploads (time)",
        "DROP INDEX pieces_idle",
        "CREATE INDEX pieces_idle ON pieces (time) WHERE needed = 0",
    ),
)


def migrate(engine: Engine, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the database to the last version, in one transaction, and say how many steps that took.

    Two relays may start at once: one waits for the other. Raises StoreError for a database of a newer version. Where
    nothing is to do, nothing is written: on a full disk a relay must start all the same.
    """
    with engine.transaction(write=True) as session:
        if engine.dialect.lock_schema:
            session.rows(engine.dialect.lock_schema)
        have = _version(session, engine)
        if have > len(migrations):
            raise StoreError(
                f"expected a relay's database of version {len(migrations)} or older, got {have}",
                hint="a newer relay has migrated it; update this one too",
            )
        for migration in migrations[have:]:
            for statement in migration:
                if text := _in(engine, statement):
                    session.change(text)
        if have < len(migrations):
            session.change("UPDATE schema_version SET version = ?", len(migrations))
    return len(migrations) - have


def _version(session: Session, engine: Engine) -> int:
    """How many migrations have run. 0 for an empty database."""
    session.change(_in(engine, "CREATE TABLE IF NOT EXISTS schema_version (version {integer} NOT NULL){table}"))
    session.change("INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version)")
    ((version,),) = session.rows("SELECT version FROM schema_version")
    return int(version)


def _in(engine: Engine, statement: str | Raw) -> str:
    dialect = engine.dialect
    if isinstance(statement, Raw):
        return dialect.raw.format(table=statement.table, column=statement.column)
    return statement.format(integer=dialect.integer, bytes=dialect.bytes, table=dialect.table)
