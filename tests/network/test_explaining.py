"""P30: whoever did not get something, and whatever the reason, the reason is told."""

import re
from dataclasses import replace

import pytest

from darklantern.network.circles import Removal
from darklantern.network.deleting import Tombstone
from darklantern.network.explaining import Explained, explain, why_shut
from darklantern.network.handovers import new_handover
from darklantern.network.heads import LogFork
from network.test_pledges import breach
from network.world import NOW, YEAR, World, circled, device, org_keys, person


def posted(history: str = "all") -> tuple[World, str, str]:
    world, circle = circled()
    if history != "all":
        world.add(world.successor(circle, "ada", "bo", history=history))
    data, _ = world.post(circle, "ada")
    return world, circle, world.add(data, circle)


def asked(world: World, record: str, who: str = "al", org: str = "Aurora", now: int = NOW) -> Explained:
    return explain(world.view, (org, who), record, waiting=frozenset(), now=now)


def test_p30_a_member_can_and_the_epoch_is_named() -> None:
    world, _, post = posted()
    found = asked(world, post)
    assert found.answer == "can"
    assert "a member of epoch 1, which the record is sealed to" in str(found)
    assert "entry 1 of the log" in str(found)
    assert "written nothing in this circle" in str(found)


def newcomer(history: str) -> tuple[World, str, str]:
    world, circle, post = posted(history)
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    world.rotate(circle, "ada", NOW + 1)
    return world, circle, post


def test_p30_a_newcomer_reads_as_far_back_as_the_history_goes() -> None:
    world, _, post = newcomer("all")
    found = asked(world, post, "ben", "Beacon")
    assert found.answer == "can"
    assert "from which links lead back" in str(found)
    world, _, post = newcomer("since-join")
    found = asked(world, post, "ben", "Beacon")
    assert found.answer == "cannot"
    assert "the history was cut at epoch 2" in str(found)
    assert "when epoch 1 was made" in str(found) and "is in no manifest of the circle's orgs" in str(found)


def test_p30_of_several_cuts_the_last_is_named() -> None:
    """Whoever came with it is stopped there, and would be without the one before."""
    world, circle, post = newcomer("since-join")
    world.manifest("Beacon", person("bo"), person("ben"), person("bea"))
    world.pledge("Beacon", "bea")
    world.rotate(circle, "ada", NOW + 2)
    assert "the history was cut at epoch 3" in str(asked(world, post, "bea", "Beacon"))
    assert "the history was cut at epoch 2" in str(asked(world, post, "ben", "Beacon"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda w, c: w.manifest("Aurora", person("ada", "ada", "ada's phone")),
            "the person is not in manifest version 2",
        ),
        (lambda w, c: w.pledge("Aurora", "al", until="2020-01-01T00:00:00Z"), "expired on 2020"),
        (
            lambda w, c: w.add(
                w.sign(w.net, "removal", Removal(circle=c, org="Aurora", person="al", reason="moved on"), "bo")
            ),
            "an admin removed the person: moved on",
        ),
    ],
    ids=["left the org", "pledge taken back", "removed"],
)
def test_p30_who_is_left_out_later_is_told_why_then_and_now(change, why: str) -> None:
    world, circle, _ = posted()
    change(world, circle)
    world.rotate(circle, "bo", NOW + 1)
    data, _ = world.post(circle, "bo")
    found = asked(world, world.add(data, circle))
    assert found.answer == "cannot"
    assert str(found).count(why) == 2


@pytest.mark.parametrize(
    ("revoked", "why"),
    [((), "the device is not in manifest version 2"), (("al",), "the device was revoked by manifest version 2")],
    ids=["replaced", "revoked"],
)
def test_p30_each_device_of_a_person_is_told_of_by_itself(revoked: tuple[str, ...], why: str) -> None:
    world, circle, _ = posted()
    new = person("al", "al's phone")
    world.manifest("Aurora", person("ada", "ada", "ada's phone"), new, revoked=revoked)
    world.rotate(circle, "bo", NOW + 1)
    data, _ = world.post(circle, "bo")
    found = asked(world, world.add(data, circle))
    answers = {each.device: each for each in found.devices}
    old = answers[device("al").public.id]
    assert answers[device("al's phone").public.id].answer == found.answer == "can"
    assert old.answer == "cannot" and sum(why in reason for reason in old.reasons) == 2


