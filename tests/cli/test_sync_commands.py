"""Syncing from the command line, with a relay in a process of its own; and by a bundle of only what is missing."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from library.meeting import PEOPLE, Meeting, met
from relay.running import Running, load, relay

from darklantern.records.exact import encode


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    us.clock.now = int(time.time())
    yield us
    us.close()


@pytest.fixture
def running(us: Meeting, tmp_path: Path) -> Iterator[Running]:
    with relay(tmp_path / "relay", us.relay.net, keeper="keeper") as running:
        load(running, us.relay)  # type: ignore[arg-type]
        (tmp_path / "card.json").write_bytes(encode(running.card))
        yield running


def command(us: Meeting, org: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`darklantern WORDS` with an org's library."""
    (us.folder / "passphrase").write_text(f"passphrase of {PEOPLE[org]}")
    where = ["--library", str(us.folder / org), "--passphrase-file", str(us.folder / "passphrase")]
    return subprocess.run(
        [sys.executable, "-m", "darklantern", *words, *where], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_relay_is_added_synced_with_and_forgotten(us: Meeting, running: Running) -> None:
    us.aurora.add_relay(running.card)
    us.share()
    us.aurora.sync()
    us.beacon.close()
    assert "no relay is known here" in command(us, "beacon", "sync").stderr
    synced = command(us, "beacon", "sync", "--relay", str(us.folder / "card.json"), "--yes")
    assert synced.returncode == 0, synced.stderr
    assert running.card.public.fingerprint in synced.stdout + synced.stderr
    assert "new entries" in synced.stdout
    assert "nothing new" in command(us, "beacon", "sync").stdout
    (of_relay,) = json.loads(command(us, "beacon", "status", "--json").stdout)["relays"]
    assert of_relay["synced"]
    assert "circle evals" in command(us, "beacon", "status").stdout
    running.stop()
    failed = command(us, "beacon", "sync")
    assert failed.returncode == 1 and "hint:" in failed.stderr and "Traceback" not in failed.stderr
    command(us, "beacon", "sync", "--forget", of_relay["id"])
    assert json.loads(command(us, "beacon", "status", "--json").stdout)["relays"] == []


def test_holdings_make_a_bundle_of_what_is_missing(us: Meeting) -> None:
    us.share(b"first")
    us.sync()
    us.close()
    held, bundle = str(us.folder / "holdings.json"), str(us.folder / "bundle")
    assert command(us, "beacon", "bundle", "holdings", held).returncode == 0
    made = command(us, "aurora", "bundle", "export", bundle, "--since", held, "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["bytes"] < 100_000
    done = command(us, "beacon", "bundle", "import", bundle)
    assert done.returncode == 0, done.stderr
    assert "nothing new" in done.stdout
    us.reopen("aurora")
    us.reopen("beacon")
