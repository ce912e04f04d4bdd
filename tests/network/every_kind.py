"""A network in which each kind of record stands once or more, and what its logs said before each of them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from darklantern.network import View, append
from darklantern.network.circles import Removal
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.handovers import new_handover
from darklantern.network.pledges import Commitment
from darklantern.network.reading import read
from darklantern.network.states import CircleState, NetworkState
from darklantern.network.vouching import Notice, Vouch
from network.test_pledges import breach
from network.test_rosters import successor
from network.world import NOW, World, circled, device, network_keys


@cache
def _every_kind() -> tuple[World, str]:
    world, circle = circled()
    net, phone = world.net, device("ada's phone").public
    world.add(successor(world, "network Aurora", "network Beacon", name="renamed"))
    world.add(world.sign(net, "commitment", Commitment(name="p", version=1, basis="honour", text="I will."), "ada"))
    recorded = world.add(breach(world, network_keys("Beacon", "Cairn")))
    world.add(breach(world, network_keys("Beacon", "Cairn"), withdraws=recorded))
    world.add(world.successor(circle, "ada", "bo", freshness=24 * 3600))
    world.add(world.sign(net, "notice", Notice(circle=circle, device=phone.id), "ada's phone"))
    world.add(world.sign(net, "vouch", Vouch(device=phone.id), "ada"))
    world.add(world.post(circle, "al", "said before al left")[0], circle)
    gone = Removal(circle=circle, org="Aurora", person="al", reason="left")
    world.add(world.sign(net, "removal", gone, "bo"))
    world.rotate(circle, "ada", NOW + 1)
    post = world.add(world.post(circle, "bo", "to be taken back")[0], circle)
    item = read(world.post(circle, "ada", in_kind="item")[0]).body
    world.add(world.sign(circle, "item", item, "ada"), circle)
    world.add(world.sign(circle, "tombstone", Tombstone(target=post), "bo"), circle)
    world.add(world.sign(circle, "receipt", Receipt(targets=(post,)), "ada"), circle)
    handed = new_handover(circle, phone.id, phone.receiver(), world.seeds)
    world.add(world.sign(circle, "handover", handed, "ada"), circle)
    return world, circle


def every_kind() -> tuple[World, str]:
    """The world, and its circle."""
    world, circle = _every_kind()
    return world.copy(), circle


def step_by_step(world: World) -> Iterator[tuple[View, str, int, bytes]]:
    """Each entry with the view before it: (view, log, position, envelope), the network's log first."""
    view = View(world.net)
    for log in sorted(world.logs, key=lambda log: log != world.net):
        for position, data in enumerate(world.logs[log]):
            yield view, log, position, data
            view = append(view, log, data)


def said(view: View) -> tuple[NetworkState, dict[str, CircleState]]:
    """All that the logs say, without the list of what does not count."""
    circles = {id: replace(state, opaque=CircleState(id).opaque) for id, state in view.circles.items()}
    return replace(view.network, opaque=NetworkState().opaque), circles
