"""What a log's records need of blobs, and what they stop needing.

In: a view, before and after records. Out: names. `network.pieces` has the rule: a piece is needed while an item or a
post counts that is its owner's and names it, in an epoch that is not past what the circle keeps.
"""

from collections.abc import Iterator

from darklantern.network.retaining import ended, lives, past_retention
from darklantern.network.view import View
from darklantern.relay.stores import Drop


def needed(view: View, log: str, id: str) -> Iterator[str]:
    """The blobs that the record needs, which stands in the log. None for one that does not count."""
    circle = view.circles.get(log)
    entry = circle.entries.get(id) if circle else None
    if circle is None or entry is None:
        return
    for name in entry.body.names:
        if id in circle.pieces[name].by:
            yield name


def no_longer_needed(before: View, after: View, log: str) -> tuple[Drop, ...]:
    """What the entries of a log between these two views have taken back, or cut off."""
    old, new = before.circles.get(log), after.circles.get(log)
    if new is None or (old and (len(old.buried), len(old.opaque)) == (len(new.buried), len(new.opaque))):
        return ()
    names = ended(old, new)
    return (Drop(log, tuple(sorted(names))),) if names else ()


def outlived(view: View, log: str, now: int) -> Drop:
    """What only records need that were sealed to epochs past their circle's retention."""
    circle, rules = view.circles.get(log), view.network.circle(log)
    if circle is None or rules is None or not (over := past_retention(circle, rules, now)):
        return Drop(log, ())
    sealed = (entry for entry in circle.entries.values() if entry.body.header.epoch in over)
    names = {name for entry in sealed for name in entry.body.names if not lives(circle, name, over)}
    return Drop(log, tuple(sorted(names)))
