"""What a relay's keeper reads in its log, and what is never in it."""

import asyncio
import errno
import json
import sqlite3
from contextlib import closing

import pytest

from darklantern.errors import StoreError
from darklantern.relay.chores import Chores
from darklantern.relay.problems import problem
from darklantern.relay.telling import tell_defect


def failed(cause: Exception) -> StoreError:
    error = StoreError(f"cannot write /a/path/{'ab' * 32}", hint="is the disk full?")
    error.__cause__ = cause
    return error


def full_database() -> sqlite3.Error:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.Error) as caught:
            database.execute("CREATE TABLE t (x)")
    return caught.value


@pytest.mark.parametrize(
    ("cause", "word", "said"),
    [
        (OSError(errno.ENOSPC, "a text"), "ENOSPC", (507, "the relay's disk is full")),
        (full_database(), "SQLITE_FULL", (507, "the relay's disk is full")),
        (OSError(errno.EIO, "a text"), "EIO", (503, "the relay cannot use its stores now")),
        (ValueError("a text"), "ValueError", (503, "the relay cannot use its stores now")),
    ],
)
def test_the_keeper_is_told_why_the_stores_fail_and_the_client_no_more_than_that(cause, word, said, capsys) -> None:
    refused = problem(failed(cause))
    assert (refused.status, refused.message) == said
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["problem"]) == ("stores", word)
    assert "text" not in str(line) and "ab" * 5 not in str(line) and "path" not in str(line)


def test_p20_a_defect_is_told_by_its_kind_and_its_place_and_never_by_its_words(capsys) -> None:
    """A KeyError quotes what a peer wrote, and so may what it came from."""
    try:
        try:
            {}["xylophonecanary"]
        except KeyError as error:
            raise ValueError("xylophonecanary") from error
    except ValueError as error:
        tell_defect(error)
    said = capsys.readouterr().err
    assert json.loads(said)["kind"] == "ValueError" and "test_telling.py:" in json.loads(said)["where"]
    assert "canary" not in said and "/" not in said


def test_p20_a_chore_that_fails_is_told_by_the_kind_of_its_error(capsys) -> None:
    async def failing() -> None:
        raise failed(OSError(errno.EIO, "a text"))

    async def some_turns() -> None:
        task = asyncio.create_task(Chores._every(object.__new__(Chores), 0, "expire", failing))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(some_turns())
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines and all(
        {**line, "time": ""} == {"time": "", "event": "chore", "chore": "expire", "problem": "StoreError"}
        for line in lines
    )
