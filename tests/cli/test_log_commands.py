"""`darklantern log …`: entries with who, when and whether they count; and proofs of two histories."""

import re
from pathlib import Path

import msgspec
import pytest
from library.meeting import met
from library.orgs import founded, share
from network.world import log_key

from cli.desks import Desk, seated
from darklantern.errors import LogError
from darklantern.network import proves_fork
from darklantern.network.heads import LogFork

pytestmark = pytest.mark.usefixtures("stays_readable")


@pytest.fixture
def ada(tmp_path: Path) -> Desk:
    orgs = founded(tmp_path)
    share(orgs)
    orgs.close()
    return seated(tmp_path, ada="aurora")[0]


def test_a_log_is_shown_entry_by_entry(ada: Desk) -> None:
    network, circle = ada("log", "list")
    assert network["name"] == "the network" and circle["name"] == "circle evals" and circle["kept_here"]
    assert re.search(r"\d+ entries, as of .*, kept here\n  circle evals", ada.says("log", "list"))
    entries = ada("log", "show")
    assert [each["position"] for each in entries] == list(range(network["held"]))
    assert entries[0]["kind"] == "roster" and "trusts Aurora, Beacon" in entries[0]["what"]
    assert entries == ada("log", "show", "network") == ada("log", "show", network["log"])
    epoch, item = ada("log", "show", "evals")
    assert (epoch["kind"], item["kind"], item["by"]) == ("epoch", "item", ["Dr ada (Aurora)"])
    shown = ada.says("log", "show", "evals", "--kind", "item")
    assert shown.startswith(f"1  {item['id'][:16]}  item  ") and "an item or a post" in shown
    assert ada("log", "show", "--refused") == []
    assert "none of its 2 entries fits" in ada.says("log", "show", "evals", "--refused")
    assert "circle list" in ada.refuses("log", "show", "nowhere").hint
    assert "none" in ada.says("log", "forks")


def test_an_entry_that_does_not_count_says_why(tmp_path: Path) -> None:
    us = met(tmp_path)
    us.share()
    us.sync()
    us.relay.force(us.circle, us.relay.logs[us.circle][-1])
    us.beacon.relays.sync([us.relay])
    us.close()
    (bo,) = seated(tmp_path, bo="beacon")
    (refused,) = bo("log", "show", "evals", "--refused")
    assert refused["refused"] == "it is in this log already"
    assert f"does not count: {refused['refused']}" in bo.says("log", "show", "evals")


def test_the_proof_of_two_histories_can_be_handed_on(tmp_path: Path) -> None:
    us = met(tmp_path)
    us.split()
    with pytest.raises(LogError):
        us.beacon.relays.sync([us.relay])
    us.close()
    (bo,) = seated(tmp_path, bo="beacon")
    (fork,) = bo("log", "forks")
    assert (fork["kind"], fork["of"]) == ("log", us.circle)
    proof = msgspec.convert(fork["proof"], LogFork)
    assert proves_fork(proof, log_key("keeper").public)
    assert "it is frozen for everybody" in bo.says("log", "forks") and ", frozen" in bo.says("log", "list")
