"""A model run as a circuit: a receiver hears its kept senders as they are now, and all others as they are elsewhere.

Part after part, in the order in which they write: its inputs are put together from what was written before, its
queries, keys and values made of them, and what it then writes recorded. Receivers that hear the same are made at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.circuits.circuit import Circuit
from darklantern.methods.patching.held import Held, wrote
from darklantern.methods.patching.wiring import PORTS, Part, Receiver, Sender, Wiring
from darklantern.models.edits import put
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import namespace
from darklantern.models.sites import Site

Elsewhere = Mapping[str, Value]
"""by sender, what is heard of it where its edge is not kept"""


def run_circuit(here: Held, elsewhere: Elsewhere, circuit: Circuit) -> Any:
    """What the model returns on the inputs of `here`, as that circuit.

    Costs for each part a partial run for each set of senders that some of its receivers hear, and one for what it
    writes; and the last run.
    """
    return _Run(here, elsewhere, circuit).output()


@dataclass
class _Run:
    here: Held
    elsewhere: Elsewhere
    circuit: Circuit
    steps: dict[str, tuple[Value | None, Value]] = field(default_factory=dict)
    """of each sender, how it differs from the plain run: as it is now, None for not at all, and elsewhere"""

    def output(self) -> Any:
        wiring = self.here.wiring
        self._note(wiring.senders[0], None)
        for number, part in enumerate(wiring.parts):
            written = self._written(number, part)
            for sender in wiring.of(number):
                site = part.writes if sender.head is None else part.writes.at(head=sender.head)
                self._note(sender, written[site])
        return self.here.ending(self._entering(wiring.end, wiring.receivers[-1]))

    def _note(self, sender: Sender, now: Value | None) -> None:
        plain = self.here.wrote(sender)
        self.steps[sender.name] = (None if now is None else now - plain, self.elsewhere[sender.name] - plain)

    def _written(self, number: int, part: Part) -> Recording:
        receivers = list(self.here.wiring.inputs(number))
        made: dict[bytes, Recording] = {}
        for receiver in receivers:
            heard = self._heard(receiver).tobytes()
            if heard not in made:
                made[heard] = self.here.made(part, self._entering(part.entrance, receiver))
        if not part.heads:
            return made[self._heard(receivers[0]).tobytes()]
        edits: dict[str | Site, Any] = {}
        for port in PORTS:
            site = Site(part.path, port)
            each = [made[self._heard(receiver).tobytes()][site] for receiver in receivers if receiver.port == port]
            edits[site] = put(_by_head(each))
        return self.here.written(part, edits)

    def _heard(self, receiver: Receiver) -> NDArray[np.bool_]:
        """Which senders are kept."""
        wiring = self.here.wiring
        kept: NDArray[np.bool_] = self.circuit.kept[:, wiring.receivers.index(receiver)]
        return kept

    def _entering(self, entrance: Site, receiver: Receiver) -> Value:
        """What comes in there: as in the plain run, and each sender's step."""
        entering, heard = self.here.plain[entrance], self._heard(receiver)
        for place, sender in enumerate(self.here.wiring.upstream(receiver)):
            now, other = self.steps[sender.name]
            if (step := now if heard[place] else other) is not None:
                entering = entering + step
        return entering


def _by_head(each: list[Value]) -> Value:
    """One value, whose heads come from one each."""
    first = each[0]
    if all(other is first for other in each):
        return first
    axis = first.axes.index("head")
    parts = [value.at(head=head).array for head, value in enumerate(each)]
    return replace(first, array=namespace(first.array).stack(parts, axis=axis))


def corrupted(wiring: Wiring, run: Recording) -> Elsewhere:
    """What each sender writes in another run."""
    return {sender.name: wrote(run, wiring, sender) for sender in wiring.senders}


def averaged(wiring: Wiring, run: Recording) -> Elsewhere:
    """What each sender writes on average over another run's examples, position by position."""
    return {name: _like(value, value.mean("batch")) for name, value in corrupted(wiring, run).items()}


def nothing(wiring: Wiring, run: Recording) -> Elsewhere:
    """Zeros."""
    return {name: value * 0 for name, value in corrupted(wiring, run).items()}


def _like(value: Value, mean: Value) -> Value:
    return value * 0 + mean
