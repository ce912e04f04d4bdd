"""Real servers for a relay's stores: a PostgreSQL cluster and an OpenStack Swift of one's own, on this machine."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from darklantern.relay.stores import Blobs, Database, open_blobs, open_database

from . import servers

_COUNTER = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A cluster that ends with the tests."""
    if missing := servers.missing_for_postgres():
        pytest.skip(missing)
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Swift]:
    """An S3-compatible server that ends with the tests."""
    if missing := servers.missing_for_swift():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("swift")
    with servers.swift(folder) as server, pytest.MonkeyPatch.context() as patch:
        credentials = folder / "credentials"
        credentials.write_text("[default]\naws_access_key_id = test:tester\naws_secret_access_key = testing\n")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/relay.db"
    server: servers.Postgres = request.getfixturevalue("postgres")
    return server.new_database(f"relay{next(_COUNTER)}")


@pytest.fixture
def open_again(database_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the database, once more at each call, as another relay would."""
    with ExitStack() as stack:

        def open_one() -> Database:
            database = open_database(database_url)
            stack.callback(database.close)
            return database

        yield open_one


@pytest.fixture
def database(open_again: Callable[[], Database]) -> Database:
    return open_again()


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def blobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/blobs"
    server: servers.Swift = request.getfixturevalue("swift")
    return server.new_bucket(f"bucket-{next(_COUNTER)}")


@pytest.fixture
def blobs(blobs_url: str) -> Iterator[Blobs]:
    store = open_blobs(blobs_url)
    yield store
    store.close()
