"""What a relay has that this library lacks: heads, then the entries between.

In: a remote and a view. Out: parts to judge like a bundle's. Notes are verified before any entry is asked for,
so a relay that does not hold a log's key cannot make anyone download.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from typing import Final

from darklantern.errors import DarkLanternError, LogError, RecordError, SignatureError
from darklantern.library.importing import Parts
from darklantern.library.syncing.remote import Remote
from darklantern.logs import checkpoint
from darklantern.network.heads import Head, origin, read_head
from darklantern.network.merging import Entries, LogCopy, check_not_frozen, merge
from darklantern.network.reading import leaf_id
from darklantern.network.states import Trail
from darklantern.network.view import View, append
from darklantern.sealing import LogVerifyKey

_MOST_UNVERIFIED: Final = 64 * 1024 * 1024
"""bytes of entries that are taken before a key is known that has signed for them"""
_MOST: Final = 1024 * 1024 * 1024
"""bytes of entries of one log that are taken at once: its keeper may sign any size"""
_HEALED_AT_ONCE: Final = 32
"""entries of which a better copy is asked for in one sync: each costs a request"""


@dataclass(frozen=True)
class Pulled:
    """What came of asking. No parts: there is nothing new."""

    parts: Parts | None
    skipped: tuple[str, ...] = ()
    """logs that the relay shows and no accepted record names, or that are frozen"""
    hidden: tuple[str, ...] = ()
    """logs that are held here and that the relay does not show"""
    there: Mapping[str, int] = field(default_factory=dict)
    """log → how many entries the relay showed"""
    failed: Mapping[str, DarkLanternError] = field(default_factory=dict)
    """circle's log → why nothing of it was taken. It keeps nothing back of the others"""


def pull(remote: Remote, view: View, held: Entries, *, clock: int, confirmed: bool) -> Pulled:
    """The parts that are news. Raises RelayError, and LogError, SignatureError or RecordError for the network's log.

    A log of which the relay shows no more than is held gives a copy without entries, whose signed root is
    compared with what is held: so a rollback and a fork show before anything is fetched.
    """
    notes, net = dict(remote.heads()), view.net
    hidden = tuple(sorted(view.heads.keys() - notes.keys()))
    # 1. The network's log, which names the keys of the others.
    if net not in notes:
        if net in view.heads and remote.log_key == view.log_key(net):
            raise LogError(
                f"{remote.name} signs the log of network {net[:8]}… and no longer shows it",
                hint="it lost its store, or withholds everything: ask who runs it",
            )
        return Pulled(None, hidden=hidden)
    check_not_frozen(view, net)
    network = _network(remote, notes.pop(net), view, held)
    named = merge(view, held, [network], kept=_behind(remote, view, [net]), clock=clock, confirmed=confirmed).view
    # 2. Each circle's log under the key that its circle's record names.
    copies, skipped, failed = list[LogCopy](), list[str](), dict[str, DarkLanternError]()
    for log, note in sorted(notes.items()):
        key = named.key_of(log, note)
        if key is None or log in view.forks:
            skipped.append(log)
            continue
        try:
            copies.append(_copy(remote, log, note, key, view, held))
        except (LogError, SignatureError, RecordError) as error:
            failed[log] = error
    there = {copy.log: copy.start + len(copy.entries) for copy in (network, *copies)}
    news = [copy for copy in (network, *copies) if _is_news(copy, view.heads.get(copy.log))]
    if not news:
        return Pulled(None, tuple(skipped), hidden, there, failed)
    logs = (network, *(copy for copy in copies if copy in news))
    parts = Parts(logs, behind=_behind(remote, named, notes.keys() | {net}))
    return Pulled(parts, tuple(skipped), hidden, there, failed)


