"""What SQLite and PostgreSQL have in common, as small as it can be: statements within a transaction.

Statements are written once, in `database.py` and `schema.py`, in the SQL that both speak, with `?` for values.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Value = bytes | str | int | None


class Session(Protocol):
    """One open transaction."""

    def rows(self, statement: str, *values: Value) -> Sequence[tuple[Any, ...]]:
        """What the statement selects or returns."""

    def change(self, statement: str, *values: Value) -> int:
        """How many rows the statement changed."""

    def change_many(self, statement: str, values: Sequence[tuple[Value, ...]]) -> None:
        """The statement once for each row of values."""


@dataclass(frozen=True)
class Dialect:
    """Where the two differ in a schema."""

    integer: str
    """64 bits"""
    bytes: str
    table: str
    """what follows a table's closing bracket"""
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
