"""The keys of a library, its card, and the network that it belongs to.

In: calls. Out: values, and what is to be handed to others. Each call decides on frozen values and then writes once. It
serves a library that belongs to no network yet, too.
"""

from typing import final

from darklantern.library import joining
from darklantern.library.desk import Desk
from darklantern.library.own import RootRole
from darklantern.network.cards import Card, Holder
from darklantern.network.invitations import Code, Invitation, Request, Welcome
from darklantern.sealing import Envelope, VerifyKey


@final
class Identity:
    """Keys, cards, joining and inviting."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def holder(self) -> Holder:
        """Who holds this device: as their org's manifest says, or before that as they said. Raises RefusedError."""
        return joining.holder_of(self._desk.held)

    @property
    def card(self) -> Card:
        """What to hand to others: public keys, and the holder's word. Raises RefusedError."""
        return joining.card_of(self._desk.held)

    @property
    def roots(self) -> dict[RootRole, VerifyKey]:
        """The newest root key of each role that this library holds."""
        return {role: keys[-1].public for role, keys in self._desk.held.own.roots.items()}

    def add_root(self, role: RootRole) -> VerifyKey:
        """Make a root key: of the network, to sign rosters for one's org; or of the org, to sign its manifests.

        An older one of the same role is kept, so that roots can be rotated: the new counts once a roster names it.
        """
        self._desk.step(joining.with_root(self._desk.held, role))
        return self.roots[role]

    # The network

    @property
    def is_joined(self) -> bool:
        """Whether this library belongs to a network."""
        return joining.is_joined(self._desk.held)

    def join(self, network: Envelope | str) -> str:
        """Join by a network's first roster, or by its id. The id. Raises RefusedError; it is done once, for good.

        Compare the id, in person, with who invited you: nothing that does not descend from it is ever accepted.
        """
        self._desk.step(joining.joined(self._desk.held, network))
        return self._desk.held.view.net

    def invite(self) -> tuple[Code, Invitation]:
        """An invitation, and the code to tell its receiver by another channel. The code is shown nowhere again."""
        state, code, invitation = joining.invited(self._desk.state, self._desk.now())
        self._desk.step(state)
        return code, invitation

    def answer(self, code: Code, invitation: Invitation) -> Request:
        """This library's request to join. Raises RefusedError where code and invitation do not fit."""
        state, request = joining.answered(self._desk.held, code, invitation, self._desk.now())
        self._desk.step(state)
        return request

    def invitation(self, request: Request) -> Invitation:
        """The open invitation that a request answers. Raises RefusedError where there is none."""
        return joining.burnt(self._desk.state, request)[1].invitation

    def accept(self, request: Request) -> Welcome:
        """Take a request that was made with an open invitation's code. Raises RefusedError.

        The invitation is used up by it, right or wrong: one guess, and no more.
        """
        state, found = joining.burnt(self._desk.state, request)
        self._desk.step(state)
        return joining.welcoming(state, found, request, self._desk.now())

    def welcomed(self, welcome: Welcome) -> str:
        """Join by the welcome to this library's own request. The network's id. Raises RefusedError."""
        self._desk.step(joining.welcomed(self._desk.held, welcome))
        return self._desk.held.view.net