def _network(remote: Remote, note: bytes, view: View, held: Entries) -> LogCopy:
    """The network's log, whose key may not be known here: of a newcomer, or of a log that has moved.

    A roster among its entries names the key. A newcomer's first entry must be the roster that they pinned, and mostly
    names it; else entries are asked for before the note is verified, up to a bound.
    """
    net = view.net
    known, (said, _) = view.key_of(net, note), checkpoint.parse(note)
    if not view.trail(net).size:
        first = remote.entries(net, 0, 1)[:1]
        if not any(_has_id(data, net) for data in first):
            raise LogError(
                f"expected the network's first roster, {net}, as the first entry of its log at {remote.name}, "
                "got another",
                hint="this relay serves another network, or you pinned another first roster",
            )
        known = append(View(net), net, first[0]).key_of(net, note)
    if known and said.origin == origin(known, net):
        return _copy(remote, net, note, known, view, held)
    # A log that has moved may have been left before the last entries that are held here.
    return LogCopy(net, note, _entries(remote, net, 0, said.size, _MOST_UNVERIFIED))


def _copy(remote: Remote, log: str, note: bytes, key: LogVerifyKey, view: View, held: Entries) -> LogCopy:
    mine, known = view.trail(log), view.heads.get(log)
    head = known if known and known.note == note else read_head(note, log, key)
    if head.size < mine.size and head.root == mine.roots[head.size]:
        return LogCopy(log, note, (), start=head.size)
    better = dict(_better(remote, log, view, held))
    start = min(better, default=mine.size)
    again = [better.get(position, held[log][position]) for position in range(start, mine.size)]
    new = _entries(remote, log, mine.size, head.size)
    ids = [_id(remote, log, position, data) for position, data in enumerate(new, mine.size)]
    if mine.size and (head.size < mine.size or reduce(Trail.append, ids, mine).roots[-1] != head.root):
        # Altered on the way, or another history of the log: only all of what the relay calls it can tell.
        return LogCopy(log, note, _entries(remote, log, 0, head.size))
    return LogCopy(log, note, (*again, *new), start=start)


def _entries(remote: Remote, log: str, start: int, stop: int, most: int = _MOST) -> tuple[bytes, ...]:
    found: list[bytes] = []
    taken = 0
    while (at := start + len(found)) < stop:
        page = remote.entries(log, at, stop)
        if not 0 < len(page) <= stop - at:
            raise LogError(
                f"{remote.name} signed {stop} entries of log {log[:8]}… and gives {len(page)} of those from {at} on",
                hint="it withholds or invents some; try another relay, and tell who runs this one",
            )
        found += page
        taken += sum(map(len, page))
        if taken > most:
            raise LogError(
                f"expected at most {most:,} bytes of log {log[:8]}… of {remote.name} at once, got more",
                hint="take in a bundle of somebody you know first: it brings what is true of it in one file",
            )
    return tuple(found)


def _id(remote: Remote, log: str, position: int, data: bytes) -> str:
    try:
        return leaf_id(data)
    except RecordError as error:
        raise LogError(
            f"{remote.name}: entry {position} of log {log[:8]}… is no envelope: {error.message}",
            hint="it was altered on the way or by the relay; nothing was taken, try again or another relay",
        ) from error


def _better(remote: Remote, log: str, view: View, held: Entries) -> Iterator[tuple[int, bytes]]:
    """Other copies of entries that are not their signer's own, as held here: the id leaves out signatures."""
    opaque = view.network.opaque if log == view.net else view.circles[log].opaque if log in view.circles else ()
    bad = (leaf.position for leaf in opaque if not leaf.belongs)
    mine = view.trail(log)
    for position in islice((place for place in bad if place < mine.size), _HEALED_AT_ONCE):
        page: Sequence[bytes] = remote.entries(log, position, position + 1)
        if len(page) == 1 and page[0] != held[log][position] and _has_id(page[0], mine.ids[position]):
            yield position, page[0]


def _has_id(data: bytes, envelope_id: str) -> bool:
    try:
        return leaf_id(data) == envelope_id
    except RecordError:
        return False


def _behind(remote: Remote, view: View, logs: Sequence[str] | set[str]) -> frozenset[str]:
    """The logs that this relay only mirrors, and may be behind in. The appender never is."""
    return frozenset(log for log in logs if view.log_key(log) != remote.log_key)


def _is_news(copy: LogCopy, held: Head | None) -> bool:
    return bool(copy.entries) or held is None or copy.note != held.note
