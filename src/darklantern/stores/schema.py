"""The tables of a library's database, and the steps from each older version to this one.

In: a connection inside a transaction. Out: the same with this version's tables. A step only adds and carries over;
what it cannot know (the index of texts that are still sealed) it marks as stale, and the library makes it anew.
"""

from typing import Any, Final

from darklantern.errors import StoreError

VERSION: Final = 3
STALE_INDEX: Final = "index is stale"
"""The setting that says that the index lacks texts which the library holds."""

_FIRST: Final = (
    """CREATE TABLE entries (log TEXT NOT NULL, position INTEGER NOT NULL, envelope BLOB NOT NULL,
                             PRIMARY KEY (log, position)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE heads (log TEXT PRIMARY KEY, note BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE outbox (id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL UNIQUE, log TEXT NOT NULL,
                            envelope BLOB NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE proofs (log TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)
_SECOND: Final = (
    """CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, item TEXT NOT NULL,
                               circle TEXT NOT NULL, kind TEXT NOT NULL, org TEXT NOT NULL, person TEXT NOT NULL,
                               time TEXT NOT NULL, tags TEXT NOT NULL, supersedes TEXT) STRICT""",
    "CREATE INDEX successors ON documents (supersedes) WHERE supersedes IS NOT NULL",
    "CREATE VIRTUAL TABLE texts USING fts5(title, tags, body, tokenize = 'unicode61 remove_diacritics 2')",
    # Before the first insert: without it a deleted text's words stay in the index until a merge meets them.
    "INSERT INTO texts (texts, rank) VALUES ('secure-delete', 1)",
    "INSERT INTO texts (texts, rank) VALUES ('rank', 'bm25(4.0, 2.0, 1.0)')",
    """CREATE TABLE openings (number INTEGER PRIMARY KEY, act TEXT NOT NULL, what TEXT NOT NULL,
                              time INTEGER NOT NULL, entry BLOB NOT NULL) STRICT""",
    "CREATE INDEX openings_by_what ON openings (what, act, time)",
)
_THIRD: Final = (
    """CREATE TABLE local (part TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
                           PRIMARY KEY (part, name)) STRICT, WITHOUT ROWID""",
)
_STEPS: Final = (
    _FIRST,
    (*_SECOND, f"INSERT INTO settings VALUES ('{STALE_INDEX}', 'yes')"),  # noqa: S608 - a constant of this file
    _THIRD,
)
"""The statements that make version n + 1 of version n."""


def create(connection: Any) -> None:
    """The tables in an empty database."""
    for statement in (*_FIRST, *_SECOND, *_THIRD, f"PRAGMA user_version = {VERSION}"):
        connection.execute(statement)


def migrate(connection: Any) -> None:
    """This version's tables, from an older version's. Raises StoreError for a newer one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 < version <= VERSION:
        raise StoreError(
            f"expected a database of version 1 to {VERSION}, got {version}",
            hint="a newer darklantern may have written it: open it with that one",
        )
    for step in _STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    if version < VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")
