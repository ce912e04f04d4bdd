"""How a circle changes: a quorum adds, one admin removes, two successors stop sealing until a quorum settles it."""

from itertools import permutations

import msgspec
import pytest

from darklantern.errors import DarkLanternError, LogError, RefusedError
from darklantern.network import Admin, effective
from darklantern.network.circles import Circle, Named, Removal, check_closed, new_terms
from darklantern.network.deciding import plan
from darklantern.network.heads import read_head, sign_head
from darklantern.records.exact import decode, encode
from darklantern.sealing import envelope_id
from network.world import NOW, World, circled, device, log_key, peopled, person

DAY = 24 * 3600
THREE = (Admin(org="Aurora", person="ada"), Admin(org="Aurora", person="al"), Admin(org="Beacon", person="bo"))


def names(world: World, circle: str, now: int = NOW) -> list[str]:
    return sorted(member.person for member in effective(world.view.network, circle, now).members)


def removal(world: World, circle: str, who: str, author: str, org: str = "Aurora", phone: str | None = None) -> bytes:
    body = Removal(circle=circle, org=org, person=who, device=phone, reason="left the project")
    return world.sign(world.net, "removal", body, author)


def test_a_quorum_of_the_old_and_of_the_new_admins_changes_a_circle() -> None:
    world, circle = circled()
    named = (Named(org="Aurora", person="ada"), Named(org="Aurora", person="al"))
    changes = {"orgs": ("Beacon",), "people": named, "admins": THREE}
    with pytest.raises(RefusedError, match="2 distinct admins, got 1"):
        world.add(world.successor(circle, "ada", "al", **changes))
    world.add(world.successor(circle, "ada", "bo", **changes))
    assert world.view.rules(circle).admins == THREE
    assert names(world, circle) == ["ada", "ada", "al", "bo"]
    without_al = world.successor(circle, "al", "bo", people=named[:1], admins=(THREE[0], THREE[2]))
    with pytest.raises(RefusedError, match="2 distinct admins, got 1"):
        world.add(without_al)  # a quorum of the three, but not of the two that would be left


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"terms": "1" * 64}, "the same terms"),
        ({"version": 3}, "version 2, got 3"),
        ({"previous": "1" * 64}, "version 2 after"),
        ({"people": (Named(org="Nowhere", person="x"),)}, "Nowhere, which is not in it"),
        ({"pledges": ()}, "one pledge or more"),
        ({"log": log_key("another").public}, "with the last checkpoint by the old one"),
    ],
)
def test_a_version_that_does_not_follow_is_refused(changes: dict[str, object], why: str) -> None:
    world, circle = circled()
    with pytest.raises(DarkLanternError, match=why):
        world.add(world.successor(circle, "ada", "bo", **changes))


def test_a_circles_log_moves_with_its_last_checkpoint() -> None:
    world, circle = circled()
    final = sign_head(world.view.trail(circle), circle, log_key("keeper"), NOW).note
    world.add(world.successor(circle, "ada", "bo", moving=log_key("another").public))
    world.add(world.successor(circle, "ada", "bo", log=log_key("another").public, final=final, moving=None))
    assert world.view.log_key(circle) == log_key("another").public


def test_two_successors_stop_sealing_until_a_quorum_settles_it() -> None:
    world, circle = circled()
    first, second = (world.successor(circle, "ada", "bo", freshness=n * DAY) for n in (1, 2))
    world.add(first)
    assert "a second version 2" in world.put(encode(second))
    with pytest.raises(RefusedError, match="sealing stops until its quorum settles it"):
        world.plan(circle, "ada")
    world.add(world.successor(circle, "ada", "bo", settles=envelope_id(second)))
    assert world.plan(circle, "ada").epoch


