"""What is stale, missing or waiting, and why: in numbers and in words."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import NOW, PLEDGE, device, log_key
from relay.running import load, relay

from darklantern.errors import RefusedError, RelayError
from darklantern.library.syncing import remembering
from darklantern.library.syncing.reports import RelaySync
from darklantern.network.clock import text
from darklantern.sealing import RelayCard, RelayKey, RelayPublic, WitnessKey
from library.meeting import Meeting, met
from library.orgs import WEEK
from library.simulator import Hostile


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def card(url: str = "https://192.0.2.7:7447", keeper: str = "keeper") -> RelayCard:
    key = RelayKey(log_key(keeper), WitnessKey.generate(), bytes(32))
    public = RelayPublic(log=key.log.public, witness=key.witness.public, auth=key.public.auth)
    return RelayCard(public=public, urls=(url,), certificate=b"a certificate")


def lines(us: Meeting) -> str:
    return "\n".join(us.beacon.status().lines())


def test_what_is_held_and_how_new_it_is(us: Meeting) -> None:
    us.share()
    us.sync()
    network, circle = us.beacon.status().logs
    assert (network.log, network.name) == (us.beacon.net, "the network")
    assert (circle.name, circle.held) == ("circle evals", us.relay.view.trail(us.circle).size)
    assert circle.as_of == text(NOW) and circle.stale_since is None and not circle.missing
    assert f"circle evals: {circle.held} entries, as of {text(NOW)}" in lines(us)


def test_p05_stale_since_the_circles_limit(us: Meeting) -> None:
    us.sync()
    us.clock.now = NOW + WEEK
    assert [log.stale_since for log in us.beacon.status().logs] == [None, None]
    us.clock.now += 1
    assert [log.stale_since for log in us.beacon.status().logs] == [text(NOW + WEEK)] * 2
    assert f"circle evals is stale since {text(NOW + WEEK)}" in lines(us)


def test_which_pledge_is_wanting(us: Meeting) -> None:
    assert "you are no member without" not in lines(us)
    us.beacon.members.pledge(PLEDGE, text(NOW + 3600))
    us.sync()
    us.sync()
    us.clock.now = NOW + 3600
    assert "circle evals: you are no member without the pledge 'no-frontier': `darklantern pledge sign no-" in lines(us)


def test_a_pledge_that_was_signed_and_waits_is_not_asked_for_again(us: Meeting) -> None:
    us.beacon.members.pledge(PLEDGE, text(NOW + 3600))
    us.sync()
    us.sync()
    us.clock.now = NOW + 3600
    us.beacon.members.pledge(PLEDGE, text(NOW + WEEK))
    network, circle = us.beacon.status().logs
    assert (network.signed, circle.to_sign, circle.signed) == ((), (), (PLEDGE,))
    assert "pledge sign" not in lines(us) and lines(us).count(PLEDGE.name) == 1
    assert "you are no member before the pledge 'no-frontier': your signature waits: sync" in lines(us)
    with pytest.raises(RefusedError, match="not an effective member") as caught:
        us.beacon.members.rotate(us.circle)
    assert caught.value.hint == "your signature waits: sync"
    us.sync()
    us.sync()
    assert PLEDGE.name not in lines(us)


def test_a_pledge_that_was_withdrawn_while_it_waits_is_asked_for(us: Meeting) -> None:
    us.beacon.members.pledge(PLEDGE, text(NOW + 3600))
    us.sync()
    us.sync()
    us.clock.now = NOW + 3600
    us.beacon.members.pledge(PLEDGE, text(NOW + WEEK))
    us.beacon.members.withdraw(PLEDGE)
    assert us.beacon.status().logs[1].to_sign == (PLEDGE,)
    assert "signature waits" not in lines(us)


def test_what_waits_and_for_whom(us: Meeting) -> None:
    item = us.share()
    us.sync()
    us.beacon.threads.post(item, "not sent yet")
    assert "circle evals: 1 record waiting for the keeper of its log" in lines(us)
    us.beacon.relays.add(card())
    assert "circle evals: 1 record waiting for https://192.0.2.7:7447" in lines(us)


def test_why_what_waits_cannot_count(us: Meeting) -> None:
    item = us.share()
    us.sync()
    us.beacon.threads.post(item, "not sent yet")
    us.aurora.members.remove(us.circle, "Beacon", "bo", "left the project")
    us.aurora.relays.sync([us.relay])  # until it is in the network's log, a removal binds nobody
    us.aurora.members.rotate(us.circle)
    us.aurora.relays.sync([us.relay])
    us.beacon.relays.sync([us.relay])
    (waiting,) = us.beacon.status().logs[1].waiting
    assert waiting.problem == "epoch 2 had dropped its author"
    assert f"circle evals: the post {waiting.id[:16]} cannot count as it is: {waiting.problem}" in lines(us)


def test_which_pieces_are_missing(us: Meeting) -> None:
    item = us.share()
    us.aurora.relays.sync([us.relay])
    name = us.relay.view.circle(us.circle).entries[item].body.pieces[0]
    us.relay.hostile.withheld = {name}
    us.beacon.relays.sync([us.relay])
    assert us.beacon.status().logs[1].missing == (name,)
    assert f"circle evals: 1 piece missing, the first is {name}" in lines(us)
    us.relay.hostile = Hostile()
    us.beacon.relays.sync([us.relay])
    assert us.beacon.status().logs[1].missing == ()


def test_relays_are_remembered_with_their_last_sync(us: Meeting) -> None:
    known = card()
    us.beacon.relays.add(known)
    assert "https://192.0.2.7:7447: never synced" in lines(us)
    report = RelaySync("relay", there={us.circle: 9})
    us.beacon._desk.step(remembering.visited(us.beacon._desk.state, known.public.id, report, NOW))
    failed = RelaySync("relay", error=RelayError("it is down", hint="wait"))
    us.beacon._desk.step(remembering.visited(us.beacon._desk.state, known.public.id, failed, NOW + 60))
    us.reopen("beacon")
    assert us.beacon.relays.known == {known.public.id: known}
    (of_relay,) = us.beacon.status().relays
    assert (of_relay.synced, of_relay.problem) == (text(NOW), "it is down")
    held = us.beacon.view.trail(us.circle).size
    more = "1 entry more" if held == 8 else f"{9 - held} entries more"
    assert f"circle evals: https://192.0.2.7:7447 showed {more} than are held here" in lines(us)
    us.beacon.relays.remove(known.public.id)
    assert us.beacon.relays.known == {} and us.beacon.status().relays == ()
    with pytest.raises(RefusedError, match="no relay"):
        us.beacon.relays.remove(known.public.id)
    with pytest.raises(RefusedError, match="no relay is known"):
        us.beacon.relays.sync()


@pytest.mark.slow
def test_a_sync_with_the_relays_that_are_known(us: Meeting, tmp_path: Path) -> None:
    us.clock.now = int(time.time())
    with relay(tmp_path / "relay", us.relay.net, keeper="keeper") as running:
        load(running, us.relay)  # type: ignore[arg-type]
        for each in (us.aurora, us.beacon):
            each.relays.add(running.card)
        item = us.share()
        us.aurora.relays.sync()
        us.beacon.relays.sync()
        assert us.beacon.findings.open(item)
        (of_relay,) = us.beacon.status().relays
        assert of_relay.synced == text(us.clock.now) and of_relay.problem is None
        running.stop()
        with pytest.raises(RelayError):
            us.beacon.relays.sync()
        (of_relay,) = us.beacon.status().relays
        assert of_relay.synced and of_relay.problem
        assert device("bo").public.id == us.beacon.device.id
