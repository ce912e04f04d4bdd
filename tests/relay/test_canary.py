"""P20: what a relay keeps, logs and holds in memory contains none of what was sealed."""

import os
import re
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network.world import circled, device

from . import servers
from .running import load, relay

CANARY = "xylophonecanary"
TAG = "use:safety-only"
NAME = "evals"


def test_p20_no_canary_on_disk_in_logs_or_in_memory(tmp_path: Path) -> None:
    net, circle = circled()
    with relay(tmp_path / "relay", net.net, keeper="keeper") as running:
        running.setting("log_requests = true")
        load(running, net)
        ada, bo = running.client(device("ada")), running.client(device("bo"))
        for length in (1, 20_000):
            post, pieces = net.post(circle, "ada", CANARY * length)
            if length > 1:
                assert all(ada.put(circle, piece).status == 204 for piece in pieces.values())
            assert ada.post(circle, [post], pieces.values() if length == 1 else ()).status == 200
            net.add(post, circle)
            assert all(bo.get(circle, name).body == piece for name, piece in pieces.items())
        # What a peer can write into a request must not come out in a log either.
        for path in (f"/v1/{CANARY}", f"/v1/logs/{CANARY}/entries", f"/v1/logs/{circle}/blobs/{CANARY}"):
            assert bo.ask("GET", path, headers={"User-Agent": CANARY, "X-Note": CANARY}).status in (404, 405)
        assert bo.ask("POST", f"/v1/logs/{circle}/missing", f'{{"{CANARY}":1}}'.encode()).status == 400
        tokens = [who.token for who in (ada, bo)]
        memory = memory_of(running.process.pid) if running.process and not os.geteuid() else b""
        assert running.stop() == 0
        kept = b"".join(path.read_bytes() for path in sorted(running.folder.rglob("*")) if path.is_file())
    said = running.log()
    assert len(said.splitlines()) > 10
    for text in (CANARY, TAG, f'"{NAME}"'):
        assert not is_in(text, kept), text
    # Nor what its thief could log in with, for as long as it counts.
    assert not any(token[:20].encode() in kept for token in tokens)
    # The log holds no id in full, and no name of a person.
    assert not re.search(r"[0-9a-f]{9,}", said)
    assert "ada" not in said.replace("adapt", "")
    assert not is_in(CANARY * 2, memory)  # once, as a path that was refused, it may still lie there


def test_p20_nor_in_postgresql(tmp_path: Path, postgres: servers.Postgres) -> None:
    net, circle = circled()
    url = postgres.new_database("canary")
    with relay(tmp_path / "relay", net.net, url, keeper="keeper") as running:
        load(running, net)
        post, pieces = net.post(circle, "ada", CANARY)
        assert running.client(device("ada")).post(circle, [post], pieces.values()).status == 200
    postgres.crash()  # what lies in its files now is what a thief of the disk gets
    try:
        files = [path for path in (postgres.folder / "data").rglob("*") if path.is_file()]
        assert post[:200] in b"".join(path.read_bytes() for path in files)
        for text in (CANARY, TAG):
            assert not any(is_in(text, path.read_bytes()) for path in files)
    finally:
        postgres.start()


@given(before=st.binary(max_size=5), after=st.binary(max_size=5), times=st.integers(0, 2))
def test_a_text_is_found_wherever_it_begins_in_base64(before: bytes, after: bytes, times: int) -> None:
    """The control: records hold their bodies in base64, and what is sealed in them in base64 again."""
    data = before + TAG.encode() + after
    for _ in range(times):
        data = b'{"payload":"' + b64encode(data) + b'"}'
    assert is_in(TAG, data)
    assert not is_in(TAG, data.replace(data[len(data) // 2 :][:4], b"...."))


def is_in(text: str, data: bytes) -> bool:
    """Whether a text stands in the data as it is, in base64, or in base64 of that."""
    found = {text.encode()}
    for _ in range(2):
        found |= {_within_base64(each, skip) for each in found for skip in range(3)}
    return any(each in data for each in found)


def _within_base64(data: bytes, skip: int) -> bytes:
    """The digits that `data` alone decides, where `skip` bytes and any number of threes stand before it."""
    digits = b64encode(bytes(skip) + data)
    return digits[-(-8 * skip // 6) : 8 * (skip + len(data)) // 6]


def memory_of(leader: int) -> bytes:
    """All that the relay's processes hold in memory, as root sees it."""
    group, found = os.getpgid(leader), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) != group:
                continue
            maps, memory = (entry / "maps").read_text(), (entry / "mem").open("rb", buffering=0)
        except (ProcessLookupError, FileNotFoundError):
            continue
        with memory:
            for line in maps.splitlines():
                place, mode = line.split()[:2]
                if not mode.startswith("rw"):
                    continue
                start, stop = (int(part, 16) for part in place.split("-"))
                try:
                    memory.seek(start)
                    found.append(memory.read(stop - start))
                except (OSError, ValueError, OverflowError):
                    continue
    assert found, pytest.fail("no memory was read")
    return b"".join(found)
