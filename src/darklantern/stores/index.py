"""The index of texts: SQLite's FTS5 within the encrypted database.

In: documents, and a query whose expression somebody else has made safe. Out: rows, best first. A text is in the
index as long as its record is in the library: the caller adds and removes both in one transaction.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from darklantern.stores.values import Document

BEGIN, END = "\x02", "\x03"
"""Around each word of an excerpt that was looked for. They are taken out of every text before it is stored."""

_STRIPPED: Final = {ord(BEGIN): " ", ord(END): " ", 0: " "}


@dataclass(frozen=True)
class Query:
    """What to look for, and where. An empty filter lets everything through."""

    expression: str
    """FTS5's own syntax: never a user's text as it is"""
    circle: str | None = None
    author: str | None = None
    """a person, or an org"""
    tag: str | None = None
    since: str | None = None
    older: bool = False
    """also versions that a later one supersedes"""
    limit: int = 20


@dataclass(frozen=True)
class Row:
    """One document that fits."""

    id: str
    item: str
    circle: str
    kind: str
    org: str
    person: str
    time: str
    title: str
    """its own, or that of what it stands in where it has none"""
    excerpt: str
    """with BEGIN and END around what was looked for"""
    score: float
    """bm25: the smaller the better"""


# FTS5 ranks within itself when texts is the outer loop and nothing but its rank orders the rows: then it makes an
# excerpt for the few rows that come out, and asks what matches once. That halves the time of a search.
_FIND: Final = """
SELECT documents.id, item, circle, kind, org, person, time, texts.title,
       snippet(texts, -1, :begin, :end, '…', 24), texts.rank
FROM texts CROSS JOIN documents ON documents.number = texts.rowid
WHERE texts MATCH :expression {filters}
ORDER BY texts.rank LIMIT :limit
"""
_FILTERS: Final = {
    "circle": "documents.circle = :circle",
    "author": "(documents.person = :author OR documents.org = :author)",
    "tag": "EXISTS (SELECT 1 FROM json_each(documents.tags) WHERE value = :tag)",
    "since": "documents.time >= :since",
}
# A later version counts only by the same person: a claim by anybody else hides nothing.
_NEWEST: Final = """NOT EXISTS (SELECT 1 FROM documents AS later WHERE later.supersedes = documents.id
                                AND later.org = documents.org AND later.person = documents.person)"""
_ADD: Final = """INSERT INTO documents (id, item, circle, kind, org, person, time, tags, supersedes)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def add(connection: Any, documents: Iterable[Document]) -> None:
    """Put documents in, each in place of an older one of its id."""
    for each in documents:
        remove(connection, (each.id,))
        row = (each.id, each.item, each.circle, each.kind, each.org, each.person, each.time)
        cursor = connection.execute(_ADD, (*row, json.dumps(each.tags), each.supersedes))
        connection.execute(
            "INSERT INTO texts (rowid, title, tags, body) VALUES (?, ?, ?, ?)",
            (cursor.lastrowid, *(_clean(text) for text in (each.title, " ".join(each.tags), each.body))),
        )


def remove(connection: Any, ids: Iterable[str]) -> None:
    """Take documents out, words and all."""
    for each in ids:
        found = connection.execute("SELECT number FROM documents WHERE id = ?", (each,)).fetchone()
        if found:
            connection.execute("DELETE FROM texts WHERE rowid = ?", found)
            connection.execute("DELETE FROM documents WHERE number = ?", found)


def clear(connection: Any) -> None:
    """Take all documents out."""
    connection.execute("DELETE FROM texts")
    connection.execute("DELETE FROM documents")


def indexed(connection: Any) -> frozenset[str]:
    """The ids of all documents."""
    return frozenset(id for (id,) in connection.execute("SELECT id FROM documents"))


def find(connection: Any, query: Query) -> tuple[Row, ...]:
    """The documents that fit, best first."""
    values = {name: getattr(query, name) for name in _FILTERS}
    filters = [text for name, text in _FILTERS.items() if values[name] is not None]
    if not query.older:
        filters.append(_NEWEST)
    statement = _FIND.format(filters="".join(f"AND {each} " for each in filters))
    marks = {"begin": BEGIN, "end": END}
    values |= {"expression": query.expression, "limit": query.limit, **marks}
    rows = [Row(*row) for row in connection.execute(statement, values)]
    return tuple(row if row.title else replace(row, title=_title(connection, row.item)) for row in rows)


def _title(connection: Any, item: str) -> str:
    """Of a document; empty where it is not in the index. Asked for the rows that came out, not for all that match."""
    found = connection.execute(
        "SELECT texts.title FROM documents JOIN texts ON texts.rowid = documents.number WHERE documents.id = ?", (item,)
    ).fetchone()
    return found[0] if found else ""


def _clean(text: str) -> str:
    return text.translate(_STRIPPED)
