"""Searching fifty thousand texts in the encrypted index, and filling it, beside SQLite's FTS5 in the clear.

Texts are of words as unlike in frequency as those of speech. What is looked for are two words that stand in one text,
none of the hundredth that is most frequent: nobody searches for those.
"""

import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from darklantern.library.searching import query
from darklantern.stores.database import Database
from darklantern.stores.values import Change, Document
from sharing.measuring import Line, in_turns, line, middle, own, times_faster
from sharing.scratch import SEED, scratch
from sharing.sizes import MIB, Sizes

MILLISECONDS, TIMES = 1.0, 1.5
_WORDS, _LONG, _QUERIES = 20_000, 120, 1_000


def lines(sizes: Sizes) -> list[Line]:
    """`search` at the 95th percentile, and what filling the index costs."""
    random = Random(SEED)
    words = [f"{random.choice('bcdfgklmnprst')}{at:x}" for at in range(_WORDS)]
    documents = [_document(at, words, random) for at in range(sizes.documents)]
    common = frozenset(words[: _WORDS // 100])
    asked = [_query(random.choice(documents), common, random) for _ in range(_QUERIES)]
    with scratch(1024 * MIB) as folder:
        ours, plain = folder / "ours.db", folder / "plain.db"
        took = in_turns(
            {"ours": own(lambda: _fill(ours, documents)), "plain": own(lambda: _fill_plain(plain, documents))},
            min(3, sizes.repeats),
        )
        p95, peer_p95 = _p95(ours, plain, asked)
    slower = round(1 / times_faster(took["ours"], took["plain"])[0], 3)
    peer = ("SQLite FTS5", sqlite3.sqlite_version)
    seconds = {name: round(middle(each).cpu, 2) for name, each in took.items()}
    return [
        line("search", p95, "ms at p95", f"≤ {MILLISECONDS}", p95 <= MILLISECONDS, peer, plain_ms=peer_p95),
        line("search · index", slower, "× plain", f"≤ {TIMES}", slower <= TIMES, peer, seconds=seconds),
    ]


def _document(at: int, words: Sequence[str], random: Random) -> Document:
    return Document(
        id=f"{at:064x}",
        item=f"{at:064x}",
        circle="0" * 64,
        kind="item",
        org="Aurora",
        person="ada",
        time="2026-11-21T00:00:00Z",
        title=" ".join(_drawn(words, random, 8)),
        body=" ".join(_drawn(words, random, _LONG)),
    )


def _query(document: Document, common: frozenset[str], random: Random) -> str:
    return " ".join(random.sample([word for word in document.body.split() if word not in common], 2))


def _drawn(words: Sequence[str], random: Random, count: int) -> list[str]:
    """As in speech: few words often, many seldom."""
    return [words[int(len(words) * random.random() ** 3)] for _ in range(count)]


def _fill(path: Path, documents: Sequence[Document]) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    database = Database.create(path, _KEY)
    database.write(Change(documents=tuple(documents)))
    database.close()


def _fill_plain(path: Path, documents: Sequence[Document]) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE VIRTUAL TABLE texts USING fts5(id UNINDEXED, title, body)")
    rows = ((each.id, each.title, each.body) for each in documents)
    connection.executemany("INSERT INTO texts VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()


def _p95(ours: Path, plain: Path, asked: Sequence[str]) -> tuple[float, float]:
    database, connection = Database.open(ours, _KEY), sqlite3.connect(plain)
    statement = (
        "SELECT id, title, snippet(texts, -1, '', '', '…', 24) FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT 20"
    )
    filters = {"circle": None, "author": None, "tag": None, "since": None, "older": False, "limit": 20}
    found: tuple[list[float], list[float]] = ([], [])
    for text in asked:
        found[0].append(_seconds(lambda text=text: database.find(query(text, **filters))))
        found[1].append(_seconds(lambda text=text: connection.execute(statement, (text,)).fetchall()))
    database.close()
    connection.close()
    first, second = (round(statistics.quantiles(each, n=20)[-1] * 1000, 3) for each in found)
    return first, second


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


_KEY = os.urandom(32)
