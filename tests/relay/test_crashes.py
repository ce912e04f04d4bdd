"""Nothing that was acknowledged is lost, and no log forks: whatever is killed, and however many processes append."""

import http.client
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from blake3 import blake3
from network.world import World, circled, device, person

from darklantern.errors import StoreError
from darklantern.logs import checkpoint, merkle
from darklantern.network.authoring import authored
from darklantern.network.heads import origin
from darklantern.network.items import Binding, Posting, seal_content
from darklantern.network.reading import leaf_id
from darklantern.records.posts import Post
from darklantern.relay.config import read_config
from darklantern.relay.setting_up import begin, make_relay
from darklantern.sealing import Recipient

from . import servers
from .asking import Asking
from .running import Running, load, relay

WRITERS = ("w0", "w1", "w2", "w3")


@pytest.fixture
def world() -> tuple[World, str]:
    """A circle in which four devices may write at once."""
    world, circle = circled()
    world.manifest("Aurora", person("ada", "ada", *WRITERS), person("al"))
    world.rotate(circle, "ada")
    return world, circle


def chain(world: World, circle: str, author: str, count: int) -> list[tuple[bytes, bytes]]:
    """Posts of one device, each after the one before: (record, piece)."""
    epoch = world.view.circle(circle).epoch
    assert epoch
    made, after = [], None
    binding = Binding("post", circle, epoch.id, device(author).public.id, "V2")
    for number in range(count):
        body, pieces = seal_content(
            Posting(content=Post(thread="0" * 64, text=f"{number}")), binding, Recipient.parse(epoch.body.recipient)
        )
        record = authored(world.view, circle, "post", body, device(author), after, 1_795_000_000)
        after = (number, leaf_id(record))
        made.append((record, *pieces.values()))
    return made


class Writer(threading.Thread):
    """One device that sends its posts in order, again until each is acknowledged, or until it is told to stop."""

    def __init__(self, running: Running, circle: str, author: str, posts: list[tuple[bytes, bytes]]) -> None:
        super().__init__(daemon=True)
        self.running, self.circle, self.author, self.posts = running, circle, author, posts
        self.acknowledged: list[bytes] = []
        self.refused: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        # Its own, and closed here: one of `running.client` would be closed under it when the relay is killed.
        asking: Asking | None = None
        for record, piece in self.posts:
            while not self.enough.is_set():
                try:
                    asking = asking or Asking(self.running.card, self.running.net, device(self.author))
                    reply = (asking if asking.token else asking.log_in()).post(self.circle, [record], [piece])
                except (OSError, http.client.HTTPException, StoreError, AssertionError):  # it is being killed
                    asking = asking and asking.close()
                    self.enough.wait(0.05)
                    continue
                if reply.status == 200:
                    (result,) = reply.json["results"]
                    if result["position"] is None:
                        self.refused.append(result["refused"])
                    else:
                        self.acknowledged.append(record)
                    self.enough.wait(0.01)  # or a quick relay has all of it before the first kill
                    break
                self.enough.wait(0.05)
        if asking:
            asking.close()


def assert_all_there(running: Running, world: World, circle: str, writers: list[Writer]) -> None:
    """Each acknowledged record stands in the log once, with its piece, under a root that was signed."""
    bo = running.client(device("bo"))
    entries: list[bytes] = []
    while page := bo.entries(circle, len(entries)):
        entries += page
    assert len(set(entries)) == len(entries)
    for writer in writers:
        assert not writer.refused
        assert set(writer.acknowledged) <= set(entries)
        mine = [entry for entry in entries if entry in {record for record, _ in writer.posts}]
        assert mine == [record for record, _ in writer.posts][: len(mine)]
    key = world.view.log_key(circle)
    assert key
    said, _ = checkpoint.verify(bo.heads()[circle], origin(key, circle), key)
    assert said.size == len(entries)
    assert said.root == merkle.root([merkle.leaf_hash(bytes.fromhex(leaf_id(entry))) for entry in entries])
    for writer in writers:
        for record, piece in writer.posts:
            if record in writer.acknowledged:
                assert bo.get(circle, blake3(piece).hexdigest()).body == piece


