"""Appending as a relay would, and as a process of its own: `python appending.py URL LOG WORD COUNT`."""

import hashlib
import sys

from darklantern.errors import LogError
from darklantern.logs.checkpoint import Checkpoint
from darklantern.logs.merkle import Frontier, leaf_hash, root
from darklantern.relay.stores import Append, Charge, Database, Entry, open_database
from darklantern.relay.stores.values import after

NOW = 1_800_000_000


def entry(word: str) -> Entry:
    envelope = f"envelope {word}".encode()
    return Entry(hashlib.sha256(envelope).digest(), envelope)


def note(log: str, frontier: Frontier) -> bytes:
    """What would be signed."""
    return Checkpoint(log, frontier.size, frontier.root).text().encode()


def step(log: str, before: Frontier, *entries: Entry, time: int = NOW) -> Append:
    return Append(log, before, entries, note(log, after(before, entries)), time)


def append(database: Database, log: str, *words: str, charges: tuple[Charge, ...] = ()) -> Append:
    """Append, trying again for as long as others are faster."""
    while True:
        done = step(log, database.head(log).frontier, *map(entry, words))
        try:
            database.append(done, charges)
            return done
        except LogError:
            continue


def assert_whole(database: Database, log: str) -> tuple[str, ...]:
    """The log's entries, checkpoint and frontier say the same; the words in it."""
    head = database.head(log)
    ids = database.ids(log, 0, head.frontier.size + 10)
    assert len(ids) == head.frontier.size
    assert root([leaf_hash(each) for each in ids]) == head.frontier.root
    if ids:
        assert head.checkpoint == note(log, head.frontier)
    words: list[str] = []
    while page := database.entries(log, len(words), len(ids), 1 << 20).entries:
        assert [each.id for each in page] == list(ids[len(words) : len(words) + len(page)])
        words += [(each.envelope or b"").decode().removeprefix("envelope ") for each in page]
    assert len(words) == len(ids)
    return tuple(words)


def main() -> None:
    url, log, word, count = sys.argv[1:]
    database = open_database(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        append(database, log, f"{word}-{number}")
        print(f"{word}-{number}", flush=True)
    database.close()


if __name__ == "__main__":
    main()
