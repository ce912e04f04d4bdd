"""What each record must fit: the logs that it cites, and its device's chain.

In: a record and what is known of its logs. Out: a longer chain, or an error. Two records at one
place of a chain are the proof that a device's key is in two hands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from darklantern.errors import LogError, RefusedError
from darklantern.network.growing import Grown
from darklantern.network.states import Chains, Fork, Link, Trail
from darklantern.records.record import NOBODY, Record
from darklantern.sealing.fingerprints import brief


class BehindError(LogError):
    """A record whose author had read more of a log than is here."""


@dataclass(frozen=True)
class Placed:
    """Where a record stands in its device's chain: chains with it, or the proof of a fork."""

    chains: Chains
    fork: Fork | None = None


def check_seen(record: Record, trails: Mapping[str, Trail], required: frozenset[str]) -> None:
    """Raises unless each cited (log, size, root) is one that these logs had.

    BehindError when the author had read further than this library: the record waits. RefusedError for
    a history that these logs never had, which names its author and proves nothing without a
    signed checkpoint.
    """
    cited = set(record.seen)
    if not required <= cited <= set(trails):
        raise RefusedError(
            f"expected it to cite {len(required)} logs, its own and what it depends on, got {len(cited)}",
            hint="its author must write it again",
        )
    for log, seen in record.seen.items():
        trail = trails[log]
        if seen.size > trail.size:
            raise BehindError(
                f"its author had read {seen.size} entries of log {log[:8]}…, and {trail.size} are here: it waits",
                hint="import a newer bundle; nothing that depends on it can be judged before",
            )
        if trail.roots[seen.size].hex() != seen.root:
            raise RefusedError(
                f"device {brief(record.author_device)} cites a history of log {log[:8]}… that this log never had",
                hint="its author may have been shown another log: compare signed checkpoints with them",
            )


def place(record: Record, envelope_id: str, position: int, chains: Chains, frozen: Mapping[str, Fork]) -> Placed:
    """The chains with this record at their end, or the proof that its device forked.

    Raises RefusedError for a frozen device, a gap, or a record that forgets what its device had read.
    """
    device = record.author_device
    if device in frozen:
        raise RefusedError(
            f"device {brief(device)} signed two records at one place and is frozen",
            hint="its owner must revoke it and enrol a new one",
        )
    chain = chains.get(device) or Grown()
    if record.seq < len(chain) and chain[record.seq].id != envelope_id:
        return Placed(chains, Fork(chain[record.seq].id, envelope_id, position))
    expected = (len(chain), chain[-1].id if chain else NOBODY)
    if (record.seq, record.prev) != expected:
        raise RefusedError(
            f"expected record {expected[0]} of device {brief(device)} after {expected[1][:8]}…, "
            f"got {record.seq} after {record.prev[:8]}…",
            hint="records of this device are missing, or were put in another order",
        )
    if chain and any(record.seen[log].size < seen.size for log, seen in chain[-1].seen.items() if log in record.seen):
        raise RefusedError(
            f"device {brief(device)} cites less of a log than its own record before",
            hint="a device cannot forget what it had read; its store may have been rolled back",
        )
    return Placed(chains.insert(device, chain.plus(Link(position, envelope_id, record.seen))))
