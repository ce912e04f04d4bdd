"""Syncing from the command line, with a relay in a process of its own; and by a bundle of only what is missing."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from library.meeting import Meeting, met
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


def command(us: Meeting, *words: str) -> subprocess.CompletedProcess[str]:
    """`darklantern library WORD FOLDER …` on Beacon's library."""
    (us.folder / "passphrase").write_text("passphrase of bo")
    first, *rest = words
    return subprocess.run(
        [
            *(sys.executable, "-m", "darklantern", "library", first, str(us.folder / "beacon"), *rest),
            *("--passphrase-file", str(us.folder / "passphrase")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_relay_is_added_synced_with_and_removed(us: Meeting, running: Running) -> None:
    us.aurora.add_relay(running.card)
    us.share()
    us.aurora.sync()
    us.beacon.close()
    added = command(us, "add-relay", str(us.folder / "card.json"))
    assert added.returncode == 0, added.stderr
    assert running.card.public.fingerprint in added.stdout
    assert "never synced" in command(us, "status").stdout
    synced = command(us, "sync")
    assert synced.returncode == 0, synced.stderr
    assert "new entries" in synced.stdout
    assert "nothing new" in command(us, "sync").stdout
    (of_relay,) = json.loads(command(us, "status", "--json").stdout)["relays"]
    assert of_relay["synced"]
    running.stop()
    failed = command(us, "sync")
    assert failed.returncode == 1 and "hint:" in failed.stderr and "Traceback" not in failed.stderr
    assert command(us, "remove-relay", of_relay["id"][:8]).returncode == 0
    assert "no relay is known here" in command(us, "sync").stderr


def test_holdings_make_a_bundle_of_what_is_missing(us: Meeting) -> None:
    us.share(b"first")
    us.sync()
    us.beacon.close()
    held = us.folder / "holdings.json"
    assert command(us, "holdings", str(held)).returncode == 0
    us.reopen("beacon")
    us.aurora.close()
    (us.folder / "ada's").write_text("passphrase of ada")
    made = subprocess.run(
        [
            *(sys.executable, "-m", "darklantern", "library", "export", str(us.folder / "aurora")),
            *(str(us.folder / "bundle"), "--since", str(held), "--passphrase-file", str(us.folder / "ada's"), "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["bytes"] < 100_000
    us.beacon.import_bundle(us.folder / "bundle")
