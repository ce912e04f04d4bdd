"""How a model's parts are wired: what adds to the residual stream, who reads it where, and what each reader sees.

Found from the sites that a model has and from what two of its runs held, never from its family: a part reads a sum of
what was written before it, or it is refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.models.sites import Site

EMBED, LOGITS = "embed", "logits"
PORTS = ("q", "k", "v")


@dataclass(frozen=True)
class Part:
    """An attention or an MLP, between the stream and the stream."""

    path: str
    entrance: Site
    """where the stream comes in: the norm before it, or its own input"""
    before: int
    """how many of the parts, in their order, have written what it reads"""
    heads: int = 0
    """query heads; 0 for an MLP"""
    shared: tuple[int, ...] = ()
    """for each query head the key-value head that it reads"""

    @property
    def writes(self) -> Site:
        """What it adds to the stream, of an attention head by head."""
        return Site(self.path, "result" if self.heads else "out")

    @property
    def inner(self) -> tuple[Site, ...]:
        """What is made of its input alone, from which the rest of it follows."""
        return tuple(Site(self.path, port) for port in PORTS) if self.heads else (self.writes,)


@dataclass(frozen=True)
class Sender:
    """What writes into the stream: the embedding, a head, an MLP."""

    name: str
    part: int = -1
    """its place among the parts; -1 for the embedding"""
    head: int | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Receiver:
    """An input of its own: of a head's queries, keys or values, of an MLP, or of the logits."""

    name: str
    part: int
    """its place among the parts, or their number for the logits"""
    port: str = ""
    """q, k or v; empty for an MLP and for the logits"""
    head: int | None = None
    """of keys and values the key-value head"""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Wiring:
    """The parts in the order in which they write, and where the last sum is read."""

    parts: tuple[Part, ...]
    end: Site
    """where everything that was written goes into the logits"""

    @property
    def start(self) -> Site:
        """Where the embedding is read first."""
        return self.parts[0].entrance

    @cached_property
    def senders(self) -> tuple[Sender, ...]:
        """The embedding, then heads and MLPs in the order of their parts."""
        return (Sender(EMBED), *(each for number in range(len(self.parts)) for each in self.of(number)))

    def of(self, number: int) -> Iterator[Sender]:
        """The senders of one part."""
        part = self.parts[number]
        if not part.heads:
            yield Sender(str(part.writes), number)
        for head in range(part.heads):
            yield Sender(str(part.writes.at(head=head)), number, head)

    @cached_property
    def receivers(self) -> tuple[Receiver, ...]:
        """Of each part, in their order; the logits last."""
        return (*(each for number in range(len(self.parts)) for each in self.inputs(number)),
                Receiver(LOGITS, len(self.parts)))  # fmt: skip

    def inputs(self, number: int) -> Iterator[Receiver]:
        """The receivers of one part."""
        part = self.parts[number]
        if not part.heads:
            yield Receiver(f"{part.path}:in", number)
            return
        for port in PORTS:
            for head in range(part.heads if port == "q" else max(part.shared) + 1):
                yield Receiver(str(Site(part.path, port).at(head=head)), number, port, head)

    def upstream(self, receiver: Receiver) -> Sequence[Sender]:
        """Whose writing it reads."""
        before = self._before(receiver)
        return [sender for sender in self.senders if sender.part < before]

    def _before(self, receiver: Receiver) -> int:
        return len(self.parts) if receiver.part == len(self.parts) else self.parts[receiver.part].before

    @cached_property
    def edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Of each edge the place of its sender and of its receiver, as an index into tables of both."""
        there = [[sender.part < self._before(each) for each in self.receivers] for sender in self.senders]
        rows, columns = np.nonzero(np.array(there))
        return rows, columns

    def feeds(self, receiver: Receiver) -> Sequence[Sender]:
        """The senders that are computed from it; none for the logits."""
        if receiver.part == len(self.parts):
            return ()
        shared = self.parts[receiver.part].shared
        mine = list(self.of(receiver.part))
        if receiver.port in ("", "q"):
            return [each for each in mine if each.head == receiver.head]
        return [each for each in mine if shared[each.head or 0] == receiver.head]

    def sender(self, name: str) -> Sender:
        """The sender of that name. Raises MethodError for none."""
        found = next((each for each in self.senders if each.name == name), None)
        if found is None:
            raise MethodError(f"{name} writes nothing into the stream", hint=_some(self.senders))
        return found

    def receiver(self, name: str) -> Receiver:
        """The receiver of that name. Raises MethodError for none."""
        found = next((each for each in self.receivers if each.name == name), None)
        if found is None:
            raise MethodError(f"{name} is no input of its own", hint=_some(self.receivers))
        return found


def brief(name: str) -> str:
    """A sender's or receiver's name as an axis has room for it: `0.h1`, `1.k0`, `1.mlp`."""
    found = re.fullmatch(r"layers\.(\d+)\.(\w+):(\w+?)(?:\[head=(\d+)(?:,(pos=-?\d+))?\])?", name)
    if found is None:
        return name
    layer, part, port, head, pos = found.groups()
    said = part if head is None else f"{'h' if port == 'result' else port}{head}"
    return f"{layer}.{said}" + (f" {pos}" if pos else "")


def _some(names: Sequence[Sender] | Sequence[Receiver]) -> str:
    shown = list(dict.fromkeys([*names[:4], names[-1]]))
    return f"there are {len(names)}, such as {', '.join(map(str, shown))}"
