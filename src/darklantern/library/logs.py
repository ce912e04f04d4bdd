"""The logs that a library holds, and what waits to be in them.

In: entries and waiting records. Out: what they say together. What is found once stays with the value: a state that
only learns a key keeps it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

from darklantern.network.carried import Load
from darklantern.network.heads import Head
from darklantern.network.reading import read
from darklantern.network.states import Link
from darklantern.network.view import View, ahead, is_registered
from darklantern.records.record import NOBODY
from darklantern.stores.values import Waiting


@dataclass(frozen=True)
class Ahead:
    """What the logs would say with the records that wait."""

    circles: View
    """with what waits for circles' logs"""
    network: View
    """with what waits for the network's own log, which binds nobody before it is in it"""

    def plus(self, waiting: Waiting) -> "Ahead":
        """The same with one more record."""
        if waiting.log == self.network.net:
            return replace(self, network=ahead(self.network, waiting.log, waiting.envelope))
        return replace(self, circles=ahead(self.circles, waiting.log, waiting.envelope))

    def of(self, log: str) -> View:
        """The view in which that log is ahead."""
        return self.network if log == self.network.net else self.circles


@dataclass(frozen=True, repr=False)
class Logs:
    """Entries, what they say, and the outbox."""

    me: str
    """the id of this library's device"""
    view: View
    entries: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    """log → envelopes in order"""
    outbox: tuple[Waiting, ...] = ()
    """what waits for a relay, or another library, to append it"""

    @cached_property
    def ahead(self) -> Ahead:
        """What all that waits and may still count would say."""
        found = Ahead(self.view, self.view)
        for waiting in self.outbox:
            known = waiting.log == self.view.net or waiting.log in self.view.circles
            if known and waiting.id not in self.overtaken:
                found = found.plus(waiting)
        return found

    @cached_property
    def overtaken(self) -> Mapping[str, str]:
        """Id in the outbox → why this own record cannot count any more as it is."""
        if not self.outbox:
            return {}
        opaque = {(leaf.log, leaf.position): leaf.reason for leaf in self.view.opaque if leaf.belongs}
        found: dict[str, str] = {}
        for waiting in self.outbox:
            if is_registered(self.view, waiting.log, waiting.id):
                place = waiting.log, self.view.trail(waiting.log).own[waiting.id]
                if place in opaque:
                    found[waiting.id] = opaque[place]
                continue
            record = read(waiting.envelope).record
            if record.author_device == self.me and record.seq < len(self.chain(waiting.log)):
                # So it is after a restored backup. It must never leave: it would be the proof that freezes this device.
                found[waiting.id] = "another record of this device stands in its place"
        return found

    @cached_property
    def load(self) -> Load:
        """How much of what waits is carried for others."""
        others = (each.envelope for each in self.outbox if not self.is_own(each))
        return reduce(Load.plus, others, Load())

    def is_own(self, waiting: Waiting) -> bool:
        """Whether this device wrote it; several write a roster, and whoever has it hands it in."""
        return read(waiting.envelope).record.author_device in (self.me, NOBODY)

    def plus(self, waiting: Waiting, load: Load | None = None) -> "Logs":
        """One more record waits, which has its place ahead of its log. `load` is what is carried for others then."""
        logs = replace(self, outbox=(*self.outbox, waiting))
        # All would be found again: judging all that waits for each record more would cost the square of it.
        vars(logs).update(overtaken=self.overtaken, ahead=self.ahead.plus(waiting), load=load or self.load)
        return logs

    def with_heads(self, heads: Mapping[str, Head]) -> "Logs":
        """Other checkpoints over the same entries."""
        logs = replace(self, view=replace(self.view, heads=heads))
        circles, network = (replace(view, heads=heads) for view in (self.ahead.circles, self.ahead.network))
        vars(logs).update(overtaken=self.overtaken, ahead=Ahead(circles, network), load=self.load)
        return logs

    def last(self, log: str) -> tuple[int, str] | None:
        """(seq, id) of this device's last record in a log, waiting ones included."""
        for waiting in reversed(self.outbox):
            if waiting.log != log or waiting.id in self.overtaken:
                continue
            record = read(waiting.envelope).record
            if record.author_device == self.me:
                return record.seq, waiting.id
        chain = self.chain(log)
        return (len(chain) - 1, chain[-1].id) if chain else None

    def chain(self, log: str) -> Sequence[Link]:
        """This device's records in a log, in order."""
        chains = self.view.network.chains if log == self.view.net else self.view.circle(log).chains
        return chains.get(self.me) or ()
