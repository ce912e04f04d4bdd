"""What breaks: processes that race or are killed, servers that crash, disks that are full."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from darklantern.errors import StoreError
from darklantern.relay.stores import Blobs, Database, open_blobs, open_database

from . import servers
from .appending import append, assert_whole
from .cutting import cut_wire

pytestmark = pytest.mark.slow

LOG = "relay.example/circle"
APPENDING = Path(__file__).with_name("appending.py")
Opener = Callable[[], Database]
Process = subprocess.Popen[str]


@contextmanager
def relay(url: str, word: str, count: int) -> Iterator[Process]:
    """Another process that is ready to append `count` entries, and says which it has."""
    command = [sys.executable, APPENDING, url, LOG, word, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def begin(*processes: Process) -> None:
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()


def test_two_relays_that_append_at_once_make_one_log(database: Database, database_url: str) -> None:
    with relay(database_url, "a", 40) as a, relay(database_url, "b", 40) as b:
        begin(a, b)
        a.communicate()
        b.communicate()
        assert (a.returncode, b.returncode) == (0, 0)
    words = assert_whole(database, LOG)
    assert sorted(words) == sorted(f"{word}-{number}" for word in "ab" for number in range(40))
    assert [word for word in words if word[0] == "a"] == [f"a-{number}" for number in range(40)]


@pytest.mark.parametrize("after", [1, 7, 20])
def test_a_relay_killed_while_it_appends_loses_nothing_it_said(
    database: Database, database_url: str, after: int
) -> None:
    with relay(database_url, "killed", 10_000) as killed, relay(database_url, "other", 30) as other:
        begin(killed, other)
        assert killed.stdout
        said = [killed.stdout.readline().strip() for _ in range(after)]
        killed.kill()
        said += killed.communicate()[0].split()
        other.communicate()
        assert other.returncode == 0
    words = assert_whole(database, LOG)
    assert {*said, *(f"other-{number}" for number in range(30))} <= set(words)
    append(database, LOG, "afterwards")
    assert assert_whole(database, LOG) == (*words, "afterwards")


def test_an_upload_killed_midway_is_swept(blobs: Blobs, blobs_url: str) -> None:
    data = os.urandom(1 << 20) * 20
    name = blake3(data).hexdigest()
    code = (
        "import sys, time\n"
        "from darklantern.relay.stores import open_blobs\n"
        "def slow():\n"
        "    yield bytes(17 << 20)\n"
        "    print('sent', flush=True)\n"
        "    time.sleep(600)\n"
        "open_blobs(sys.argv[1]).put(sys.argv[2], slow(), 1 << 40)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, blobs_url, name], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "sent\n"
        process.kill()
    assert blobs.size(name) is None and list(blobs.names()) == []
    assert blobs.sweep(3600) == 0
    assert blobs.sweep(0) == 1
    assert blobs.sweep(0) == 0
    assert blobs.put(name, [data], 1 << 40) == len(data)


def test_a_full_disk_is_said_and_nothing_is_changed(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from blake3 import blake3\n"
        "from darklantern.errors import StoreError\n"
        "from darklantern.relay.stores import open_blobs, open_database\n"
        "from appending import append, assert_whole\n"
        "database, blobs = open_database(sys.argv[1]), open_blobs(sys.argv[2])\n"
        "append(database, 'log', 'a')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))\n"
        "data = bytes(1 << 20)\n"
        "for write in (lambda: append(database, 'log', 'b' * (1 << 20)),\n"
        "              lambda: blobs.put(blake3(data).hexdigest(), [data], 1 << 40)):\n"
        "    try:\n"
        "        write()\n"
        "    except StoreError as error:\n"
        "        print('full' in error.hint)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "append(database, 'log', 'c')\n"
        "print(*assert_whole(database, 'log'), *blobs.names(), blobs.sweep(0))\n"
    )
    arguments = (f"sqlite://{tmp_path}/relay.db", f"file://{tmp_path}/blobs", str(APPENDING.parent))
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout == "True\nTrue\na c 0\n", done.stderr


def test_postgres_that_crashes_comes_back_with_all_it_acknowledged(postgres: servers.Postgres) -> None:
    database = open_database(postgres.new_database("crashing"))
    append(database, LOG, "a")
    append(database, LOG, "b")
    postgres.crash()
    try:
        with pytest.raises(StoreError, match="cannot use the PostgreSQL database"):
            append(database, LOG, "c")
        with pytest.raises(StoreError, match="cannot use the PostgreSQL database"):
            open_database(postgres.url("crashing"))
    finally:
        postgres.start()
    append(database, LOG, "d")
    assert assert_whole(database, LOG) == ("a", "b", "d")
    database.close()


def test_an_s3_store_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with pytest.raises(StoreError, match="cannot use the S3 store"):
        open_blobs("s3://bucket?endpoint=http://127.0.0.1:1&region=us-east-1")


def test_a_wire_to_s3_that_is_cut_is_an_error_and_leaves_no_blob(swift: servers.Swift) -> None:
    url = swift.new_bucket("behind-a-wire")
    whole = open_blobs(url)
    small, large = os.urandom(4 << 20), os.urandom(20 << 20)
    name = blake3(small).hexdigest()
    with cut_wire(swift.port, up_bytes=3 << 20, down_bytes=3 << 20) as port:
        cut = open_blobs(url.replace(str(swift.port), str(port)))
        for data in (small, large):
            with pytest.raises(StoreError, match="cannot use the S3 store"):
                cut.put(blake3(data).hexdigest(), [data], 1 << 40)
        assert list(whole.names()) == []
        whole.sweep(0)
        whole.put(name, [small], 1 << 40)
        got = bytearray()
        with pytest.raises(StoreError):
            for piece in cut.read(name):
                got += piece
        assert 0 < len(got) < len(small) and small.startswith(got)
        cut.close()
    assert b"".join(whole.read(name)) == small
    whole.close()


def test_a_bucket_that_is_not_there_is_an_error(swift: servers.Swift) -> None:
    with pytest.raises(StoreError, match="not here"):
        open_blobs(f"s3://no-such-bucket?endpoint={swift.endpoint}&region=us-east-1")


def test_a_backup_is_of_one_moment_while_a_relay_appends(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/relay.db"
    database = open_database(url)
    append(database, LOG, *(f"before-{number}" for number in range(500)))
    with relay(url, "during", 10_000) as other:
        begin(other)
        assert other.stdout
        other.stdout.readline()
        database.backup(tmp_path / "backup.db")
    copy = open_database(f"sqlite://{tmp_path}/backup.db")
    words = assert_whole(copy, LOG)
    assert words == assert_whole(database, LOG)[: len(words)]
    assert len(words) > 500
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0
    with pytest.raises(StoreError, match="new file"):
        database.backup(tmp_path / "backup.db")
    assert not list(tmp_path.glob(".*"))
    copy.close()
    database.close()


def test_postgres_is_backed_up_by_its_own_tools(postgres: servers.Postgres, tmp_path: Path) -> None:
    database = open_database(postgres.new_database("backed-up"))
    with pytest.raises(StoreError) as caught:
        database.backup(tmp_path / "backup")
    assert "pg_dump" in caught.value.hint
    database.close()


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_damaged_database_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "relay.db"
    database = open_database(f"sqlite://{path}")
    append(database, LOG, "a")
    database.close()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.write_bytes(b"not a database, but long enough to have a header" * 100)
    with pytest.raises(StoreError):
        open_database(f"sqlite://{path}").head(LOG)


def test_subtree_roots_that_do_not_fit_the_size_are_refused(tmp_path: Path) -> None:
    database = open_database(f"sqlite://{tmp_path}/relay.db")
    append(database, LOG, "a")
    with sqlite3.connect(tmp_path / "relay.db") as connection:
        connection.execute("UPDATE logs SET peaks = x''")
    connection.close()
    with pytest.raises(StoreError, match="bytes of subtree roots"):
        database.head(LOG)
    database.close()
