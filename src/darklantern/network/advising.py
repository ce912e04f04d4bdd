"""What stands badly without being wrong: circles, orgs and a network that the loss of one person would lock.

In: a view, and whose advice it is. Out: words, the same for as long as it stands. It forbids nothing: a quorum of two
is allowed, and whoever has only two people cannot do better.
"""

from collections.abc import Collection, Iterator

from darklantern.network.states import NetworkState
from darklantern.network.view import View


def advice(view: View, org: str, circles: Collection[str]) -> tuple[str, ...]:
    """What to change before somebody is lost, one sentence each: in the network, in one's org, in one's circles."""
    return (*_network(view.network), *_orgs(view.network, org), *_circles(view.network, circles))


def _network(state: NetworkState) -> Iterator[str]:
    roster = state.roster
    orgs = {root.org for root in roster.roots} if roster else set[str]()
    if roster and roster.threshold == len(orgs):
        yield (
            f"all {len(orgs)} orgs with roots must sign each roster of {roster.name}: if one of them loses its key, "
            f"nothing can be changed any more; lower the threshold, or give another org a root"
        )


def _orgs(state: NetworkState, named: str) -> Iterator[str]:
    for org in state.roster.orgs if state.roster else ():
        if org.name == named and org.threshold == len(org.roots):
            who = "its only root" if len(org.roots) == 1 else f"all {len(org.roots)} of its roots"
            yield (
                f"{org.name}: {who} must sign each manifest; if one is lost, no device can be revoked any more; "
                f"let {max(3, len(org.roots) + 1)} people hold roots, of whom {max(2, org.threshold)} sign"
            )


def _circles(state: NetworkState, named: Collection[str]) -> Iterator[str]:
    for id in sorted(state.circles.keys() & set(named)):
        circle = state.circle(id)
        assert circle is not None  # one that is listed has a version
        able = {owner for owner in _admins(state, id) if _has_device(state, owner)}
        if len(able) < circle.quorum:
            yield (
                f"circle {id[:8]}…: {circle.quorum} of its {len(circle.admins)} admins must sign each version, and "
                f"{len(able)} have a device left: nobody can change it any more; found another"
            )
        elif len(able) == circle.quorum:
            yield (
                f"circle {id[:8]}…: all {len(able)} admins who have a device must sign each version; if one is lost, "
                f"nobody can change it any more; name at least {max(3, len(able) + 1)} admins"
            )


def _admins(state: NetworkState, circle: str) -> Iterator[tuple[str, str]]:
    found = state.circle(circle)
    yield from ((admin.org, admin.person) for admin in (found.admins if found else ()))


def _has_device(state: NetworkState, owner: tuple[str, str]) -> bool:
    """Whether they have a device that can sign for a circle."""
    manifest = state.manifest(owner[0])
    people = manifest.people if manifest else ()
    devices = (device.id for person in people if person.id == owner[1] for device in person.devices)
    return any(state.is_active(device) and device not in state.frozen for device in devices)
