"""What the keeper of a relay types, and reads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from network.world import circled, peopled
from relay.running import relay, relay_key

from darklantern.records.exact import decode
from darklantern.relay.stores import open_database
from darklantern.sealing import RelayCard

NET = "0" * 64


def darklantern(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "darklantern", "relay", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_init_makes_a_relay_and_prints_its_card(tmp_path: Path) -> None:
    folder = tmp_path / "relay"
    made = darklantern("init", folder, "--net", NET)
    card = decode(RelayCard, made.stdout.strip().encode())
    assert card.certificate and card.urls == ("https://127.0.0.1:7447",)
    assert darklantern("public", folder, "--json").stdout == made.stdout
    assert {path.name for path in folder.iterdir()} == {
        "relay.toml",
        "keys",
        "certificate.pem",
        "certificate.key",
        "metrics.token",
    }
    assert (folder / "keys").read_bytes().hex() not in made.stdout
    again = darklantern("init", folder, "--net", NET)
    assert (again.returncode, "empty folder" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "0.0.0.0"], "private address"),
        (["--listen", "10.0.0.1", "--plain-http"], "loopback only"),
        (["--net", "x"], "relay.toml"),
    ],
)
def test_init_refuses_what_serve_would_refuse(tmp_path: Path, words: list[str], said: str) -> None:
    done = darklantern("init", tmp_path / "relay", "--net", NET, *words)
    assert done.returncode == 1
    assert said in done.stderr.replace("\n", " ")


def test_a_log_is_begun_and_told_about_and_copied(tmp_path: Path) -> None:
    net = peopled()
    with relay(tmp_path / "relay", net.net, keeper="keeper") as running:
        paths = []
        for number, record in enumerate(net.logs[net.net]):
            paths.append(tmp_path / f"{number}.json")
            paths[-1].write_bytes(record)
        begun = darklantern("begin", running.folder, *paths, "--json")
        assert json.loads(begun.stdout) == {"appended": len(paths)}
        assert darklantern("begin", running.folder, paths[0]).returncode == 1
        told = json.loads(darklantern("status", running.folder, "--json").stdout)
        assert [(log["log"], log["size"]) for log in told["logs"]] == [(net.net, len(paths))]
        assert [org["org"] for org in told["orgs"]] == ["Aurora", "Beacon", "Cairn"]
        assert f"{len(paths)} entries" in darklantern("status", running.folder).stdout
        copy = tmp_path / "backup.db"
        assert darklantern("backup", running.folder, copy).returncode == 0
        assert darklantern("backup", running.folder, copy).returncode == 1
        database = open_database(f"sqlite://{copy}")
        assert database.sizes() == {net.net: len(paths)}
        database.close()


def test_only_the_relay_that_the_roster_names_begins_its_log(tmp_path: Path) -> None:
    net, _ = circled()
    first = tmp_path / "roster.json"
    first.write_bytes(net.logs[net.net][0])
    with relay(tmp_path / "relay", net.net, keeper="another") as running:
        done = darklantern("begin", running.folder, first)
        assert (done.returncode, "another key" in done.stderr) == (1, True)
        assert relay_key("another").public.log != relay_key("keeper").public.log
