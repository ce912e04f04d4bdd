"""What one person signs alone: for their devices, for others' as an admin, and as a promise.

In: calls. Out: a record in the log, or waiting for its keeper.
"""

from darklantern.library import acting
from darklantern.library.acting import StandingNotice
from darklantern.library.holding import Holding
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.pledges import Commitment, PledgeText
from darklantern.records.exact import Time


class Alone(Holding):
    """What one person signs."""

    def vouch(self, device: str) -> None:
        """Say that another device is one's own, for the circles that ask for it. Raises RefusedError."""
        self._step(acting.vouch(self._state, device, self._now()))

    def hand_over(self, device: str) -> tuple[str, ...]:
        """Give one's own other device the seeds held here. The circles. Raises RefusedError where there is none."""
        state, circles = acting.hand_over(self._state, device, self._now())
        self._step(state)
        return circles

    def give_notice(self, circle: str, device: str | None = None) -> None:
        """Ask a circle's admins to let this device count, because its person has lost all others. By id."""
        self._step(acting.give_notice(self._state, circle, device, self._now()))

    def notices(self) -> tuple[StandingNotice, ...]:
        """The notices that stand in the network's log, and from when on one may vouch."""
        return acting.notices(self._state)

    def vouch_for(self, notice: str) -> None:
        """Vouch, as an admin, for the device that a notice names. Raises RefusedError before 72 hours are over."""
        self._step(acting.vouch_for(self._state, notice, self._now()))

    def remove(self, circle: str, org: str, person: str, reason: str, *, device: str | None = None) -> None:
        """Remove a person, or one device of theirs, from a circle, as an admin. It holds until a quorum restores it.

        Whoever seals next makes a new epoch without them.
        """
        removal = Removal(circle=self._circle(circle), org=org, person=person, device=device, reason=reason)
        self._step(acting.remove(self._state, removal, self._now()))

    def propose(self, commitment: Commitment) -> PledgeText:
        """Put the exact text of a commitment into the network's log. How circles and pledges name it."""
        self._step(acting.propose(self._state, commitment, self._now()))
        return commitment.terms

    def pledge(self, pledge: PledgeText, until: Time) -> str:
        """Sign a pledge for this device's person, who is bound by it on all devices. Its id. Again renews it."""
        state = acting.pledge(self._state, pledge, until, self._now())
        self._step(state)
        last = state.last(self.net)
        assert last is not None  # the pledge itself
        return last[1]

    def withdraw(self, pledge: PledgeText) -> str:
        """Take one's pledge back, as of now. The circles that ask for it seal to one no longer. Its id."""
        return self.pledge(pledge, text(self._now()))
