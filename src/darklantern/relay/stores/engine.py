"""What SQLite and PostgreSQL have in common, as small as it can be: statements within a transaction.

Statements are written once, in the `…_tables.py` and `schema.py`, in the SQL that both speak, with `?` for values.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Value = bytes | str | int | None
Row = tuple[Value, ...]
ColumnType = Literal["text", "integer", "bytes"]


class Session(Protocol):
    """One open transaction."""

    def rows(self, statement: str, *values: Value) -> Sequence[tuple[Any, ...]]:
        """What the statement selects or returns."""

    def change(self, statement: str, *values: Value) -> int:
        """How many rows the statement changed."""

    def insert(self, table: str, columns: Mapping[str, ColumnType], rows: Sequence[Row], conflict: str = "") -> int:
        """Many rows with few round trips; how many were put or changed. `conflict` follows: ON CONFLICT …, in which no
        row meets another."""


@dataclass(frozen=True)
class Dialect:
    """Where the two differ in a schema."""

    integer: str
    """64 bits"""
    bytes: str
    table: str
    """what follows a table's closing bracket"""
    raw: str
    """a statement that makes `{table}` keep the bytes of `{column}` as they are, in the row; or nothing"""
    lock_schema: str
    """lets one process at a time migrate; held to the end of the transaction"""


class Engine(Protocol):
    """A database that takes transactions, from any thread of one process."""

    @property
    def dialect(self) -> Dialect:
        """How its schema is written."""

    def transaction(self, *, write: bool) -> AbstractContextManager[Session]:
        """A transaction: committed to disk when the body ends, rolled back when it raises. Raises StoreError.

        Two that write the same row wait for each other; readers wait for nobody. A StoreError at the very end
        leaves open whether it was committed: read the row again.
        """

    def backup(self, path: Path) -> None:
        """A copy of everything, as of one moment, as the file `path`. Raises StoreError."""

    def close(self) -> None:
        """Give back what is held. To be called once."""


class Tables:
    """Base of what is asked of a database: each method is one transaction over `engine`."""

    _engine: Engine
