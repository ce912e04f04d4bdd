"""What a log's records need of blobs, and what they stop needing.

In: records, and a view before and after them. Out: names. An item or a post needs its pieces from when it stands in
the log; no longer once a tombstone that counts has buried it, or its epoch is past what the circle keeps.
"""

from collections.abc import Iterator

from darklantern.network.items import Sealed
from darklantern.network.reading import Read
from darklantern.network.retaining import past_retention
from darklantern.network.view import View
from darklantern.relay.stores import Drop


def names_of(read: Read) -> tuple[str, ...]:
    """The blobs that a record needs."""
    return _pieces(read.body) if isinstance(read.body, Sealed) else ()


def buried(before: View, after: View, log: str) -> tuple[Drop, ...]:
    """What the entries of a circle's log between these two views have taken back."""
    old, new = before.circles.get(log), after.circles.get(log)
    if new is None or len(new.buried) == (len(old.buried) if old else 0):
        return ()
    fresh = [entry for id, entry in new.buried.items() if old is None or id not in old.buried]
    return tuple(Drop(log, _pieces(entry.body)) for entry in fresh)


def outlived(view: View, log: str, now: int) -> Iterator[tuple[str, Drop]]:
    """Each epoch that is past its circle's retention, and what was sealed to it and is not buried."""
    circle, rules = view.circles.get(log), view.network.circle(log)
    if circle is None or rules is None:
        return
    for epoch in sorted(past_retention(circle, rules, now)):
        entries = (entry for entry in circle.entries.values() if entry.body.header.epoch == epoch)
        yield epoch, Drop(log, tuple(name for entry in entries for name in _pieces(entry.body)))


def _pieces(body: Sealed) -> tuple[str, ...]:
    return (*body.pieces, *body.attached)
