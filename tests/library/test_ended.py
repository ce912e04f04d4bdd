"""Whoever no longer belongs is told so: since when, by whom, and why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network.world import NOW, PLEDGE, device, network_keys, person

from darklantern.network import cosign
from darklantern.network.clock import text
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


def test_a_person_who_was_removed_from_a_circle(orgs: Orgs) -> None:
    orgs.aurora.members.remove("evals", "Beacon", "bo", "left the project")
    said = (f"you were removed from circle evals on {AT} by Dr ada (Aurora): left the project",)
    assert told(orgs) == said
    orgs.aurora.members.rotate("evals")
    assert told(orgs) == said


def test_a_device_that_was_removed_from_a_circle(orgs: Orgs) -> None:
    orgs.aurora.members.remove("evals", "Beacon", "bo", "lost", device=device("bo").public.id)
    assert told(orgs) == (f"this device was removed from circle evals on {AT} by Dr ada (Aurora): lost",)


def test_a_device_that_was_revoked(orgs: Orgs) -> None:
    orgs.manifest("Beacon", person("bo", "bo's new one"), revoked=("bo",))
    (said,) = told(orgs)
    assert said.startswith(f"this device was revoked on {AT} by {ROOTS}: ")


def test_a_person_who_was_taken_out_of_their_org_is_told_who_did_it_first(orgs: Orgs) -> None:
    orgs.manifest("Beacon", person("bea"))
    orgs.clock.now += 60
    orgs.manifest("Beacon", person("bea"), person("bee"))
    (said,) = told(orgs)
    assert said.startswith(f"you were taken out of the people of Beacon on {AT} by {ROOTS}: ")


def test_a_member_whose_pledge_is_over(orgs: Orgs) -> None:
    orgs.beacon.members.withdraw(PLEDGE)
    orgs.to_aurora()
    orgs.clock.now += WEEK // 2
    (said,) = told(orgs)
    assert said.startswith("circle evals: nothing new is sealed to this device: ") and PLEDGE.name in said


def test_an_org_that_was_expelled(orgs: Orgs) -> None:
    draft = orgs.aurora.drafts.roster(expel=["Beacon"], reason="sold its records")
    orgs.aurora.add(cosign(draft.envelope, network_keys("Aurora", "Cairn")))
    assert told(orgs) == (f"Beacon was expelled from the network on {AT}: sold its records",)
