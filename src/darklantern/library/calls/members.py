"""Who belongs to a circle, and what one person signs for that alone: devices, removals, promises.

In: calls. Out: a record in the log, or waiting for its keeper.
"""

from typing import final

from darklantern.library import acting, sharing
from darklantern.library.acting import StandingNotice
from darklantern.library.desk import Desk
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.effective import Effective
from darklantern.network.pledges import Commitment, PledgeText
from darklantern.records.exact import Time


@final
class Members:
    """Members of circles."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def effective(self, circle: str) -> Effective:
        """The members of a circle now, and the reason for every candidate who is not one. By name or id."""
        return self._desk.state.working.effective(self._desk.circle(circle), self._desk.now())

    def rotate(self, circle: str) -> None:
        """Make a new epoch for exactly the effective members now. Raises RefusedError."""
        self._desk.step(sharing.rotate(self._desk.state, self._desk.circle(circle), self._desk.time()))

    def vouch(self, device: str) -> None:
        """Say that another device is one's own, for the circles that ask for it. Raises RefusedError."""
        self._desk.step(acting.vouch(self._desk.state, device, self._desk.now()))

    def hand_over(self, device: str) -> tuple[str, ...]:
        """Give one's own other device the seeds held here. The circles. Raises RefusedError where there is none."""
        state, circles = acting.hand_over(self._desk.state, device, self._desk.now())
        self._desk.step(state)
        return circles

    def give_notice(self, circle: str, device: str | None = None) -> None:
        """Ask a circle's admins to let this device count, because its person has lost all others. By id."""
        self._desk.step(acting.give_notice(self._desk.state, circle, device, self._desk.now()))

    def notices(self) -> tuple[StandingNotice, ...]:
        """The notices that stand in the network's log, and from when on one may vouch."""
        return acting.notices(self._desk.state)

    def vouch_for(self, notice: str) -> None:
        """Vouch, as an admin, for the device that a notice names. Raises RefusedError before 72 hours are over."""
        self._desk.step(acting.vouch_for(self._desk.state, notice, self._desk.now()))

    def remove(self, circle: str, org: str, person: str, reason: str, *, device: str | None = None) -> None:
        """Remove a person, or one device of theirs, from a circle, as an admin. It holds until a quorum restores it.

        Whoever seals next makes a new epoch without them.
        """
        removal = Removal(circle=self._desk.circle(circle), org=org, person=person, device=device, reason=reason)
        self._desk.step(acting.remove(self._desk.state, removal, self._desk.now()))

    def propose(self, commitment: Commitment) -> PledgeText:
        """Put the exact text of a commitment into the network's log. How circles and pledges name it."""
        self._desk.step(acting.propose(self._desk.state, commitment, self._desk.now()))
        return commitment.terms

    def proposed(self, name: str) -> tuple[Commitment, ...]:
        """The versions of a commitment, oldest first: in the network's log, or waiting here for its keeper."""
        return acting.proposed(self._desk.state, name)

    def pledged(self, pledge: PledgeText) -> Time | None:
        """Until when this device's person has signed a pledge, what waits here included; None where they have not."""
        return acting.pledged(self._desk.state, pledge)

    def pledge(self, pledge: PledgeText, until: Time) -> str:
        """Sign a pledge for this device's person, who is bound by it on all devices. Its id. Again renews it."""
        state = acting.pledge(self._desk.state, pledge, until, self._desk.now())
        self._desk.step(state)
        last = state.last(self._desk.state.view.net)
        assert last is not None  # the pledge itself
        return last[1]

    def withdraw(self, pledge: PledgeText) -> str:
        """Take one's pledge back, as of now. The circles that ask for it seal to one no longer. Its id."""
        return self.pledge(pledge, text(self._desk.now()))