def test_p30_where_a_pledge_is_wanting_what_to_call_is_said() -> None:
    world, circle, _ = posted()
    world.pledge("Aurora", "al", until="2020-01-01T00:00:00Z")
    world.rotate(circle, "bo", NOW + 1)
    data, _ = world.post(circle, "bo")
    post = world.add(data, circle)
    said = str(asked(world, post))
    assert "on their device, `darklantern pledge sign no-frontier --version 1`" in said
    assert f"device {device('al').public.fingerprint[:9]}… cannot:" in said
    assert re.search(r"3 devices of \d members had its key", said)
    shut = why_shut(world.view, post, device("al").public.id, called="'evals'", now=NOW)
    assert shut.startswith("it is sealed to 3 devices of ") and "expired on 2020" in shut
    assert "in circle 'evals', and this one is not among them: " in shut
    assert "this one among them" in why_shut(world.view, post, device("bo").public.id, called="'evals'", now=NOW)


def test_p30_who_broke_a_pledge_is_not_told_to_sign_it() -> None:
    world, circle, _ = posted()
    world.add(breach(world, org_keys("Aurora")))
    world.rotate(circle, "bo", NOW + 1)
    data, _ = world.post(circle, "bo")
    said = str(asked(world, world.add(data, circle)))
    assert "broke the pledge" in said and "pledge sign" not in said


def test_p30_somebody_nobody_knows_and_a_record_nobody_has() -> None:
    world, _, post = posted()
    assert "no manifest of Beacon ever listed" in str(asked(world, post, "zoe", "Beacon"))
    assert "no log that is here has it" in str(asked(world, "1" * 64))


def test_p30_what_counts_for_nobody_or_was_taken_back() -> None:
    world, circle, post = posted()
    world.put(world.sign(circle, "tombstone", Tombstone(target=post), "ada"), circle)
    assert asked(world, post).answer == "cannot"
    assert "taken back; 0 devices" in str(asked(world, post))
    moved, _ = world.post(circle, "al", in_circle="1" * 64)
    reason = world.put(moved, circle)
    assert reason and reason in str(asked(world, world.view.trail(circle).ids[-1]))


def test_p30_what_waits_at_its_authors() -> None:
    world, _, post = posted()
    found = explain(world.view, ("Aurora", "al"), post, waiting=frozenset([post]), now=NOW)
    assert "waits in this library" in str(found)


def test_p30_a_log_that_is_frozen() -> None:
    world, circle, post = posted()
    note = world.head(circle).note
    fork = LogFork(log=circle, first=note, second=note, leaves=())
    frozen = replace(world.view, forks={circle: fork})
    found = explain(frozen, ("Aurora", "al"), post, waiting=frozenset(), now=NOW)
    assert "the log is frozen" in str(found) and "frozen" not in str(asked(world, post))


def test_p30_a_handover_may_have_brought_it() -> None:
    world, circle, post = newcomer("since-join")
    world.manifest("Beacon", person("bo"), person("ben", "ben", "ben's phone"))
    phone = device("ben's phone").public
    world.add(world.sign(circle, "handover", new_handover(circle, phone.id, phone.receiver(), {}), "ben"), circle)
    found = {each.device: each for each in asked(world, post, "ben", "Beacon").devices}
    assert found[phone.id].answer == "may"
    assert found[device("ben").public.id].answer == "cannot"


def test_p30_the_best_that_a_device_of_theirs_can_do_is_the_answer() -> None:
    world, circle, post = posted("since-join")
    world.manifest("Aurora", person("ada", "ada", "ada's phone", "new"), person("al"))
    new = device("new").public
    world.add(world.sign(circle, "handover", new_handover(circle, new.id, new.receiver(), {}), "ada"), circle)
    found = asked(world, post, "ada")
    assert {each.answer for each in found.devices} == {"can", "may"} and found.answer == "can"


def test_p30_who_has_not_synced_since() -> None:
    world, circle, _ = posted()
    by_bo, _ = world.post(circle, "bo")
    world.add(by_bo, circle)
    data, _ = world.post(circle, "ada")
    post = world.add(data, circle)
    assert "when it last wrote it had 2 entries, and this is entry 3" in str(asked(world, post, "bo", "Beacon"))
    assert asked(world, post, "bo", "Beacon", NOW + 2 * YEAR).answer == "can"  # what it holds it keeps
    world.add(world.post(circle, "bo")[0], circle)
    assert "its own records show that it had the log as far as entry 4" in str(asked(world, post, "bo", "Beacon"))
