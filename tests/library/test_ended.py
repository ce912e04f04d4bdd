"""Whoever no longer belongs is told so: since when, by whom, and why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network.test_attacks import claimed_by
from network.world import NOW, PLEDGE, device, network_keys, person

from darklantern.network import cosign
from darklantern.network.clock import text
from library.meeting import met
from library.orgs import WEEK, Orgs, founded

AT = text(NOW)
ROOTS = "first, a root of Beacon and second, a root of Beacon"


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    """Bo has been a member of the circle."""
    orgs = founded(tmp_path)
    orgs.aurora.members.rotate("evals")
    orgs.to_beacon()
    assert orgs.beacon.ended() == orgs.aurora.ended() == ()
    yield orgs
    orgs.close()


def told(orgs: Orgs) -> tuple[str, ...]:
    """What Bo is told once it has reached him; Ada is told nothing."""
    orgs.to_beacon()
    assert orgs.aurora.ended() == ()
    ended = orgs.beacon.ended()
    assert orgs.beacon.status().ended == ended and set(ended) <= set(orgs.beacon.status().lines())
    return ended


def restore(orgs: Orgs) -> None:
    """All whom the circle's admins removed."""
    removals = tuple(sorted(orgs.aurora.view.network.removals))
    draft = orgs.aurora.drafts.circle(orgs.circle, restored=removals)
    orgs.aurora.add(cosign(draft.envelope, [device("ada").signing, device("bo").signing]))


def test_a_person_who_was_removed_from_a_circle(orgs: Orgs) -> None:
    orgs.aurora.members.remove("evals", "Beacon", "bo", "left the project")
    said = (f"you were removed from circle evals on {AT} by Dr ada (Aurora): left the project",)
    assert told(orgs) == said
    orgs.aurora.members.rotate("evals")
    assert told(orgs) == said


def test_a_device_that_was_removed_from_a_circle(orgs: Orgs) -> None:
    orgs.aurora.members.remove("evals", "Beacon", "bo", "lost", device=device("bo").public.id)
    assert told(orgs) == (f"this device was removed from circle evals on {AT} by Dr ada (Aurora): lost",)


def test_who_was_removed_again_in_the_same_words_is_told_of_the_removal_that_holds(orgs: Orgs) -> None:
    for _ in range(4):
        orgs.aurora.members.remove("evals", "Beacon", "bo", "left the project")
        restore(orgs)
        orgs.clock.now += 60
    assert told(orgs) == ()
    orgs.aurora.members.remove("evals", "Beacon", "bo", "left the project")
    at = text(orgs.clock.now)
    assert told(orgs) == (f"you were removed from circle evals on {at} by Dr ada (Aurora): left the project",)


def test_of_several_removals_that_hold_the_first_in_the_log_is_told(orgs: Orgs) -> None:
    orgs.aurora.members.remove("evals", "Beacon", "bo", "lost", device=device("bo").public.id)
    for attempt in range(8):
        orgs.clock.now += 60
        orgs.aurora.members.remove("evals", "Beacon", "bo", f"left the project, {attempt}")
    assert told(orgs) == (f"this device was removed from circle evals on {AT} by Dr ada (Aurora): lost",)


def test_p5_who_removed_is_not_said_by_a_badly_signed_copy_in_front(tmp_path: Path) -> None:
    """An id leaves out signatures, so whoever keeps the log can put a copy before the removal, in anybody's name."""
    us = met(tmp_path)
    us.aurora.members.remove(us.circle, "Beacon", "bo", "left the project")
    (waiting,) = us.aurora._desk.state.outbox
    us.relay.force(us.relay.net, claimed_by(waiting.envelope, "bo"))
    us.sync()
    copies = [at for at, id in enumerate(us.beacon.view.trail(us.relay.net).ids) if id == waiting.id]
    assert len(copies) == 2 and us.beacon.view.network.opaque[-1].position == copies[0]
    assert us.beacon.ended() == (f"you were removed from circle evals on {AT} by Dr ada (Aurora): left the project",)
    us.close()


def test_a_device_that_was_revoked(orgs: Orgs) -> None:
    orgs.manifest("Beacon", person("bo", "bo's new one"), revoked=("bo",))
    (said,) = told(orgs)
    assert said.startswith(f"this device was revoked on {AT} by {ROOTS}: ")


def test_a_device_that_its_org_replaced_without_revoking_it(orgs: Orgs) -> None:
    orgs.manifest("Beacon", person("bo", "bo's new one"))
    (said,) = told(orgs)
    assert said.startswith(f"this device was taken off the list of Beacon on {AT} by {ROOTS}: ")


def test_a_person_who_was_taken_out_of_their_org_is_told_who_did_it_first(orgs: Orgs) -> None:
    orgs.manifest("Beacon", person("bea"))
    orgs.clock.now += 60
    orgs.manifest("Beacon", person("bea"), person("bee"))
    (said,) = told(orgs)
    assert said.startswith(f"you were taken out of the people of Beacon on {AT} by {ROOTS}: ")


def test_a_member_whose_pledge_is_over_is_told_once(orgs: Orgs) -> None:
    orgs.beacon.members.withdraw(PLEDGE)
    orgs.to_aurora()
    orgs.clock.now += WEEK // 2
    orgs.to_beacon()
    (said,) = orgs.beacon.ended()
    assert said.startswith("circle evals: nothing new is sealed to this device: ") and PLEDGE.name in said
    status = orgs.beacon.status()
    assert status.ended == () and [log.to_sign for log in status.logs] == [(), (PLEDGE,)]
    assert sum(PLEDGE.name in line for line in status.lines()) == 1


def test_a_member_whose_pledge_is_over_and_whose_device_nobody_has_vouched_for(orgs: Orgs) -> None:
    orgs.beacon.members.withdraw(PLEDGE)
    orgs.to_aurora()
    draft = orgs.aurora.drafts.circle(orgs.circle, countersigned=True)
    orgs.aurora.add(cosign(draft.envelope, [device("ada").signing, device("bo").signing]))
    orgs.to_beacon()
    ended = orgs.beacon.ended()
    assert len(ended) == 1 and orgs.beacon.status().ended == ended  # no signature alone mends that
    assert "pledge sign" not in "".join(orgs.beacon.status().lines())


def test_an_org_that_was_expelled(orgs: Orgs) -> None:
    draft = orgs.aurora.drafts.roster(expel=["Beacon"], reason="sold its records")
    orgs.aurora.add(cosign(draft.envelope, network_keys("Aurora", "Cairn")))
    assert told(orgs) == (f"Beacon was expelled from the network on {AT}: sold its records",)
