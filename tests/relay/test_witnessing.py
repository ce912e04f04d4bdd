"""Vouching for a log that is kept here: once for each head, and never for two histories."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import NOW, World, circled, log_key

from darklantern.logs import checkpoint, merkle
from darklantern.logs.witness import cosigned
from darklantern.network.heads import Head, origin
from darklantern.relay.folded import Folded
from darklantern.relay.known_peers import KnownPeers
from darklantern.relay.stores import Database, open_database
from darklantern.relay.witnessing import Witnessing

from .running import relay_key
from .test_needs import begin


@pytest.fixture
def world() -> tuple[World, str]:
    return circled()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite://{tmp_path}/relay.db")
    yield database
    database.close()


def test_each_head_of_a_kept_log_is_cosigned_once_without_hashing_the_log(
    world: tuple[World, str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, _ = world
    log = net.net
    witnessing, folded = make(database, net)
    public = relay_key("mirror").public
    hashed: list[bytes] = []
    monkeypatch.setattr(merkle, "leaf_hash", lambda data: hashed.append(data) or b"")
    size = net.view.trail(log).size
    for until in (size - 1, size):
        head = head_at(folded, log, until)
        line = witnessing.vouch(log, head)
        assert line
        assert cosigned(head.note + line, {public.witness_name: public.witness}) == ((public.witness_name, NOW),)
        assert database.witnessed(origin(log_key("keeper").public, log)) == (until, head.root)
        assert witnessing.vouch(log, head) is None
    assert witnessing.vouch(log, head_at(folded, log, size - 1)) is None
    assert hashed == []


def test_no_head_is_cosigned_that_is_not_of_the_kept_log_or_contradicts_what_was_cosigned(
    world: tuple[World, str], database: Database
) -> None:
    net, circle = world
    witnessing, folded = make(database, net)
    size = net.view.trail(circle).size
    name = origin(log_key("keeper").public, circle)
    assert witnessing.vouch(circle, signed(circle, size, b"x" * 32)) is None
    assert witnessing.vouch(circle, signed(circle, size + 1, folded.view.trail(circle).roots[size])) is None
    assert database.witnessed(name)[0] == 0
    assert database.remember(name, lambda _size, _root: (size - 1, b"y" * 32))  # another history, long ago
    assert witnessing.vouch(circle, head_at(folded, circle, size)) is None
    assert database.witnessed(name) == (size - 1, b"y" * 32)


def make(database: Database, net: World) -> tuple[Witnessing, Folded]:
    """A mirror of all that the world's logs hold."""
    for log, entries in net.logs.items():
        begin(database, net.view, log, entries)
    folded, key = Folded(database, net.net), relay_key("mirror")
    folded.catch_up()
    return Witnessing(database, folded, key, KnownPeers((), folded, key.public.id), lambda: NOW), folded


def head_at(folded: Folded, log: str, size: int) -> Head:
    return signed(log, size, folded.view.trail(log).roots[size])


def signed(log: str, size: int, root: bytes) -> Head:
    keeper = log_key("keeper")
    said = checkpoint.Checkpoint(origin(keeper.public, log), size, root)
    return Head(checkpoint.sign(said, keeper, NOW), size, root, NOW)
