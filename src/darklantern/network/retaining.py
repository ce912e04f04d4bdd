"""Which epochs have reached the end of what a circle keeps.

In: what a circle's log and record say, and a time. Out: epochs whose seeds are to be destroyed, and with them the
pieces of what was sealed to them. It binds whoever keeps to it: a relay or a member that stores everything undoes it.
"""

from darklantern.network.circles import Circle
from darklantern.network.clock import seconds
from darklantern.network.states import CircleState


def past_retention(circle: CircleState, rules: Circle, now: int) -> frozenset[str]:
    """The ids of the epochs that ended more than the circle's retention ago. An epoch ends when the next one begins."""
    if rules.retention is None:
        return frozenset()
    following = zip(circle.epochs, circle.epochs[1:], strict=False)
    return frozenset(epoch.id for epoch, later in following if seconds(later.body.as_of) + rules.retention <= now)
