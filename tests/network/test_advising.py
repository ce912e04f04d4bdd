"""What the loss of one person would lock is said before it happens."""

from darklantern.network import Admin, NetworkRoot
from darklantern.network.advising import advice
from network.test_rosters import successor
from network.world import World, circled, founded, key, person

THREE = (Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo"), Admin(org="Aurora", person="al"))


def said(world: World, of: str) -> list[str]:
    network = world.view.network
    orgs = [org.name for org in network.roster.orgs] if network.roster else []
    lines = dict.fromkeys(line for org in orgs for line in advice(world.view, org, set(network.circles)))
    return [line for line in lines if of in line]


def test_a_circle_whose_two_admins_must_both_sign_is_advised_to_name_a_third() -> None:
    world, circle = circled()
    (line,) = said(world, circle[:8])
    assert "all 2 admins" in line and "name at least 3 admins" in line
    world.add(world.successor(circle, "ada", "bo", "al", admins=THREE))
    assert not said(world, circle[:8])


def test_admins_without_a_device_are_none() -> None:
    world, circle = circled()
    world.add(world.successor(circle, "ada", "bo", "al", admins=THREE))
    world.manifest("Beacon")
    assert "all 2 admins who have a device" in said(world, circle[:8])[0]
    world.manifest("Aurora", person("ada", "ada", "ada's phone"))
    assert "found another" in said(world, circle[:8])[0]


def test_orgs_and_networks_of_which_all_must_sign_are_advised_too() -> None:
    world = founded()
    lines = said(world, "roots must sign each manifest")
    assert len(lines) == 3 and all("let 3 people hold roots, of whom 2 sign" in line for line in lines)
    assert not said(world, "each roster")
    roots = tuple(NetworkRoot(org=org, key=key(f"network {org}").public) for org in ("Aurora", "Beacon", "Cairn"))
    world.add(successor(world, "network Aurora", "network Beacon", "network Cairn", roots=roots, threshold=3))
    assert "all 3 orgs with roots" in said(world, "each roster")[0]


def test_the_orgs_and_circles_of_others_are_not_ones_own_matter() -> None:
    world, circle = circled()
    assert all("Aurora: " in line for line in advice(world.view, "Aurora", ()))
    assert list(advice(world.view, "Nobody", {circle})) == said(world, circle[:8])
