"""Which epoch the next one links to, which it may skip, and from which later ones links lead back to an epoch.

In: what a circle's log says. Out: epochs, or whether one is right. All of it follows from the records alone; whether a
seed really lies in an epoch, only its members can tell.

An epoch carries the seed of the one before. A member can make one whose seed nobody else can open, and everybody who
had to link to it would be locked out of the circle for good. So it may be skipped: then the next epoch links to where
the skipped one linked, and what was sealed to that is closed to newcomers. Who skips gains nothing that a false
link would not have given them, and is seen doing it.
"""

from collections.abc import Iterator

from darklantern.network.circles import Circle
from darklantern.network.clock import seconds
from darklantern.network.effective import Effective
from darklantern.network.epochs import Epoch, needs_link
from darklantern.network.states import CircleState, EpochEntry


def bases(
    circle: CircleState, rules: Circle, members: Effective, author: str, as_of: int, size: int
) -> Iterator[EpochEntry | None]:
    """The epochs that the next one, by `author` as of a time, may stand on: the newest, and behind each that it may
    skip, the one that this links to. None: on none, where there is none, or its seed is due to be destroyed.

    `members` and `size`, of the circle's log, are those of the views that it cites.
    """
    base = circle.epoch
    while base is not None and not _has_ended(circle, rules, base, as_of):
        yield base
        if not _may_skip(circle, base, members.ids, author, size):
            return
        base = circle.find_epoch(base.body.linked) if base.body.linked else None
    yield None


def may_link(circle: CircleState, rules: Circle, members: Effective, author: str, epoch: Epoch, size: int) -> bool:
    """Whether an epoch, next in `circle`, links to where its circle's history policy asks."""
    if (epoch.link is None) != (epoch.linked is None):
        return False
    found = bases(circle, rules, members, author, seconds(epoch.as_of), size)
    return epoch.linked in {wanted_link(rules, base, members) for base in found}


def wanted_link(rules: Circle, base: EpochEntry | None, members: Effective) -> str | None:
    """The epoch whose seed the next one carries if it stands on `base`."""
    persons = base.persons if base else None
    return base.id if base and needs_link(rules.history, persons, members.persons) else None


def holders(circle: CircleState, epoch: str, devices: frozenset[str], size: int) -> frozenset[str]:
    """Those of `devices` who had claimed within the first `size` entries that they hold the epoch's seed.

    By making it, by sealing to it, or by linking to it.
    """
    return frozenset(device for device in devices if circle.shown.get((epoch, device), size) < size)


def leading_back(circle: CircleState, epoch: EpochEntry) -> tuple[EpochEntry, ...]:
    """The epoch, and each later one from which links lead back to it."""
    found = {epoch.id: epoch}
    for later in circle.epochs[epoch.body.number :]:
        if later.body.linked in found:
            found[later.id] = later
    return tuple(found.values())


def reached(circle: CircleState, epoch: EpochEntry) -> frozenset[str]:
    """The devices that were given the seed of an epoch, by itself or through links."""
    return frozenset(device for each in leading_back(circle, epoch) for device in each.members)


def _may_skip(circle: CircleState, epoch: EpochEntry, members: frozenset[str], author: str, size: int) -> bool:
    """Whether nobody who is still a member claims to hold its seed, and the author ought to and says that they do not.

    Or no member ought to: all to whom it was sealed are gone.
    """
    if holders(circle, epoch.id, members, size):
        return False
    return author in epoch.members or not epoch.members & members


def _has_ended(circle: CircleState, rules: Circle, epoch: EpochEntry, as_of: int) -> bool:
    """Whether the seed of an epoch that another has followed is due to be destroyed."""
    following = circle.epochs[epoch.body.number] if epoch.body.number < len(circle.epochs) else None
    return (
        following is not None
        and rules.retention is not None
        and seconds(following.body.as_of) + rules.retention <= as_of
    )
