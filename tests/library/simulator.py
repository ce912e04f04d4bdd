"""A relay in memory, honest until a test says otherwise, in the manner of python-tuf's repository simulator.

It appends by the network's real rules and signs with a real log key. Each way to be hostile is a switch, and what it
does never changes what the honest relay holds: turn the switch off, and it is honest again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from blake3 import blake3
from network.world import NOW

from darklantern.errors import DarkLanternError, RelayError
from darklantern.library.syncing.remote import Posted, Sink
from darklantern.network.heads import sign_head
from darklantern.network.reading import leaf_id
from darklantern.network.states import Trail
from darklantern.network.view import View, admit, append, is_registered
from darklantern.sealing import LogKey, LogVerifyKey

CHUNK = 64 * 1024


@dataclass
class Hostile:
    """What the relay does wrong."""

    dropped: set[tuple[str, int]] = field(default_factory=set)
    """(log, position) of entries that it leaves out of its answers"""
    reordered: set[str] = field(default_factory=set)
    """logs whose entries it gives backwards"""
    replayed: set[tuple[str, int]] = field(default_factory=set)
    """(log, position) where it gives the entry before once more, instead of the one that belongs there"""
    corrupted: dict[tuple[str, int], int] = field(default_factory=dict)
    """(log, position) → which bit of the entry is flipped"""
    corrupted_pieces: dict[str, int] = field(default_factory=dict)
    """piece → which bit is flipped"""
    corrupted_notes: dict[str, int] = field(default_factory=dict)
    """log → which bit of its note is flipped"""
    rolled_back: dict[str, int] = field(default_factory=dict)
    """log → the size that it shows now, freshly signed"""
    frozen_at: dict[str, bytes] = field(default_factory=dict)
    """log → the old note that it goes on showing"""
    withheld: set[str] = field(default_factory=set)
    """logs and pieces that it denies to have"""
    too_much: bool = False
    """more entries than asked, and more bytes than a piece has"""
    nothing: bool = False
    """no entries, no pieces, no logs"""
    breaks_after: int | None = None
    """how many requests it answers before the connection breaks"""
    cuts_pieces_at: int | None = None
    """bytes of a piece after which the connection breaks, once for each piece"""
    dies_when_cut: bool = False
    """does not answer again after that"""
    loses_answers: bool = False
    """appends what it is sent, and breaks off before it says so"""
    refuses_records: bool = False


@dataclass
class RelaySimulator:
    """Implements `Remote`."""

    net: str
    key: LogKey
    name: str = "relay"
    now: int = NOW
    logs: dict[str, list[bytes]] = field(default_factory=dict)
    pieces: dict[str, bytes] = field(default_factory=dict)
    hostile: Hostile = field(default_factory=Hostile)
    log_key: LogVerifyKey = field(init=False)
    connections: int = 3
    view: View = field(init=False)
    asked: list[str] = field(default_factory=list)
    """what was asked of it"""
    given: int = 0
    """bytes of pieces that it gave"""
    _cut: set[str] = field(default_factory=set)
    _notes: dict[tuple[str, bytes, int], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.view = View(self.net)
        self.log_key = self.key.public

    # The side that libraries see

    def heads(self) -> Mapping[str, bytes]:
        self._answer("heads")
        shown: dict[str, bytes] = {}
        for log in self.logs:
            if self.hostile.nothing or log in self.hostile.withheld:
                continue
            trail = self.view.trail(log).first(self.hostile.rolled_back.get(log, self.view.trail(log).size))
            note = self.hostile.frozen_at.get(log) or self._note(log, trail)
            bit = self.hostile.corrupted_notes.get(log)
            shown[log] = note if bit is None else flipped(note, bit)
        return shown

    def entries(self, log: str, start: int, stop: int) -> Sequence[bytes]:
        self._answer(f"entries {start} to {stop} of {log[:8]}")
        if self.hostile.nothing or log in self.hostile.withheld:
            return ()
        stop = min(stop, start + 50)  # a page
        held, hostile, found = self.logs[log], self.hostile, list[bytes]()
        for position in range(start, min(stop, len(held))):
            data = held[position - 1] if (log, position) in hostile.replayed else held[position]
            if (bit := hostile.corrupted.get((log, position))) is not None:
                data = flipped(data, bit)
            if (log, position) not in hostile.dropped:
                found.append(data)
        if log in hostile.reordered:
            found.reverse()
        return found + held[-1:] if hostile.too_much else found

    def missing(self, log: str, names: Collection[str]) -> frozenset[str]:
        self._answer(f"which of {len(names)}")
        return frozenset(names) - self.pieces.keys()

    def get(self, log: str, name: str, start: int, sink: Sink) -> bool:
        self._answer(f"piece {name[:8]} from {start}")
        if self.hostile.nothing or name in self.hostile.withheld or name not in self.pieces:
            return False
        data = self.pieces[name]
        if (bit := self.hostile.corrupted_pieces.get(name)) is not None:
            data = flipped(data, bit)
        if self.hostile.too_much:
            data += bytes(5 * 1024 * 1024)
        for at in range(start, len(data), CHUNK):
            if self.hostile.cuts_pieces_at is not None and at >= self.hostile.cuts_pieces_at and name not in self._cut:
                self._cut.add(name)
                if self.hostile.dies_when_cut:
                    self.hostile.breaks_after = 0
                raise broken()
            part = data[at : at + CHUNK]
            self.given += len(part)
            sink(memoryview(part))
        return True

    def put(self, log: str, name: str, data: bytes) -> None:
        self._answer(f"put {name[:8]}")
        self.pieces[name] = data

    def post(self, log: str, records: Sequence[bytes], pieces: Iterable[bytes]) -> tuple[Posted, ...]:
        self._answer(f"post {len(records)}")
        if self.hostile.refuses_records:
            return tuple(Posted(leaf_id(data), None, "not today") for data in records)
        self.pieces |= {blake3(piece).hexdigest(): piece for piece in pieces}
        answers = tuple(self.append(log, data) for data in records)
        if self.hostile.loses_answers:
            raise broken()
        return answers

    def close(self) -> None:
        pass

    # The side that only tests see

    def append(self, log: str, data: bytes) -> Posted:
        """One record, by the rules that an honest keeper follows."""
        record_id = leaf_id(data)
        if is_registered(self.view, log, record_id):
            return Posted(record_id, self.view.trail(log).ids.index(record_id), None)
        try:
            refused = admit(self.view, log, data)
        except DarkLanternError as error:
            return Posted(record_id, None, error.message)
        self.force(log, data)
        return Posted(record_id, len(self.logs[log]) - 1, refused)

    def force(self, log: str, data: bytes) -> None:
        """Append whatever it is, as a relay can that checks nothing."""
        self.view = append(self.view, log, data)
        self.logs.setdefault(log, []).append(data)

    def forked(self, **sizes: int) -> "RelaySimulator":
        """The same relay showing somebody else another history: from here on the two are apart."""
        twin = RelaySimulator(self.net, self.key, f"{self.name}, to others", self.now)
        twin.pieces, twin._notes = dict(self.pieces), self._notes
        for log in sorted(self.logs, key=lambda log: log != self.net):
            for data in self.logs[log][: sizes.get(log, len(self.logs[log]))]:
                twin.force(log, data)
        return twin

    def mirror(self, name: str = "mirror") -> "Mirror":
        """A relay of another org that has copied this one and appends nothing."""
        return Mirror(self, name)

    def note(self, log: str) -> bytes:
        """What it would sign of a log now."""
        return self._note(log, self.view.trail(log))

    def _note(self, log: str, trail: Trail) -> bytes:
        """Signed once and kept, as a relay does: ML-DSA signatures differ each time."""
        said = (log, trail.roots[-1], self.now)
        if said not in self._notes:
            self._notes[said] = sign_head(trail, log, self.key, self.now).note
        return self._notes[said]

    def _answer(self, request: str) -> None:
        self.asked.append(request)
        if self.hostile.breaks_after is not None:
            if self.hostile.breaks_after <= 0:
                raise broken()
            self.hostile.breaks_after -= 1


class Mirror:
    """Implements `Remote` from a copy of another relay's logs, notes and pieces, taken when told to."""

    log_key = None
    connections = 1

    def __init__(self, of: RelaySimulator, name: str) -> None:
        self.of, self.name = of, name
        self.refresh()

    def refresh(self) -> None:
        self.notes = {log: self.of.note(log) for log in self.of.logs}
        self.logs = {log: list(data) for log, data in self.of.logs.items()}
        self.pieces = dict(self.of.pieces)

    def heads(self) -> Mapping[str, bytes]:
        return self.notes

    def entries(self, log: str, start: int, stop: int) -> Sequence[bytes]:
        return self.logs[log][start:stop]

    def missing(self, log: str, names: Collection[str]) -> frozenset[str]:
        return frozenset(names) - self.pieces.keys()

    def get(self, log: str, name: str, start: int, sink: Sink) -> bool:
        if name in self.pieces:
            sink(memoryview(self.pieces[name])[start:])
        return name in self.pieces

    def put(self, log: str, name: str, data: bytes) -> None:
        raise AssertionError("nothing is sent to who only mirrors")

    def post(self, log: str, records: Sequence[bytes], pieces: Iterable[bytes]) -> tuple[Posted, ...]:
        raise AssertionError("nothing is sent to who only mirrors")

    def close(self) -> None:
        pass


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit other."""
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def broken() -> RelayError:
    return RelayError("the connection broke", hint="try again")
