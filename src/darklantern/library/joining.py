"""Belonging to a network: cards, root keys, joining, invitations.

In: a state. Out: the next state and what goes out, or an error and no step.
"""

import base64
from dataclasses import replace
from typing import Final

from darklantern.errors import RefusedError
from darklantern.library.loading import NET
from darklantern.library.outbox import put
from darklantern.library.own import Answered, Invited, Own, RootRole
from darklantern.library.state import State
from darklantern.library.syncing.remembering import added
from darklantern.network.cards import Card, Holder, check_card
from darklantern.network.clock import seconds, text
from darklantern.network.invitations import (
    Code,
    Invitation,
    Request,
    Welcome,
    answer,
    check_request,
    check_welcome,
    invite,
    new_code,
    welcome,
)
from darklantern.network.states import NetworkState
from darklantern.network.view import View, append
from darklantern.records.exact import decode, encode
from darklantern.records.record import NOBODY
from darklantern.sealing import Envelope, SigningKey, decode_envelope, envelope_id

HOLDER: Final = "holder"
GENESIS: Final = "genesis"
INVITATION_DAYS: Final = 14


def is_joined(state: State) -> bool:
    """Whether the library belongs to a network."""
    return state.view.net != NOBODY


def network_of(state: State) -> NetworkState:
    """What the network's log says; before the first bundle, what the first roster says by which the library joined.

    So that an org can sign its first manifest before there is anybody whose bundle could be believed.
    """
    known = state.view.network
    if known.rosters or GENESIS not in state.settings:
        return known
    return append(View(state.view.net), state.view.net, base64.b64decode(state.settings[GENESIS])).network


def not_joined() -> RefusedError:
    """What to raise where a network is needed."""
    return RefusedError(
        "this library belongs to no network yet: it holds keys, and nothing else",
        hint="join one by an invitation (`darklantern device join`), or found one (`darklantern org found`)",
    )


def holder_of(state: State) -> Holder:
    """Who holds this device: as a manifest says, or else as they said themselves. Raises RefusedError."""
    standing = state.view.network.devices.get(state.device_id)
    if standing is not None:
        return Holder(org=standing.org, person=standing.person, name=standing.name)
    if HOLDER in state.settings:
        return decode(Holder, state.settings[HOLDER].encode())
    raise RefusedError(
        "nobody has said who holds this device", hint="say it when the library is made: `darklantern device new`"
    )


def card_of(state: State) -> Card:
    """What to hand to others. Raises RefusedError."""
    roots = state.own.roots
    card = Card(
        holder=holder_of(state),
        device=state.device.public,
        org_root=roots["org"][-1].public if "org" in roots else None,
        network_root=roots["network"][-1].public if "network" in roots else None,
        log=state.log_key.public if state.log_key else None,
    )
    check_card(card)
    return card


def with_root(state: State, role: RootRole) -> State:
    """The state with a fresh root key. One from before is kept: it signs until what names it is replaced."""
    return _owning(state, roots={**state.own.roots, role: (*state.own.roots.get(role, ()), SigningKey.generate())})


def joined(state: State, network: Envelope | str) -> State:
    """The state in a network: by its first roster, or by that one's id alone. Raises RefusedError.

    Where this library holds the key of the network's log, the roster becomes the first entry.
    """
    if is_joined(state):
        raise RefusedError(
            f"this library belongs to the network {state.view.net} already, and to one for good",
            hint="make another library for another network",
        )
    net = envelope_id(network) if isinstance(network, Envelope) else network
    if len(net) != len(NOBODY) or net == NOBODY or set(net) - set("0123456789abcdef"):
        raise RefusedError(f"expected the id of a network's first roster, got {net!r}", hint="it has 64 hex digits")
    state = replace(state.with_logs(view=View(net)), settings={**state.settings, NET: net})
    if isinstance(network, str):
        return state
    data = encode(network)
    first = append(View(net), net, data)
    if first.network.roster is None:
        raise RefusedError(
            f"this founds no network: {first.opaque[0].reason}", hint="ask for the first roster, with its signatures"
        )
    if state.log_key and first.network.roster.log == state.log_key.public:
        return put(state, net, data)
    return replace(state, settings={**state.settings, GENESIS: base64.b64encode(data).decode()})


def invited(state: State, now: int) -> tuple[State, Code, Invitation]:
    """An open invitation into this library's network. Raises RefusedError."""
    roster = state.view.network.roster
    if roster is None:
        raise RefusedError("there is no roster to invite into yet", hint="import a bundle of the network first")
    code = new_code()
    until = text(now + INVITATION_DAYS * 86_400)
    invitation = invite(code, state.view.net, roster.name, until, card_of(state))
    open_ones = {**state.own.invited, invitation.id: Invited(code=code, invitation=invitation)}
    return _owning(state, invited=open_ones), code, invitation


def answered(state: State, code: Code, invitation: Invitation, now: int) -> tuple[State, Request]:
    """The request to an invitation, and a state that waits for its welcome. Raises RefusedError."""
    if is_joined(state):
        raise RefusedError("this library belongs to a network already", hint="make another library to join another")
    if seconds(invitation.until) <= now:
        raise RefusedError(f"the invitation expired on {invitation.until}", hint="ask for another")
    request = answer(code, invitation, card_of(state))
    return _owning(state, answered=Answered(code=code, invitation=invitation, request=request)), request


def burnt(state: State, request: Request) -> tuple[State, Invited]:
    """The state in which the invitation of a request is used up, whatever comes of it. Raises RefusedError."""
    found = state.own.invited.get(request.invitation)
    if found is None:
        raise RefusedError(
            "no open invitation of this library fits the request: it was never given here, is used, or is burnt",
            hint="an invitation takes one request, right or wrong; invite them anew: `darklantern member invite`",
        )
    left = {id: each for id, each in state.own.invited.items() if id != request.invitation}
    return _owning(state, invited=left), found


def welcoming(state: State, found: Invited, request: Request, now: int) -> Welcome:
    """The answer to a request. Raises RefusedError for one that was not made with the code, or comes too late."""
    check_request(found.code, found.invitation, request)
    if seconds(found.invitation.until) <= now:
        raise RefusedError(f"the invitation expired on {found.invitation.until}", hint="invite them anew")
    genesis = decode_envelope(state.entries[state.view.net][0])
    roster = state.view.network.roster
    relays = (relay.card for relay in (roster.relays if roster else ()))
    return welcome(found.code, found.invitation, request, genesis, relays)


def welcomed(state: State, came: Welcome) -> State:
    """The state that has joined. Raises RefusedError unless the welcome answers this library's own request."""
    waiting = state.own.answered
    if waiting is None:
        raise RefusedError(
            "this library waits for no welcome", hint="answer the invitation first: `darklantern device join`"
        )
    check_welcome(waiting.code, waiting.invitation, waiting.request, came)
    state = _owning(joined(state, came.genesis), answered=None)
    for card in came.relays:
        state = added(state, card)
    return state


def _owning(state: State, **changes: object) -> State:
    own: Own = replace(state.own, **changes)  # type: ignore[arg-type]  # the callers name its fields
    return replace(state, own=own)