def test_one_admin_removes_and_only_a_quorum_brings_back() -> None:
    world, circle = circled()
    assert "no admin of the circle" in world.put(removal(world, circle, "bo", "al", org="Beacon"))
    assert names(world, circle) == ["ada", "ada", "al", "bo"]
    id = world.add(removal(world, circle, "al", "bo"))
    assert names(world, circle) == ["ada", "ada", "bo"]
    assert "left the project" in effective(world.view.network, circle, NOW).explain(device("al").public.id)
    assert world.plan(circle, "bo").epoch is None  # whoever seals next rotates, and no server said so
    world.add(world.successor(circle, "ada", "bo", restored=(id,)))
    assert names(world, circle) == ["ada", "ada", "al", "bo"]
    with pytest.raises(RefusedError, match="what was restored to stay so"):
        world.add(world.successor(circle, "ada", "bo", restored=()))


def test_one_device_can_be_removed_alone() -> None:
    world, circle = circled()
    world.add(removal(world, circle, "ada", "bo", phone=device("ada's phone").public.id))
    assert effective(world.view.network, circle, NOW).ids == {device(each).public.id for each in ("ada", "al", "bo")}


@pytest.mark.parametrize(
    "order", list(permutations(("ada removes bo", "bo removes al", "al removes ada"))), ids=" ".join
)
def test_p27_concurrent_removals_all_hold_in_any_order(order: tuple[str, ...]) -> None:
    """Each was written before its author had read any other: all three admins are gone, and nothing of it is lost."""
    world = peopled()
    circle = world.circle(admins=THREE)
    orgs = {admin.person: admin.org for admin in THREE}
    written = {
        each: removal(world, circle, who, author, org=orgs[who]) for each in order for author, _, who in [each.split()]
    }
    for each in order:
        world.add(written[each])
    assert names(world, circle) == []


def test_an_epoch_that_is_too_old_is_renewed_before_anything_is_sealed() -> None:
    world, circle = circled()
    world.add(world.successor(circle, "ada", "bo", rotation=DAY))
    kept = frozenset((world.net, circle))
    for now, renewed in ((NOW + DAY, False), (NOW + DAY + 1, True)):
        made = plan(world.view, circle, device("ada").public.id, seeds=world.seeds, kept=kept, now=now)
        assert (made.epoch is None) == renewed


def test_closed_levels_ask_for_more() -> None:
    world = peopled()
    circle = world.circle()
    lax = world.view.rules(circle)
    strict = msgspec.structs.replace(
        lax,
        orgs=(),
        people=(Named(org="Aurora", person="ada"), Named(org="Beacon", person="bo")),
        countersigned=True,
        rotation=30 * DAY,
        retention=90 * DAY,
    )
    for level in ("V3", "V4"):
        terms = new_terms("named", level)
        check_closed(strict, terms)
        for field in ("orgs", "countersigned", "rotation", "retention"):
            with pytest.raises(RefusedError, match="needs"):
                check_closed(msgspec.structs.replace(strict, **{field: getattr(lax, field)}), terms)
    check_closed(lax, new_terms("evals", "V2"))


def test_p28_a_circle_with_a_field_that_is_unknown_here_is_refused() -> None:
    world, circle = circled()
    data = encode(world.view.rules(circle))
    with pytest.raises(DarkLanternError, match="critical"):
        decode(Circle, data.replace(b'{"v":1,', b'{"v":1,"critical":true,', 1))


def test_a_circle_of_named_people_admits_nobody_else() -> None:
    world = peopled()
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    people = (Named(org="Aurora", person="ada"), Named(org="Beacon", person="bo"))
    circle = world.circle(orgs=(), people=people)
    assert names(world, circle) == ["ada", "ada", "bo"]


def test_a_key_that_a_log_has_left_counts_up_to_where_it_left_and_no_further() -> None:
    world, circle = circled()
    final = world.head(circle)
    others = {"log": log_key("another").public, "final": final.note, "moving": None}
    world.add(world.successor(circle, "ada", "bo", moving=log_key("another").public))
    world.add(world.successor(circle, "ada", "bo", **others))
    assert world.view.key_of(circle, final.note) == log_key("keeper").public
    data, _ = world.post(circle, "ada")
    world.add(data, circle)
    later = world.head(circle).note  # the old keeper goes on signing
    assert world.view.key_of(circle, later) == log_key("another").public
    with pytest.raises(LogError):
        read_head(later, circle, log_key("another").public)
