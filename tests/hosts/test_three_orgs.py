"""Three orgs, a machine and a relay each: cables are pulled, programs killed, clocks wrong, disks full.

Nothing that was acknowledged is lost, and what was sealed is in no file, log or memory of a relay. All of it by the
commands that a user types. One network, told once: `make test-long`.
"""

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from library.orgs import CANARY

from hosts.doing import (
    CIRCLE,
    FAKETIME,
    WAIT_S,
    circle_id,
    clock,
    notes,
    say,
    settled,
    share,
    share_words,
    size,
    synced,
    texts,
    wait_for,
)
from hosts.founding import found
from hosts.machines import can_make_machines
from hosts.offices import Office, hand, offices
from hosts.searching import in_files, in_memory

SECRETS = (CANARY, CIRCLE)  # the first is in titles, claims, tags, artifacts and posts
MARKING = "use:safety-only"  # a relay's program knows the word, so only its files are searched for it
MIB = 1024 * 1024
DAY = 24 * 3600


@pytest.mark.long
def test_three_orgs_lose_nothing_and_their_relays_learn_nothing(tmp_path: Path) -> None:
    if why_not := can_make_machines():
        pytest.skip(why_not)
    if FAKETIME is None:
        pytest.skip("wrong clocks need libfaketime: apt install faketime")
    work = tmp_path / "on screen"  # what people hold in the clear anyway; no disk of a relay or a library
    work.mkdir()
    (tmp_path / "disks").mkdir()
    with offices(tmp_path / "disks") as three:
        found(three, CIRCLE)
        item = shared_and_discussed(three, work)
        while_the_appender_is_away(three, item)
        relay_killed_while_it_takes_pieces(three, work)
        share_killed(three[0], work)
        clocks_wrong(three, item)
        disk_of_the_relay_full(three, work)
        all_hold_the_same(three)
        sealed_without_whom_was_removed(three, item, work)
        for office in three:
            assert office("library", "verify") == {"problems": []}
        nothing_leaked(three)


def shared_and_discussed(three: tuple[Office, Office, Office], work: Path) -> str:
    ada, bo, cy = three
    data = notes(words=f"notes on the {CANARY}")
    item = share(ada, work, "first", data)
    synced(ada)
    for reader in (bo, cy):
        synced(reader)
        opened = reader("open", item)
        assert CANARY in opened["finding"]["title"]
        out = work / f"artifact of {reader.person}"
        reader("open", item, "--artifact", hashlib.sha256(data).hexdigest(), "--out", out)
        assert out.read_bytes() == data
        say(reader, item, f"{reader.person} has read of the {CANARY}")
        synced(reader)
    begun = ada("thread", "begin", circle_id(ada), said=f"About the {CANARY}\nHow do we go on with the {CANARY}?")
    synced(ada)
    synced(bo)
    bo("thread", "react", begun["thread"], said="👀")
    settled(three)
    assert all(len(texts(office, item)) == 2 for office in three)
    return item


def while_the_appender_is_away(three: tuple[Office, Office, Office], item: str) -> None:
    ada, bo, cy = three
    ada.machine.cut()
    posts = {office: say(office, item, f"{office.person} writes of the {CANARY} meanwhile") for office in (bo, cy)}
    for office, post in posts.items():
        failed = office.sync()
        assert failed.returncode == 1 and ada.url in failed.stderr and "hint:" in failed.stderr
        # Its own relay and the third one's were reached, and status and explain say what is with whom.
        assert failed.stderr.count("error:") == 1
        assert f"1 record waiting for {ada.url}" in office.attempt("status").stdout
        assert "waits in this library" in office.attempt("explain", "Aurora/ada", post).stdout
    # A courier walks: the bundle's records wait in the other library, which is on the appender's side.
    bundle = bo.machine.disk / "by foot.bundle"
    bo("bundle", "export", bundle)
    hand(bundle, ada)
    imported = ada("bundle", "import", ada.machine.disk / bundle.name)
    assert imported["carried"] == [posts[bo]]
    ada.sync()
    assert "waits" not in ada.attempt("explain", "Beacon/bo", posts[bo]).stdout
    answer = say(ada, item, f"ada got the {CANARY} by foot")
    ada.sync()
    ada.machine.heal()
    settled(three)
    for office in three:
        said = [post["id"] for post in office("thread", "show", item)["posts"]]
        assert {*posts.values(), answer} <= set(said) and len(said) == len(set(said)) == 5


def relay_killed_while_it_takes_pieces(three: tuple[Office, Office, Office], work: Path) -> None:
    ada, bo, cy = three
    data = notes(24 * MIB)
    item = share(bo, work, "large", data)
    before = size(ada.relay / "blobs")
    pushing = bo.begin("sync")
    wait_for(lambda: size(ada.relay / "blobs") > before)
    ada.kill_relay()
    assert pushing.wait(WAIT_S) == 1
    assert size(ada.relay / "blobs") < before + len(data)
    log = bo.screen.read_text()
    assert "hint:" in log and "Traceback" not in log
    ada.serve()
    settled(three)
    # It is killed again and again while two people write. What a sync said was sent stays.
    acknowledged = set()
    for round in range(3):
        written = [say(office, item, f"round {round} of {office.person} on the {CANARY}") for office in (bo, cy)]
        syncs = [office.begin("sync", "--json") for office in (bo, cy)]
        time.sleep(0.2 * (round + 1))  # somewhere in the middle; wherever it is, the claim must hold
        ada.kill_relay()
        acknowledged |= {post for post, sync in zip(written, syncs, strict=True) if sync.wait(WAIT_S) == 0}
        ada.serve()
    settled(three)
    for office in three:
        posts = {post["id"] for post in office("thread", "show", item)["posts"]}
        assert len(posts) == 6 and acknowledged <= posts
        out = work / f"large of {office.person}"
        office("open", item, "--artifact", hashlib.sha256(data).hexdigest(), "--out", out)
        assert out.read_bytes() == data


