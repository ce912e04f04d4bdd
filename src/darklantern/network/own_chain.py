"""Whether somebody else writes in this device's name.

In: a view, a device, and the ids of all that it has signed, as its own library remembers them. Out: what the logs hold
under its name besides. It stays so for good: a record does not leave its log, and a key that has been in other hands
does not become safe again. A library that has forgotten what it signed must say so itself; nothing here can tell.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from darklantern.network.states import Chains, Fork
from darklantern.network.view import View


@dataclass(frozen=True)
class Foreign:
    """A record under this device's signature that it did not write."""

    log: str
    position: int
    id: str

    def __str__(self) -> str:
        return (
            f"entry {self.position} of log {self.log[:8]}…, {self.id[:16]}…, bears this device's signature and was not "
            "written here: its key is in other hands. Have your org revoke this device, and enrol a new one"
        )


def own_records(view: View, device: str) -> frozenset[str]:
    """The ids of all that the logs hold under this device's signature: where a library that is new to asking starts."""
    return frozenset(each.id for each in _signed(view, device))


def not_written(view: View, device: str, written: Collection[str]) -> tuple[Foreign, ...]:
    """The records of a device in all logs, in their order, that are not among those that it has `written`."""
    return tuple(each for each in _signed(view, device) if each.id not in written)


def _signed(view: View, device: str) -> Iterator[Foreign]:
    yield from _in_log(view, view.net, view.network.chains, view.network.frozen, device)
    for circle in view.circles.values():
        yield from _in_log(view, circle.id, circle.chains, circle.frozen, device)


def _in_log(view: View, log: str, chains: Chains, frozen: Mapping[str, Fork], device: str) -> Iterator[Foreign]:
    for link in chains.get(device) or ():
        yield Foreign(log, link.position, link.id)
    if device in frozen:  # the first of the two is in the chain
        yield Foreign(log, frozen[device].position, frozen[device].second)
