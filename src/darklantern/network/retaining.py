"""How long a circle keeps what is in it: epochs past its retention, and the pieces that live or have ended.

In: what a circle's log and record say, and a time. Out: epochs whose seeds are to be destroyed, and the pieces that a
library or a relay is to keep or to drop. It binds whoever keeps to it: a relay or a member that stores everything
undoes it. Whose a piece is: `pieces`.
"""

from collections.abc import Collection, Iterator
from itertools import pairwise

from darklantern.network.circles import Circle
from darklantern.network.clock import seconds
from darklantern.network.states import CircleState


def past_retention(circle: CircleState, rules: Circle, now: int) -> frozenset[str]:
    """The ids of the epochs that ended more than the circle's retention ago. An epoch ends when the next one begins."""
    if rules.retention is None:
        return frozenset()
    return frozenset(
        epoch.id for epoch, later in pairwise(circle.epochs) if seconds(later.body.as_of) + rules.retention <= now
    )


def lives(circle: CircleState, piece: str, forgotten: Collection[str] = ()) -> bool:
    """Whether an entry of the piece's owner that counts needs it, other than those sealed to epochs of `forgotten`."""
    held = circle.pieces.get(piece)
    return held is not None and any(circle.entries[id].body.header.epoch not in forgotten for id in held.by)


def living(circle: CircleState, forgotten: Collection[str] = ()) -> Iterator[str]:
    """All pieces that live, but for those that only entries sealed to epochs of `forgotten` need."""
    return (name for name in circle.pieces if lives(circle, name, forgotten))


def ended(before: CircleState | None, after: CircleState) -> frozenset[str]:
    """The pieces that needed to be kept at some time until `after`, and not any more: taken back, or cut off.

    Where nothing was buried since `before`, it costs nothing.
    """
    if before is after:
        return frozenset()
    known = before.buried if before else {}
    buried = [entry for id, entry in after.buried.items() if id not in known] if after.buried is not known else []
    cut = (before.entries.get(leaf.id) for leaf in after.opaque[len(before.opaque) :]) if before else ()
    gone = (*buried, *(entry for entry in cut if entry is not None))
    return frozenset(name for entry in gone for name in entry.body.names if not lives(after, name))
