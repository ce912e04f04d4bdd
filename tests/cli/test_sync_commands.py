"""Syncing from the command line, with a relay in a process of its own; and by a bundle of only what is missing."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from library.meeting import PEOPLE, Meeting, met
from library.orgs import manifest
from network.world import person
from relay.running import Running, load, relay

from cli.here import ran
from darklantern.network.clock import text
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


def command(us: Meeting, *words: str, org: str = "beacon") -> subprocess.CompletedProcess[str]:
    """`darklantern WORDS…` on that org's library."""
    secret = us.folder / f"passphrase of {PEOPLE[org]}"
    secret.write_text(secret.name)
    return ran(*words, "--library", us.folder / org, "--passphrase-file", secret)


def of_card(running: Running) -> str:
    return running.card.public.id


@pytest.mark.slow
def test_a_relay_is_added_synced_with_and_removed(us: Meeting, running: Running) -> None:
    us.aurora.relays.add(running.card)
    us.share()
    us.aurora.relays.sync()
    us.beacon.close()
    add = ("sync", "--relay", str(us.folder / "card.json"))
    asked = command(us, *add)
    assert asked.returncode == 1 and running.card.public.fingerprint in asked.stderr and "add --yes" in asked.stderr
    assert json.loads(command(us, "status", "--json").stdout)["relays"] == []
    assert json.loads(command(us, "relay", "add", add[-1], "--yes", "--json").stdout) == {"relay": of_card(running)}
    would = command(us, "sync", "--dry-run")
    assert would.returncode == 0 and "would come: " in would.stdout and " new pieces" in would.stdout, would.stderr
    assert "--dry-run adds no relay" in command(us, *add, "--dry-run", "--yes").stderr
    assert json.loads(command(us, "finding", "list", "--json").stdout) == [], "a dry run takes in nothing"
    synced = command(us, *add, "--yes")
    assert synced.returncode == 0, synced.stderr
    assert running.card.public.fingerprint in synced.stderr
    assert "1 new entry, 2 new pieces" in synced.stdout
    assert "nothing new" in command(us, "sync").stdout
    assert "nothing new" in command(us, "sync", "--dry-run").stdout
    (of_relay,) = json.loads(command(us, "status", "--json").stdout)["relays"]
    assert of_relay["synced"]
    assert "circle evals" in command(us, "status").stdout
    running.stop()
    failed = command(us, "sync")
    assert failed.returncode == 1 and "hint:" in failed.stderr and "Traceback" not in failed.stderr
    failed = json.loads(command(us, "sync", "--json").stdout)
    assert set(failed) == {"error", "hint"}
    assert "ended early" in command(us, "status").stdout
    unknown = command(us, "relay", "remove", "nobody")
    assert unknown.returncode == 1 and "darklantern relay list" in unknown.stderr
    (listed,) = json.loads(command(us, "relay", "list", "--json").stdout)
    assert listed["urls"] == [of_relay["name"]] and listed["fingerprint"] == running.card.public.fingerprint
    removed = command(us, "relay", "remove", of_relay["name"])
    assert (removed.returncode, removed.stdout) == (0, "removed; 0 relays are left to sync with\n")
    assert "no relay is known here" in command(us, "relay", "list").stdout
    failed = command(us, "sync")
    assert "no relay is known here" in failed.stderr and "darklantern sync --relay" in failed.stderr


@pytest.mark.usefixtures("in_processes_of_their_own")
def test_holdings_make_a_bundle_of_what_is_missing(us: Meeting) -> None:
    us.share(b"first")
    us.sync()
    us.beacon.close()
    held = us.folder / "holdings.json"
    told = json.loads(command(us, "bundle", "holdings", str(held), "--json").stdout)
    assert told["entries"] > 5 and told["missing"] == 0
    us.reopen("beacon")
    us.aurora.close()
    export = ("bundle", "export", str(us.folder / "bundle"), "--holdings", str(held), "--json")
    made = command(us, *export, org="aurora")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["bytes"] < 100_000
    us.beacon.bundles.import_from(us.folder / "bundle")


@pytest.mark.slow
def test_who_was_removed_is_told_at_the_sync_and_who_was_revoked_what_may_be(us: Meeting, running: Running) -> None:
    for each in (us.aurora, us.beacon):
        each.relays.add(running.card)
        each.relays.sync()
    us.beacon.close()
    us.aurora.members.remove("evals", "Beacon", "bo", "left the project")
    us.aurora.relays.sync()
    ended = "you were removed from circle evals on "
    for said, once in ((command(us, "sync").stdout, True), (command(us, "sync").stdout, False)):
        assert (ended in said) == once, said
    assert f"{ended}{text(us.clock.now)} by Dr ada (Aurora): left the project" in command(us, "status").stdout
    us.aurora.add(manifest(us.aurora, "Beacon", person("bea"), revoked=("bo",)))
    us.aurora.relays.sync()
    refused = command(us, "sync")
    assert refused.returncode == 1 and "no longer, where your org has revoked it" in refused.stderr.replace("\n", " ")
    us.aurora.bundles.export_to(us.folder / "bundle")
    assert "this device was revoked on" in command(us, "bundle", "import", str(us.folder / "bundle")).stdout
    assert "this device was revoked on" in command(us, "sync").stderr
