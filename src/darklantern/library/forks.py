"""Where signers contradicted themselves: what froze for it, and the proof.

In: a state. Out: frozen values. A log that signed two histories is frozen for everybody; so is a device that signed two
records at one place. Of two rosters, manifests or circle records that claim to be the newest, a later one settles which
counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from darklantern.library.state import State
from darklantern.network.heads import LogFork
from darklantern.network.states import Fork


@dataclass(frozen=True)
class ForkFound:
    """Two signed things of which only one may exist."""

    kind: Literal["log", "device", "roster", "org", "circle"]
    of: str
    """id of the log, the device or the circle; name of the org; of a roster the network's id"""
    log: str
    """where the two stand"""
    first: str | None = None
    """id of the record that came first; None for a log, whose two checkpoints are in the proof"""
    second: str | None = None
    proof: LogFork | None = None
    """for a log: two signed checkpoints that contradict each other, which anybody can check"""


def forks(state: State) -> tuple[ForkFound, ...]:
    """Every fork that is known here and that nothing has settled."""
    return tuple(_forks(state))


def _forks(state: State) -> Iterator[ForkFound]:
    view, network = state.view, state.view.network
    for log, proof in sorted(view.forks.items()):
        yield ForkFound("log", log, log, proof=proof)
    if network.roster_fork:
        yield _of_records("roster", view.net, view.net, network.roster_fork)
    for org, fork in sorted(network.org_forks.items()):
        yield _of_records("org", org, view.net, fork)
    for circle, fork in sorted(network.circle_forks.items()):
        yield _of_records("circle", circle, view.net, fork)
    for log, frozen in ((view.net, network.frozen), *((id, each.frozen) for id, each in sorted(view.circles.items()))):
        for device, fork in sorted(frozen.items()):
            yield _of_records("device", device, log, fork)


def _of_records(kind: Literal["device", "roster", "org", "circle"], of: str, log: str, fork: Fork) -> ForkFound:
    return ForkFound(kind, of, log, fork.first, fork.second)
