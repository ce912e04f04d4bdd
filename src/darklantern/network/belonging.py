"""Whether somebody is a member of a circle now, and why not.

In: a view, a person and a circle. Out: an answer for each of their devices, as the circle's rules and the network's log
have it. Of one record, `explaining` says who can read it.
"""

from dataclasses import dataclass

from darklantern.network.states import Owner
from darklantern.network.view import View
from darklantern.sealing.fingerprints import brief


@dataclass(frozen=True)
class Belonging:
    """What the logs say about one person and one circle."""

    who: Owner
    circle: str
    called: str
    """what the circle is called here"""
    member: bool
    """whether any device of theirs is a member"""
    reasons: tuple[str, ...]
    """for each device of theirs, or for whoever has none: that it is a member, or why it is not"""

    def lines(self) -> tuple[str, ...]:
        """The answer in words. A line may quote a peer, line breaks and all."""
        org, person = self.who
        is_one = "is a member" if self.member else "is no member"
        return (f"{person} of {org} {is_one} of {self.called} now", *(f"  {reason}" for reason in self.reasons))


def belonging(view: View, who: Owner, circle: str, *, called: str, now: int) -> Belonging:
    """Whether `who` is a member of `circle` at `now`. Raises RefusedError for a circle that no record here founds."""
    found = view.effective(circle, now)
    reasons = [f"device {brief(each.id)} is a member" for each in found.members if (each.org, each.person) == who]
    reasons += [
        f"device {brief(each.device)}: {each.reason}" if each.device else each.reason
        for each in found.excluded
        if each.org == who[0] and each.person in (who[1], None)
    ]
    if not reasons:
        admitted = view.rules(circle).admits(*who)
        never = "no manifest that is here ever listed a device of theirs"
        reasons = [never if admitted else "its rules admit neither them nor their org"]
    return Belonging(who, circle, called, who in found.persons, tuple(reasons))
