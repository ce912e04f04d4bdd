"""What nobody may miss: forks, frozen devices, removals, broken pledges, and devices that ask to be let in.

In: a state. Out: notifications, each until its log was marked as read; a log that showed two histories is one for good.
"""

from collections.abc import Iterator, Mapping

from darklantern.library import opening
from darklantern.library.opening import Author
from darklantern.library.state import State
from darklantern.library.threads.indexing import person_of
from darklantern.library.threads.notifications import Kind, Notification
from darklantern.network.states import Fork


def alarms(state: State) -> Iterator[Notification]:
    """Those of all logs, in no order that matters."""
    view, network = state.view, state.view.network
    for log in sorted(view.forks):
        yield Notification(f"fork {log}", "fork", log)
    forked = {
        **network.org_forks,
        **network.circle_forks,
        **({"roster": network.roster_fork} if network.roster_fork else {}),
    }
    for name, fork in sorted(forked.items()):
        if not _seen(state, view.net, fork.position):
            yield Notification(f"fork {name} {fork.second}", "fork", view.net)
    yield from _frozen(state, view.net, network.frozen)
    for circle in view.circles.values():
        yield from _frozen(state, circle.id, circle.frozen)
        for epoch in circle.epochs:
            if epoch.body.dropped and not _seen(state, circle.id, epoch.position):
                author = opening.author_by(state, epoch.author)
                if not _is_me(state, author):
                    yield Notification(f"removal {epoch.id}", "removal", circle.id, author=author)
    yield from _recorded(state)


def _recorded(state: State) -> Iterator[Notification]:
    """What stands in the network's log by a record of its own."""
    network, net = state.view.network, state.view.net
    own = state.view.trail(net).own
    records: list[tuple[str, Kind, str]] = [
        *((id, "removal", removal.circle) for id, removal in network.removals.items()),
        *((id, "breach", net) for id in network.breaches),
        *((id, "recovery", notice.circle) for id, (_, notice) in network.notices.items()),
    ]
    for id, kind, log in records:
        if not _seen(state, net, own[id]):
            yield Notification(f"{kind} {id}", kind, log)


def _frozen(state: State, log: str, frozen: Mapping[str, Fork]) -> Iterator[Notification]:
    for device, fork in sorted(frozen.items()):
        if not _seen(state, log, fork.position):
            yield Notification(f"frozen {log} {device}", "frozen", log, author=opening.author_by(state, device))


def _is_me(state: State, author: Author) -> bool:
    me = person_of(state)
    return me is not None and (me.org, me.person) == (author.org, author.person)


def _seen(state: State, log: str, position: int) -> bool:
    mark = state.threads.marks.get(log)
    return mark is not None and position <= mark.position
