"""A relay whose disk is full lets readers in and answers them, and refuses what it cannot write; room heals it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import circled, device

from .running import load, relay
from .test_peers import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "dl-full", folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_readers_are_let_in_and_writers_told(disk: Path) -> None:
    net, circle = circled()
    with relay(disk / "relay", net.net, keeper="keeper") as running:
        load(running, net)
        post, pieces = net.post(circle, "ada", "before")
        assert running.client(device("ada")).post(circle, [post], pieces.values()).status == 200
        net.add(post, circle)
        late, late_pieces = net.post(circle, "ada", "later")
        fill(disk / "fill")
        for _ in range(2):
            bo = running.client(device("bo"))  # logs in
            assert bo.entries(circle) == net.logs[circle]
            assert bo.get(circle, next(iter(pieces))).status == 200
            for refused in (bo.put(circle, os.urandom(200_000)), bo.put(circle, b"small")):
                assert (refused.status, "disk is full" in refused.json["error"]) == (507, True)
            ada = running.client(device("ada"))
            assert ada.post(circle, [late], late_pieces.values()).status == 507
            running.kill()
            running.start()
        ada = running.client(device("ada"))
        (disk / "fill").unlink()
        eventually(lambda: ada.post(circle, [late], late_pieces.values()).status == 200)
        net.add(late, circle)
        assert running.client(device("bo")).entries(circle) == net.logs[circle]


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (64 * 1024, 1024, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