def share_killed(ada: Office, work: Path) -> None:
    data = notes(24 * MIB)
    before, waiting = size(ada.library), ada("status")
    words = share_words(work, "killed", data)
    sharing = ada.begin(*words)
    wait_for(lambda: size(ada.library) > before + 4 * MIB)
    os.killpg(sharing.pid, signal.SIGKILL)
    assert sharing.wait() == -signal.SIGKILL
    assert ada("library", "verify") == {"problems": []}
    assert [log["waiting"] for log in ada("status")["logs"]] == [log["waiting"] for log in waiting["logs"]]
    item = ada(*words)["item"]
    synced(ada)
    assert ada("open", item)["finding"]["title"].startswith("killed")


def clocks_wrong(three: tuple[Office, Office, Office], item: str) -> None:
    ada, bo, cy = three
    behind, ahead = clock(-2 * DAY), clock(3650 * DAY)
    say(ada, item, f"ada on clocks and the {CANARY}")
    synced(ada)
    said = bo.refuses("sync", environment=behind)
    assert "more than a day after this machine's" in said and "--allow-clock-jump" in said
    # Ten years ahead everything has expired. Reading goes on, nothing is sealed, and nothing stays of it.
    cy("sync", environment=ahead)
    before = len(texts(cy, item))
    said = cy.refuses("thread", "post", item, said=f"cy is ahead of the {CANARY}", environment=ahead)
    assert "expired on" in said or "stale since" in said
    assert CANARY in cy("open", item, environment=ahead)["finding"]["title"]
    assert any(log["stale_since"] for log in cy("status", environment=ahead)["logs"])
    settled(three)
    say(cy, item, f"cy is back at the {CANARY}")
    settled(three)
    assert len(texts(bo, item)) == before + 1


def disk_of_the_relay_full(three: tuple[Office, Office, Office], work: Path) -> None:
    ada, bo, cy = three
    item = share(bo, work, "no room", notes(12 * MIB))
    fill = ada.machine.disk / "fill"
    with fill.open("wb") as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
                file.flush()
        except OSError:
            pass
    failed = bo.sync()
    assert failed.returncode == 1 and "Traceback" not in failed.stderr, failed.stderr
    assert ada.url in failed.stderr and "hint:" in failed.stderr
    assert ada.serving is not None and ada.serving.poll() is None
    # Another relay has what was there, and answers.
    elsewhere = json.loads(cy.sync().stdout)
    assert elsewhere[cy.url]["error"] is None and not elsewhere[cy.url]["hidden"]
    fill.unlink()
    settled(three)
    assert "no room" in cy("open", item)["finding"]["title"]


def sealed_without_whom_was_removed(three: tuple[Office, Office, Office], item: str, work: Path) -> None:
    ada, bo, cy = three
    cy.machine.cut()
    bo("circle", "remove", CIRCLE, "Cairn/cy", "--reason", "left the project", "--yes")
    bo.sync()
    ada.sync()
    later = share(ada, work, "without cy", notes(words=f"not for cy: {CANARY}"))
    ada.sync()
    bo.sync()
    assert "without cy" in bo("open", later)["finding"]["title"]
    late = say(cy, item, f"cy does not know it yet, and tells of the {CANARY}")
    cy.machine.heal()
    settled((ada, bo))
    cy.sync()
    # No relay shows it to cy any more, or takes more; brought by hand it does not open, by anybody's account.
    told = json.loads(cy.sync().stdout)[ada.url]
    assert circle_id(cy) in told["hidden"]
    assert {each: "this circle does not admit you" in why for each, why in told["refused"]} == {late: True}
    cy.refuses("open", later)
    bundle = bo.machine.disk / "to cy.bundle"
    bo("bundle", "export", bundle)
    hand(bundle, cy)
    cy("bundle", "import", cy.machine.disk / bundle.name)
    (listed,) = [each for each in cy("finding", "list") if each["id"] == later]
    assert listed["title"] is None and listed["problem"]
    cy.refuses("open", later)
    for teller in (ada, cy):
        explained = teller("explain", "Cairn/cy", later)
        assert explained["answer"] == "cannot" and "left the project" in str(explained)
    # What cy wrote for the old members waits, with the reason; the others never get it.
    told = cy.attempt("status").stdout
    assert late not in {post["id"] for post in ada("thread", "show", item)["posts"]}
    assert f"the post {late[:16]} cannot count as it is: " in told and "dropped its author" in told
    settled((ada, bo))


def all_hold_the_same(three: tuple[Office, Office, Office]) -> None:
    settled(three)
    for office in three:
        assert all(not log["waiting"] for log in office("status")["logs"])


def nothing_leaked(three: tuple[Office, Office, Office]) -> None:
    for office in three:
        assert not in_files((*SECRETS, MARKING), office.machine.disk)
        assert office.serving is not None
        assert not in_memory(SECRETS, office.serving.pid)
    # The search itself works: what relays do know is found in both places.
    ada = three[0]
    (net,) = {office("device", "show")["net"] for office in three}
    assert ada.serving is not None and in_memory([net], ada.serving.pid)
    assert in_files(["Aurora"], ada.relay)
