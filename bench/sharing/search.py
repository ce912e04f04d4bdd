"""Full text in the library's encrypted database, beside the same SQLite without encryption.

Fifty thousand documents of eighty words, drawn from thirty thousand as people use them: the n-th most frequent one n
times as rarely. The bar is for queries of one to three words from all the vocabulary but its 200 most frequent, which
is what people look for; queries drawn as texts are, "the" and "of" among them, stand beside it without a bar, since
ranking what nearly everything holds takes as long in SQLite itself.
"""

import itertools
import sqlite3
import time
from pathlib import Path
from random import Random
from typing import Any

from sharing.measuring import Line, in_turns, line, middle, own, times_faster
from sharing.scratch import SEED, scratch
from sharing.sizes import MIB, WHOLE, Sizes
from sqlcipher3 import dbapi2 as sqlcipher

from darklantern.stores import index, schema
from darklantern.stores.connection import connect, transaction
from darklantern.stores.values import Document

MILLISECONDS, TIMES = 1.0, 1.5
_WORDS, _FREQUENT, _BATCH, _QUERIES = 30_000, 200, 1_000, 1_000


def lines(sizes: Sizes) -> list[Line]:
    """`search`: the slowest answer but one in twenty, and the time to index."""
    count = 50_000 if sizes == WHOLE else 5_000
    random = Random(SEED)
    vocabulary = [f"w{number:05d}" for number in range(_WORDS)]
    weights = list(itertools.accumulate(1 / (number + 2) for number in range(_WORDS)))

    def text(words: int) -> str:
        return " ".join(random.choices(vocabulary, cum_weights=weights, k=words))

    documents = [_document(number, text(6), text(80)) for number in range(count)]
    rare = [_query(random.choices(vocabulary[_FREQUENT:], k=random.choice((1, 2, 2, 3)))) for _ in range(_QUERIES)]
    any_word = [_query(text(random.choice((1, 2, 2, 3))).split()) for _ in range(_QUERIES)]
    with scratch(512 * MIB) as folder:
        made = itertools.count()
        cases = {
            "ours": own(lambda: _indexed(connect(folder / f"ours {next(made)}", bytes(32)), documents)),
            "plain": own(lambda: _indexed(_plain(folder / f"plain {next(made)}"), documents)),
        }
        took = in_turns(cases, 3)
        ours, plain = connect(folder / "ours", bytes(32)), _plain(folder / "plain")
        for connection in (ours, plain):
            _index(connection, documents)
        told = {
            f"{name}, {of}": _percentiles(connection, queries)
            for name, connection in (("ours", ours), ("plain SQLite", plain))
            for of, queries in (("words people look for", rare), ("words as texts have them", any_word))
        }
        ours.close()
        plain.close()
    slow = told["ours, words people look for"]["p95_ms"]
    ratio = round(1 / times_faster(took["ours"], took["plain"])[0], 3)
    peer = ("SQLite FTS5", sqlcipher.sqlite_version)
    seconds = {name: round(middle(each).cpu, 2) for name, each in took.items()}
    return [
        line(
            "search",
            slow,
            "ms of processor time, p95",
            f"≤ {MILLISECONDS}",
            slow <= MILLISECONDS,
            peer,
            documents=count,
            **told,
        ),
        line(
            "search · index",
            ratio,
            "× plain SQLite's time",
            f"≤ {TIMES}",
            ratio <= TIMES,
            peer,
            seconds=seconds,
            python_sqlite=sqlite3.sqlite_version,
        ),
    ]


def _document(number: int, title: str, body: str) -> Document:
    return Document(
        id=f"{number:064x}",
        item=f"{number:064x}",
        circle=f"circle {number % 5}",
        kind="item",
        org="Aurora",
        person=f"person {number % 20}",
        time="2026-11-21T00:00:00Z",
        title=title,
        body=body,
        tags=("tag",),
    )


def _query(words: list[str]) -> index.Query:
    return index.Query(" ".join(f'"{word}"' for word in words))


def _plain(path: Path) -> Any:
    """The same SQLite and the same settings, without a key."""
    connection = sqlcipher.connect(str(path), isolation_level=None)
    for pragma in ("temp_store = MEMORY", "locking_mode = EXCLUSIVE", "journal_mode = DELETE", "synchronous = EXTRA"):
        connection.execute(f"PRAGMA {pragma}")
    for pragma in ("secure_delete = ON", "cache_size = -32768"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _index(connection: Any, documents: list[Document]) -> None:
    with transaction(connection):
        schema.create(connection)
    for at in range(0, len(documents), _BATCH):
        with transaction(connection):
            index.add(connection, documents[at : at + _BATCH])


def _indexed(connection: Any, documents: list[Document]) -> None:
    _index(connection, documents)
    connection.close()


def _percentiles(connection: Any, queries: list[index.Query]) -> dict[str, float]:
    cpu, wall = [], []
    for query in queries:
        begun, used = time.perf_counter(), time.process_time()
        index.find(connection, query)
        cpu.append((time.process_time() - used) * 1000)
        wall.append((time.perf_counter() - begun) * 1000)
    cpu.sort()
    wall.sort()
    found = {f"p{part}_ms": round(cpu[len(cpu) * part // 100], 3) for part in (50, 95, 99)}
    return {**found, "p95_ms_by_the_wall": round(wall[len(wall) * 95 // 100], 3)}
