"""What the keeper of a relay types, and reads."""

import json
import subprocess
from pathlib import Path

import pytest
from network.world import circled, peopled
from relay.running import relay, relay_key

from cli.here import ran
from darklantern.records.exact import decode, encode
from darklantern.relay.mirror_settings import mirrors as known
from darklantern.relay.setting_up import make_relay
from darklantern.relay.stores import open_database
from darklantern.sealing import RelayCard

NET = "0" * 64


def darklantern(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return ran("relay", *words)


def test_init_makes_a_relay_and_prints_its_card(tmp_path: Path) -> None:
    folder = tmp_path / "relay"
    made = darklantern("init", folder, "--net", NET)
    card = decode(RelayCard, made.stdout.strip().encode())
    assert card.certificate and card.urls == ("https://127.0.0.1:7447",)
    assert darklantern("card", folder, "--json").stdout == made.stdout
    assert "the relay's card, which others add" in made.stderr and card.public.fingerprint in made.stderr
    assert darklantern("card", folder).stderr == made.stderr
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


@pytest.mark.usefixtures("in_processes_of_their_own")
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


def test_mirrors_are_added_listed_and_removed_and_the_keeper_s_lines_stay(tmp_path: Path) -> None:
    net = peopled()
    beacon, cairn = (make_relay(tmp_path / name, NET, port=port) for name, port in (("b", 7448), ("c", 7449)))
    with relay(tmp_path / "relay", net.net, keeper="keeper") as running:
        folder = running.folder
        running.setting("# mine\npull_s = 7")
        before = (folder / "relay.toml").read_text()
        assert "mirror add" in darklantern("mirror", "list", folder).stdout
        for name, card in (("beacon", beacon), ("Cairn's", cairn)):
            file = tmp_path / f"{name}.json"
            file.write_bytes(encode(card) + b"\n")
            words = ["--only-reads"] if name == "beacon" else []
            added = darklantern("mirror", "add", folder, file, "--name", name, *words)
            assert (added.returncode, card.urls[0] in added.stdout) == (0, True), added.stderr
            again = darklantern("mirror", "add", folder, file, "--name", "other")
            assert (again.returncode, "already" in again.stderr) == (1, True)
        (folder / "relay.toml").write_text((folder / "relay.toml").read_text() + "\n[limits]\nnonces = 5\n")
        listed = json.loads(darklantern("mirror", "list", folder, "--json").stdout)
        assert [(each["name"], each["asked"], each["by"]) for each in listed] == [
            ("Cairn's", True, "settings"),
            ("beacon", False, "settings"),
        ]
        assert "only reads here" in darklantern("mirror", "list", folder).stdout
        assert [peer.card.public.id for peer in known(folder)] == [cairn.public.id, beacon.public.id]
        for name in ("Cairn's", "beacon"):
            assert darklantern("mirror", "remove", folder, name).returncode == 0
        gone = darklantern("mirror", "remove", folder, "beacon")
        assert (gone.returncode, "name no relay" in gone.stderr) == (1, True)
        assert (folder / "relay.toml").read_text().split() == [*before.split(), "[limits]", "nonces", "=", "5"]


def test_a_mirror_is_another_relay_with_a_name(tmp_path: Path) -> None:
    own = make_relay(tmp_path / "relay", NET)
    file = tmp_path / "own.json"
    file.write_bytes(encode(own))
    refused = darklantern("mirror", "add", tmp_path / "relay", file, "--name", "me")
    assert (refused.returncode, "own card" in refused.stderr) == (1, True)
    file.write_bytes(encode(make_relay(tmp_path / "other", NET)))
    for name in ("", 'a"\npull = 1', "x" * 61):
        assert darklantern("mirror", "add", tmp_path / "relay", file, "--name", name).returncode == 1
    file.write_bytes(b"no card")
    assert darklantern("mirror", "add", tmp_path / "relay", file, "--name", "it").returncode == 1