def written(running: Running, world: World, circle: str, count: int) -> list[Writer]:
    return [Writer(running, circle, who, chain(world, circle, who, count)) for who in WRITERS]


def more_written(writers: list[Writer], count: int) -> None:
    """Wait until each has so many more acknowledged."""
    reached = min(len(writer.acknowledged) for writer in writers) + count
    while min(len(writer.acknowledged) for writer in writers) < reached:
        assert all(writer.is_alive() for writer in writers), "a writer has ended"
        writers[0].enough.wait(0.01)


def test_two_processes_append_to_one_log(world: tuple[World, str], tmp_path: Path, database_url: str) -> None:
    net, circle = world
    with relay(tmp_path / "relay", net.net, database_url, keeper="keeper", tls=False) as running:
        running.setting("workers = 2")
        load(running, net)
        writers = written(running, net, circle, 30)
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(120)
        assert [len(writer.acknowledged) for writer in writers] == [30] * 4
        assert_all_there(running, net, circle, writers)


def test_one_folder_is_served_once_and_its_workers_end_with_its_server(
    world: tuple[World, str], tmp_path: Path
) -> None:
    net, _ = world
    with relay(tmp_path / "relay", net.net, keeper="keeper", tls=False) as running:
        running.setting("workers = 2")
        load(running, net)
        assert running.process
        second = _served(running.folder)
        assert (second.returncode, f"served by process {running.process.pid} already" in second.stderr) == (1, True)
        assert running.is_ready()
        os.kill(running.process.pid, signal.SIGKILL)  # its workers are not asked
        running.process.wait()
        running.start()


def test_a_port_is_served_once(world: tuple[World, str], tmp_path: Path) -> None:
    net, _ = world
    with relay(tmp_path / "relay", net.net, keeper="keeper", tls=False) as running:
        load(running, net)
        port = read_config(running.folder).port
        make_relay(tmp_path / "other", net.net, port=port, tls=False)
        (tmp_path / "other" / "keys").write_bytes((running.folder / "keys").read_bytes())
        begin(tmp_path / "other", net.logs[net.net])
        second = _served(tmp_path / "other")
        assert second.returncode == 1
        assert f"expected to listen on 127.0.0.1, port {port}: Address already in use" in second.stderr


def _served(folder: Path) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "darklantern", "relay", "serve", str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_kill_9_of_the_relay_loses_nothing(world: tuple[World, str], tmp_path: Path, database_url: str) -> None:
    net, circle = world
    with relay(tmp_path / "relay", net.net, database_url, keeper="keeper", tls=False) as running:
        load(running, net)
        writers = written(running, net, circle, 200)
        for writer in writers:
            writer.start()
        for _ in range(3):
            more_written(writers, 5)
            running.kill()
            running.start()
        for writer in writers:
            writer.enough.set()
            writer.join(60)
        assert_all_there(running, net, circle, writers)


def test_kill_9_of_the_database_loses_nothing(
    world: tuple[World, str], tmp_path: Path, postgres: servers.Postgres
) -> None:
    net, circle = world
    url = postgres.new_database(f"crash{tmp_path.name[-20:].replace('-', '_')}".lower())
    with relay(tmp_path / "relay", net.net, url, keeper="keeper", tls=False) as running:
        load(running, net)
        writers = written(running, net, circle, 200)
        for writer in writers:
            writer.start()
        for _ in range(2):
            more_written(writers, 5)
            postgres.crash()
            postgres.start()
        more_written(writers, 5)
        for writer in writers:
            writer.enough.set()
            writer.join(60)
        assert_all_there(running, net, circle, writers)


def test_a_relay_that_is_asked_to_end_answers_first(world: tuple[World, str], tmp_path: Path) -> None:
    net, circle = world
    with relay(tmp_path / "relay", net.net, keeper="keeper", tls=False) as running:
        load(running, net)
        writers = written(running, net, circle, 200)
        for writer in writers:
            writer.start()
        while min(len(writer.acknowledged) for writer in writers) < 3:
            writers[0].enough.wait(0.01)
        assert running.process
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
        for writer in writers:
            writer.enough.set()
            writer.join(60)
        running.start()
        assert_all_there(running, net, circle, writers)
