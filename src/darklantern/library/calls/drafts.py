"""Drafts as a library's user holds them: made, told in words, signed, published.

In: what is to change. Out: a draft, which several sign in different places; or its record in the log or the outbox.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import final

from darklantern.errors import RefusedError
from darklantern.library import joining, signing
from darklantern.library.desk import Desk
from darklantern.network import changing
from darklantern.network.authoring import drafted
from darklantern.network.cards import Card
from darklantern.network.circles import Circle, Terms, check_circle, check_closed, check_terms
from darklantern.network.drafts import Draft, Tally, is_signed, read_draft, tallies, write_draft
from darklantern.network.pledges import Breach
from darklantern.network.reading import Control
from darklantern.network.rosters import Relay
from darklantern.records.record import NOBODY, Kind
from darklantern.sealing import LogVerifyKey


@final
class Drafts:
    """What several people sign."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def from_bytes(self, data: bytes) -> Draft:
        """The draft in a file. Raises SealError, RecordError or RefusedError."""
        return read_draft(data, self._desk.held.device.receiving)

    def to_bytes(self, draft: Draft) -> bytes:
        """The file for a draft: sealed to its signers where it holds secret terms."""
        return write_draft(draft, joining.network_of(self._desk.held))

    def words(self, draft: Draft) -> tuple[str, ...]:
        """What the draft says and changes, in plain words: to be read before it is signed."""
        return signing.told(self._desk.held, draft)

    def tallies(self, draft: Draft) -> tuple[Tally, ...]:
        """Who has signed the draft, and how many it needs. Raises SignatureError for a signature that is wrong."""
        return tallies(joining.network_of(self._desk.held), draft)

    def is_signed(self, draft: Draft) -> bool:
        """Whether enough have signed the draft to publish it."""
        return is_signed(joining.network_of(self._desk.held), draft)

    def became(self, draft: Draft) -> str | None:
        """What became of the draft where it was published before, in words; None where it was not."""
        return signing.became(self._desk.held, draft)

    def is_spare(self, draft: Draft) -> bool:
        """Whether its file is not needed any more: it was published, or nobody has signed it but this library."""
        return self.became(draft) is not None or not signing.signed_by_others(self._desk.held, draft)

    def sign(self, draft: Draft) -> Draft:
        """The draft, signed by each key of this library that may. Raises RefusedError. Show its `words` first."""
        state, made = signing.signed(self._desk.held, draft)
        self._desk.step(state)
        return made

    def publish(self, draft: Draft) -> str:
        """Put a draft that enough have signed into the network's log, or the outbox; join what it founds. Its id.

        Twice changes nothing. Raises RefusedError.
        """
        self._desk.step(signing.published(self._desk.held, draft))
        return draft.read.id

    def found_network(
        self,
        name: str,
        cards: Iterable[Card],
        *,
        until: int,
        keeper: LogVerifyKey | None = None,
        threshold: int | None = None,
        thresholds: Mapping[str, int] | None = None,
        relays: Iterable[Relay] = (),
    ) -> Draft:
        """The first roster of a network of these cards' holders, whose log `keeper` signs (or this library)."""
        log = keeper or joining.card_of(self._desk.held).log
        if log is None:
            raise RefusedError(
                "this library has no key of logs", hint="make it with --keeper, or name another keeper's card"
            )
        now = self._desk.now()
        body = changing.first_roster(
            name, cards, log=log, until=until, now=now, threshold=threshold, thresholds=thresholds, relays=relays
        )
        return self._draft("roster", body, NOBODY)

    def roster(self, *, keeper: LogVerifyKey | None = None, settle: bool = False, **changes: object) -> Draft:
        """The next roster, with the changes of `network.changing.next_roster`. `keeper` moves the network's log.

        `settle` sets aside the second of two rosters that claim to be the newest.
        """
        network, now = self._desk.state.view.network, self._desk.now()
        if not network.rosters:
            raise RefusedError("there is no roster to change yet", hint="import a bundle of the network first")
        fork = network.roster_fork
        if settle:
            changes["settles"] = _other(fork.second if fork else None)
        if keeper is not None:
            changes |= self._moved(self._desk.state.view.net, keeper)
        return self._draft("roster", changing.next_roster(network.rosters[-1], now=now, **changes))  # type: ignore[arg-type]

    def manifest(
        self,
        org: str,
        *,
        add: Iterable[Card] = (),
        revoke: Iterable[str] = (),
        remove: Iterable[str] = (),
        settle: bool = False,
    ) -> Draft:
        """The next manifest of an org: people and devices to add, devices to revoke, persons to remove."""
        network = joining.network_of(self._desk.state)
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

    def breach(self, breach: Breach) -> Draft:
        """That somebody broke a pledge, or that an earlier record of it no longer holds: for roots to sign."""
        return self._draft("breach", breach)

    def found_circle(self, circle: Circle, terms: Terms) -> Draft:
        """A new circle with these terms: for its admins to sign. Raises RefusedError."""
        check_circle(circle, (*circle.orgs, *(named.org for named in circle.people)))
        check_closed(circle, terms)
        return self._draft("circle", circle, terms=terms)

    def circle(
        self, circle: str, *, keeper: LogVerifyKey | None = None, settle: bool = False, **changes: object
    ) -> Draft:
        """The next version of a circle's record, with other values in these fields. By name or id."""
        state, circle = self._desk.state, self._desk.circle(circle)
        network = state.view.network
        fork = network.circle_forks.get(circle)
        if settle:
            changes["settles"] = _other(fork.second if fork else None)
        if keeper is not None:
            changes |= self._moved(circle, keeper)
        body = changing.next_circle(circle, network.circles[circle][-1], **changes)
        return self._draft("circle", body, terms=state.terms(circle))

    def add_terms(self, circle: str, terms: Terms) -> None:
        """Tell this library the terms of a circle that its user has helped to found. Raises RefusedError."""
        state = self._desk.state
        check_terms(terms)
        if state.view.rules(circle).terms != terms.commitment:
            raise RefusedError(
                "these are not the terms that the circle's admins signed",
                hint="ask the one who drafted the circle for its terms",
            )
        keyring = replace(state.keyring, terms={**state.keyring.terms, circle: terms})
        self._desk.step(replace(state, keyring=keyring))

    def _moved(self, log: str, keeper: LogVerifyKey) -> dict[str, object]:
        """The fields that move a log to another key: first that it will, and once that counts, the last checkpoint."""
        network = self._desk.state.view.network
        record = network.roster if log == self._desk.state.view.net else network.circle(log)
        if record is None or record.moving != keeper:
            return {"moving": keeper}
        head = self._desk.state.view.heads.get(log)
        if head is None:
            raise RefusedError(
                "the log cannot move: it has no checkpoint here", hint="import a bundle of the present keeper first"
            )
        return {"log": keeper, "final": head.note}

    def _draft(self, kind: Kind, body: Control, net: str | None = None, terms: Terms | None = None) -> Draft:
        return Draft(envelope=drafted(net or self._desk.state.view.net, kind, body, self._desk.now()), terms=terms)


def _other(second: str | None) -> str:
    if second is None:
        raise RefusedError("there is no fork to settle", hint="only two versions that contend are settled")
    return second
