"""What a log has signed: its newest checkpoint, and the proof when two contradict each other.

In: a signed note and a log's entries. Out: a `Head`, or an error. A log never shrinks, and it never
has two histories: the first is refused, the second is kept as a proof that a third party can check.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from darklantern.errors import LogError, SignatureError
from darklantern.logs import checkpoint, merkle
from darklantern.network.notes import Note
from darklantern.network.states import Trail
from darklantern.records.exact import Sha256, Value
from darklantern.sealing import LogKey, LogVerifyKey


@dataclass(frozen=True)
class Head:
    """A log's newest checkpoint: the signed note, and what it says."""

    note: bytes
    size: int
    root: bytes
    time: int


class LogFork(Value, frozen=True, kw_only=True):
    """Two checkpoints that one log signed and that cannot both be true.

    When their sizes differ, `leaves` are the ids that the larger one covers: they give its root, and
    their beginning does not give the smaller one's.
    """

    v: Literal[1] = 1
    log: Sha256
    first: Note
    second: Note
    leaves: tuple[Sha256, ...]


class ForkedLogError(LogError):
    """A log showed two histories. `proof` is to be kept: the log is frozen."""

    def __init__(self, proof: LogFork) -> None:
        super().__init__(
            f"log {proof.log[:8]}… signed two checkpoints that contradict each other: it is frozen",
            hint="nothing of this bundle was imported; the proof is kept: show it to the log's keeper and the others",
        )
        self.proof = proof


def origin(key: LogVerifyKey, log: str) -> str:
    """A log's name in its checkpoints: one for each (key, log), so that a note fits no other log."""
    return f"darklantern/{key.id}/{log}"


def sign_head(trail: Trail, log: str, key: LogKey, now: int) -> Head:
    """The head of a log that this library keeps."""
    root = trail.roots[-1]
    note = checkpoint.sign(checkpoint.Checkpoint(origin(key.public, log), trail.size, root), key, now)
    return Head(note, trail.size, root, now)


def read_head(note: bytes, log: str, key: LogVerifyKey) -> Head:
    """The head in a signed note. Raises LogError or SignatureError unless the log's own key signed it."""
    said, time = checkpoint.verify(note, origin(key, log), key)
    return Head(note, said.size, said.root, time)


def is_by(note: bytes, log: str, key: LogVerifyKey) -> bool:
    """Whether a checkpoint claims to be of this log, by this key. Nothing is verified."""
    return note.startswith(origin(key, log).encode() + b"\n")


class Moving(Protocol):
    """A version of the record that names a log's key: a roster's, or a circle's."""

    @property
    def log(self) -> LogVerifyKey:
        """Who signs the log's checkpoints."""

    @property
    def moving(self) -> LogVerifyKey | None:
        """To whom the log is about to move."""

    @property
    def final(self) -> Note | None:
        """The last checkpoint by the key before, where that is another."""


@dataclass(frozen=True)
class Reign:
    """That a key signs a log's checkpoints: since the one before it ended, until `final`."""

    key: LogVerifyKey
    final: Note | None
    """the last checkpoint by it; None for the newest"""


def reigns(versions: Iterable[Moving]) -> tuple[Reign, ...]:
    """The keys that a log has had, in order."""
    found: list[Reign] = []
    for version in versions:
        if found and version.final is not None:
            found[-1] = Reign(found[-1].key, version.final)
        if not found or version.final is not None:
            found.append(Reign(version.log, None))
    return tuple(found)


def reign_of(note: bytes, log: str, reigns: Sequence[Reign], *, held: bool = False) -> Reign:
    """Under which of a log's keys a checkpoint claims to be. Raises LogError for what is none.

    An earlier key counts up to where the log left it: whoever held the log before the move has no other. One that is
    `held` was taken in before it was known that the key had left, and may cover more.
    """
    said, _ = checkpoint.parse(note)
    for reign in reversed(reigns):
        ended = checkpoint.parse(reign.final)[0].size if reign.final and not held else said.size
        if is_by(note, log, reign.key) and said.size <= ended:
            return reign
    return reigns[-1]  # whose signature is not on it: `read_head` says so


def read_end(log: str, reign: Reign) -> Head:
    """The last checkpoint by a key that a log has left. Raises as `read_head` does."""
    assert reign.final is not None  # only the newest has none
    return read_head(reign.final, log, reign.key)


def check_left(log: str, mine: Trail, held: Head, reign: Reign, theirs: Trail) -> None:
    """Raises ForkedLogError where what is held, signed in this reign, is another history than the one that it ended in.

    `theirs` begins with that one. What was appended beyond it is no fork: it was no longer the log.
    """
    end = read_end(log, reign)
    common = min(mine.size, end.size)
    if mine.roots[common] != theirs.roots[common]:
        leaves = theirs.ids[: end.size] if end.size > mine.size else tuple(mine.ids)
        raise ForkedLogError(LogFork(log=log, first=held.note, second=end.note, leaves=leaves))


def check_ends(log: str, head: Head, reign: Reign, mine: Trail) -> None:
    """Raises ForkedLogError where `head`, of a reign that is over, is no beginning of what is held since."""
    if head.root != mine.roots[head.size]:
        end = read_end(log, reign)
        raise ForkedLogError(LogFork(log=log, first=end.note, second=head.note, leaves=mine.ids[: end.size]))


def check_extends(log: str, head: Head, mine: Trail, held: Head | None, theirs: Trail) -> None:
    """Raises unless `head` covers exactly `theirs`, and `theirs` and what is held are one history.

    `theirs` are the entries that came with `head`; `mine` are those held here, under `held`, by the same key: only one
    key that signs two histories is a fork.
    """
    if held and head.size <= mine.size and head.root != mine.roots[head.size]:
        # The two notes and what is held are proof enough, whatever entries came along.
        raise ForkedLogError(LogFork(log=log, first=held.note, second=head.note, leaves=tuple(mine.ids)))
    if (head.size, head.root) != (theirs.size, theirs.roots[-1]):
        raise LogError(
            f"log {log[:8]}…: expected {head.size} entries under the signed root, got {theirs.size} under another",
            hint="entries were dropped, added, altered or reordered; ask for the bundle again",
        )
    common = min(mine.size, theirs.size)
    if held is None or mine.roots[common] == theirs.roots[common]:
        return
    longer = mine if mine.size > theirs.size else theirs
    raise ForkedLogError(LogFork(log=log, first=held.note, second=head.note, leaves=tuple(longer.ids)))


def proves_fork(fork: LogFork, key: LogVerifyKey) -> bool:
    """Whether `fork` shows, to anyone who knows the log's key, that the log had two histories."""
    try:
        heads = [read_head(note, fork.log, key) for note in (fork.first, fork.second)]
    except (LogError, SignatureError):
        return False
    small, large = sorted(heads, key=lambda head: head.size)
    leaves = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in fork.leaves]
    if small.size == large.size:
        return small.root != large.root
    return merkle.root(leaves) == large.root and merkle.root(leaves[: small.size]) != small.root
