"""Which devices count where a circle asks for countersigned ones: an org alone cannot slip one in."""

import pytest

from darklantern.errors import RefusedError
from darklantern.network import Admin, effective
from darklantern.network.circles import Named, Removal
from darklantern.network.vouching import NOTICE, Notice, Vouch
from network.world import NOW, World, device, peopled, person

ADMINS = (Admin(org="Aurora", person="ada"), Admin(org="Aurora", person="al"), Admin(org="Beacon", person="bo"))


def closed() -> tuple[World, str]:
    """Named people, of whom the admins compared one device each; ada's phone is nobody's word yet."""
    world = peopled()
    people = tuple(
        Named(org=org, person=who, devices=(device(who).public.id,))
        for org, who in (("Aurora", "ada"), ("Aurora", "al"), ("Beacon", "bo"))
    )
    return world, world.circle(orgs=(), people=people, admins=ADMINS, countersigned=True)


def counts(world: World, circle: str, name: str, now: int = NOW) -> bool:
    return device(name).public.id in effective(world.view.network, circle, now).ids


def vouch(world: World, name: str, author: str, notice: str | None = None, seen: bytes | None = None) -> bytes:
    return world.sign(world.net, "vouch", Vouch(device=device(name).public.id, notice=notice, seen=seen), author)


def test_a_device_that_its_org_lists_counts_only_once_its_person_vouches() -> None:
    world, circle = closed()
    assert not counts(world, circle, "ada's phone")
    assert "nobody has vouched" in effective(world.view.network, circle, NOW).explain(device("ada's phone").public.id)
    world.add(vouch(world, "ada's phone", "ada"))
    assert counts(world, circle, "ada's phone")
    # And on from there: the tablet that the phone vouches for.
    world.manifest("Aurora", person("ada", "ada", "ada's phone", "ada's tablet"), person("al"))
    assert not counts(world, circle, "ada's tablet")
    world.add(vouch(world, "ada's tablet", "ada's phone"))
    assert counts(world, circle, "ada's tablet")


def test_a_device_that_does_not_count_itself_brings_in_nobody() -> None:
    world, circle = closed()
    world.manifest("Aurora", person("ada", "ada", "ada's phone", "ada's tablet"), person("al"))
    world.add(vouch(world, "ada's tablet", "ada's phone"))
    assert not counts(world, circle, "ada's tablet")


def test_nobody_vouches_for_another_persons_device_or_their_own_very_one() -> None:
    world, _ = closed()
    for name, author in (("ada's phone", "bo"), ("ada", "ada")):
        with pytest.raises(AssertionError, match="vouches for"):
            world.add(vouch(world, name, author))


def lost(world: World | None = None, circle: str = "") -> tuple[World, str, str]:
    """Ada has lost both devices; a new one is listed, and has given notice."""
    if world is None:
        world, circle = closed()
    world.manifest("Aurora", person("ada", "ada's new one"), person("al"), revoked=("ada", "ada's phone"))
    body = Notice(circle=circle, device=device("ada's new one").public.id)
    return world, circle, world.add(world.sign(world.net, "notice", body, "ada's new one"))


def test_a_quorum_brings_back_who_has_lost_everything_after_72_hours() -> None:
    world, circle, notice = lost()
    seen = world.head(world.net, NOW + 100).note
    world.add(vouch(world, "ada's new one", "bo", notice, seen))
    later = NOW + 100 + NOTICE
    assert not counts(world, circle, "ada's new one", later)  # one of three is no quorum
    world.add(vouch(world, "ada's new one", "al", notice, seen))
    assert not counts(world, circle, "ada's new one", later - 1)
    assert counts(world, circle, "ada's new one", later)


def test_an_admin_can_stop_it_within_the_72_hours() -> None:
    world, circle, notice = lost()
    seen = world.head(world.net, NOW + 100).note
    for admin in ("bo", "al"):
        world.add(vouch(world, "ada's new one", admin, notice, seen))
    body = Removal(
        circle=circle, org="Aurora", person="ada", device=device("ada's new one").public.id, reason="not hers"
    )
    world.add(world.sign(world.net, "removal", body, "al"))
    assert not counts(world, circle, "ada's new one", NOW + 100 + NOTICE)


def test_the_notice_must_have_stood_in_the_log() -> None:
    """A checkpoint from before the notice proves nothing, and without one nobody vouches for others."""
    world, _ = closed()
    early = world.head(world.net).note
    world, _, notice = lost()
    for seen in (None, early):
        with pytest.raises((AssertionError, RefusedError), match="notice"):
            world.add(vouch(world, "ada's new one", "bo", notice, seen))


def test_ones_own_vouch_as_an_admin_is_none() -> None:
    world, _, notice = lost()
    world.manifest(
        "Aurora", person("ada", "ada's new one", "ada's second"), person("al"), revoked=("ada", "ada's phone")
    )
    seen = world.head(world.net).note
    with pytest.raises(AssertionError, match="own person"):
        world.add(vouch(world, "ada's new one", "ada's second", notice, seen))


def test_what_one_circles_admins_vouched_for_counts_in_no_other() -> None:
    founded, one = closed()
    rules = founded.view.rules(one)
    other = founded.circle(orgs=(), people=rules.people, admins=rules.admins, countersigned=True)
    world, circle, notice = lost(founded, one)
    seen = world.head(world.net).note
    for admin in ("bo", "al"):
        world.add(vouch(world, "ada's new one", admin, notice, seen))
    assert counts(world, circle, "ada's new one", NOW + NOTICE)
    assert not counts(world, other, "ada's new one", NOW + NOTICE)
