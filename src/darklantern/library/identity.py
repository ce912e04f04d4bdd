"""The half of a library that is about who: its keys and card, its network, drafts, pledges, the people of circles.

In: calls. Out: values, and what is to be handed to others. Each call decides on frozen values and then writes once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from darklantern.errors import RefusedError
from darklantern.library import acting, joining, signing
from darklantern.library.acting import StandingNotice
from darklantern.library.own import RootRole
from darklantern.library.state import State
from darklantern.network import changing
from darklantern.network.authoring import drafted
from darklantern.network.cards import Card, Holder
from darklantern.network.circles import Circle, Removal, Terms, check_circle, check_closed
from darklantern.network.clock import text
from darklantern.network.drafts import Draft, Tally, is_signed, read_draft, tallies, write_draft
from darklantern.network.invitations import Code, Invitation, Request, Welcome
from darklantern.network.pledges import Breach, Commitment, PledgeText
from darklantern.network.reading import Control
from darklantern.network.view import View
from darklantern.records.exact import Time
from darklantern.records.record import NOBODY, Kind
from darklantern.sealing import DevicePublic, Envelope, VerifyKey


class Identity(ABC):
    """What `Library` is besides a store of findings. It serves a library that belongs to no network yet, too."""

    _held: State

    @property
    def _state(self) -> State:
        """What is held, for all that needs a network. Raises RefusedError where there is none."""
        if not joining.is_joined(self._held):
            raise joining.not_joined()
        return self._held

    @_state.setter
    def _state(self, state: State) -> None:
        self._held = state

    @abstractmethod
    def _step(self, state: State, pieces: Mapping[str, bytes] | None = None) -> None:
        """Write what is new in `state`, and then hold it."""

    @abstractmethod
    def _circle(self, circle: str) -> str:
        """The id of a circle named by its id or its name."""

    @abstractmethod
    def _time(self) -> int:
        """What the clock says."""

    def _now(self) -> int:
        """The time to judge by."""
        return self._held.now(self._time())

    # Keys and cards

    @property
    def device(self) -> DevicePublic:
        """What others may know of this device. Its org's manifest must list it."""
        return self._held.device.public

    @property
    def holder(self) -> Holder:
        """Who holds this device: as their org's manifest says, or before that as they said. Raises RefusedError."""
        return joining.holder_of(self._held)

    @property
    def card(self) -> Card:
        """What to hand to others: public keys, and the holder's word. Raises RefusedError."""
        return joining.card_of(self._held)

    @property
    def roots(self) -> dict[RootRole, VerifyKey]:
        """The newest root key of each role that this library holds."""
        return {role: keys[-1].public for role, keys in self._held.own.roots.items()}

    def add_root(self, role: RootRole) -> VerifyKey:
        """Make a root key: of the network, to sign rosters for one's org; or of the org, to sign its manifests.

        An older one of the same role is kept, so that roots can be rotated: the new counts once a roster names it.
        """
        self._step(joining.with_root(self._held, role))
        return self.roots[role]

    # The network

    @property
    def is_joined(self) -> bool:
        """Whether this library belongs to a network."""
        return joining.is_joined(self._held)

    def join(self, network: Envelope | str) -> str:
        """Join by a network's first roster, or by its id. The id. Raises RefusedError; it is done once, for good.

        Compare the id, in person, with who invited you: nothing that does not descend from it is ever accepted.
        """
        self._step(joining.joined(self._held, network))
        return self._held.view.net

    def invite(self) -> tuple[Code, Invitation]:
        """An invitation, and the code to tell its receiver by another channel. The code is shown nowhere again."""
        state, code, invitation = joining.invited(self._state, self._now())
        self._step(state)
        return code, invitation

    def answer(self, code: Code, invitation: Invitation) -> Request:
        """This library's request to join. Raises RefusedError where code and invitation do not fit."""
        state, request = joining.answered(self._held, code, invitation, self._now())
        self._step(state)
        return request

    def invitation(self, request: Request) -> Invitation:
        """The open invitation that a request answers. Raises RefusedError where there is none."""
        return joining.burnt(self._state, request)[1].invitation

    def accept(self, request: Request) -> Welcome:
        """Take a request that was made with an open invitation's code. Raises RefusedError.

        The invitation is used up by it, right or wrong: one guess, and no more.
        """
        state, found = joining.burnt(self._state, request)
        self._step(state)
        return joining.welcoming(state, found, request, self._now())

    def welcomed(self, welcome: Welcome) -> str:
        """Join by the welcome to this library's own request. The network's id. Raises RefusedError."""
        self._step(joining.welcomed(self._held, welcome))
        return self._held.view.net

    # Drafts, which several sign

    def read_draft(self, data: bytes) -> Draft:
        """The draft in a file. Raises SealError, RecordError or RefusedError."""
        return read_draft(data, self._held.device.receiving)

    def write_draft(self, draft: Draft) -> bytes:
        """The file for a draft: sealed to its signers where it holds secret terms."""
        return write_draft(draft, joining.network_of(self._held))

    def words(self, draft: Draft) -> tuple[str, ...]:
        """What the draft says and changes, in plain words: to be read before it is signed."""
        return signing.told(self._held, draft)

    def tallies(self, draft: Draft) -> tuple[Tally, ...]:
        """Who has signed the draft, and how many it needs. Raises SignatureError for a signature that is wrong."""
        return tallies(joining.network_of(self._held), draft)

    def is_signed(self, draft: Draft) -> bool:
        """Whether enough have signed the draft to publish it."""
        return is_signed(joining.network_of(self._held), draft)

    def sign(self, draft: Draft) -> Draft:
        """The draft, signed by each key of this library that may. Raises RefusedError. Show its `words` first."""
        state, made = signing.signed(self._held, draft)
        self._step(state)
        return made

    def publish(self, draft: Draft) -> str:
        """Put a draft that enough have signed into the network's log, or the outbox; join what it founds. Its id."""
        self._step(signing.published(self._held, draft))
        return draft.read.id

    def found_network(
        self,
        name: str,
        cards: Iterable[Card],
        *,
        until: int,
        keeper: Card | None = None,
        threshold: int | None = None,
        thresholds: Mapping[str, int] | None = None,
    ) -> Draft:
        """The first roster of a network of these cards' holders, whose log the keeper (or this library) keeps."""
        log = (keeper or self.card).log
        if log is None:
            raise RefusedError("the keeper's card has no log key", hint="make that library with --keeper")
        now = self._now()
        body = changing.first_roster(
            name, cards, log=log, until=until, now=now, threshold=threshold, thresholds=thresholds
        )
        return self._draft("roster", body, NOBODY)

    def draft_roster(self, *, keeper: Card | None = None, settle: bool = False, **changes: object) -> Draft:
        """The next roster, with the changes of `network.changing.next_roster`. `keeper` moves the network's log.

        `settle` sets aside the second of two rosters that claim to be the newest.
        """
        network, now = self._state.view.network, self._now()
        if not network.rosters:
            raise RefusedError("there is no roster to change yet", hint="import a bundle of the network first")
        fork = network.roster_fork
        if settle:
            changes["settles"] = _other(fork.second if fork else None)
        if keeper is not None:
            changes |= self._moved(self.net, keeper)
        return self._draft("roster", changing.next_roster(network.rosters[-1], now=now, **changes))  # type: ignore[arg-type]

    def draft_manifest(
        self,
        org: str,
        *,
        add: Iterable[Card] = (),
        revoke: Iterable[str] = (),
        remove: Iterable[str] = (),
        settle: bool = False,
    ) -> Draft:
        """The next manifest of an org: people and devices to add, devices to revoke, persons to remove."""
        network = joining.network_of(self._state)
        versions = network.manifests.get(org, ())
        fork = network.org_forks.get(org)
        body = changing.next_manifest(
            org,
            versions[-1] if versions else None,
            add=add,
            revoke=revoke,
            remove=remove,
            settles=_other(fork.second if fork else None) if settle else None,
        )
        return self._draft("org", body)

    def draft_breach(self, breach: Breach) -> Draft:
        """That somebody broke a pledge, or that an earlier record of it no longer holds: for roots to sign."""
        return self._draft("breach", breach)

    def found_circle(self, circle: Circle, terms: Terms) -> Draft:
        """A new circle with these terms: for its admins to sign. Raises RefusedError."""
        check_circle(circle, (*circle.orgs, *(named.org for named in circle.people)))
        check_closed(circle, terms)
        return self._draft("circle", circle, terms=terms)

    def draft_circle(
        self, circle: str, *, keeper: Card | None = None, settle: bool = False, **changes: object
    ) -> Draft:
        """The next version of a circle's record, with other values in these fields. By name or id."""
        state, circle = self._state, self._circle(circle)
        network = state.view.network
        fork = network.circle_forks.get(circle)
        if settle:
            changes["settles"] = _other(fork.second if fork else None)
        if keeper is not None:
            changes |= self._moved(circle, keeper)
        body = changing.next_circle(circle, network.circles[circle][-1], **changes)
        return self._draft("circle", body, terms=state.terms(circle))

    def _moved(self, log: str, keeper: Card) -> dict[str, object]:
        """The fields that move a log to a card's key: the key, and the newest checkpoint by the old one."""
        head = self._state.view.heads.get(log)
        if keeper.log is None or head is None:
            raise RefusedError(
                "the log cannot move: the new keeper's card has no log key, or the log has no checkpoint here",
                hint="make the keeper's library with --keeper, and import a bundle of the present keeper",
            )
        return {"log": keeper.log, "final": head.note}

    def _draft(self, kind: Kind, body: Control, net: str | None = None, terms: Terms | None = None) -> Draft:
        return Draft(envelope=drafted(net or self.net, kind, body, self._now()), terms=terms)

    # What one person signs alone

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

    @property
    def net(self) -> str:
        """The network: the id of its first roster's envelope. Raises RefusedError where there is none."""
        return self._state.view.net

    @property
    def view(self) -> View:
        """What the logs say, without what waits in the outbox."""
        return self._state.view


def _other(second: str | None) -> str:
    if second is None:
        raise RefusedError("there is no fork to settle", hint="only two versions that contend are settled")
    return second
