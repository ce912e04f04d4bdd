"""Drafts at one of the places where they are signed.

In: a state and a draft. Out: the draft with a signature more, or the state with the record in its log or outbox.
"""

from dataclasses import replace

import msgspec

from darklantern.errors import RefusedError
from darklantern.library.joining import is_joined, joined, network_of
from darklantern.library.outbox import put
from darklantern.library.state import State
from darklantern.network.circles import Circle
from darklantern.network.drafts import Draft, accepted, check_fits, is_signed, tallies
from darklantern.network.manifests import OrgManifest
from darklantern.network.reading import Body
from darklantern.network.rosters import Roster
from darklantern.network.sentences import sentence
from darklantern.network.wording import words
from darklantern.records.exact import encode
from darklantern.sealing import Envelope, SigningKey, add_signature, envelope_id

_SIGNED = "signed "


def told(state: State, draft: Draft) -> tuple[str, ...]:
    """What the draft says and changes, and a warning where signing it could help a fork."""
    body = draft.read.body
    said = words(body, before(state, body), draft.terms)
    name = _place(body)
    other = state.settings.get(_SIGNED + name) if name else None
    if other is not None and other != envelope_id(draft.envelope):
        return (*said, f"WARNING: you signed another {name} before ({other}); if both are published, sealing stops")
    return said


def before(state: State, body: Body) -> Body | None:
    """The newest accepted version of what `body` is a version of."""
    network = network_of(state)
    match body:
        case Roster():
            return network.roster
        case OrgManifest():
            return network.manifest(body.org)
        case Circle():
            return network.circle(body.circle) if body.circle else None
        case _:
            return None


def signed(state: State, draft: Draft) -> tuple[State, Draft]:
    """The draft with a signature by each key of this library that may sign it. Raises RefusedError.

    The signatures that are on it are verified first, so that a spoilt draft is found here and not at the end.
    """
    done = became(state, draft)
    if done is not None:
        raise RefusedError(f"the draft was published before: {done}", hint="nothing is left to sign")
    check_fits(state.view.net, network_of(state), draft)
    tallies(network_of(state), draft)
    body = draft.read.body
    mine = _keys(state)
    may, there = accepted(network_of(state), body), {signer.keyid for signer in draft.envelope.signers}
    keys = [key for key in mine if key.public.id in may]
    if not keys:
        raise RefusedError(
            "no key of this library may sign this draft",
            hint=f"whoever may is named by {_who(body)}; pass the draft on to them",
        )
    keys = [key for key in keys if key.public.id not in there]
    if not keys:
        raise RefusedError("this library has signed the draft already", hint="pass it on, or publish it")
    envelope = _with_signatures(draft.envelope, keys)
    name = _place(body)
    settings = {**state.settings, **({_SIGNED + name: envelope_id(envelope)} if name else {})}
    made = msgspec.structs.replace(draft, envelope=envelope)
    return replace(_with_terms(state, made), settings=settings), made


def published(state: State, draft: Draft) -> State:
    """The state with the record in the network's log, or waiting for its keeper. Raises RefusedError.

    The first roster of a network is joined by publishing it. Twice changes nothing.
    """
    if became(state, draft) is not None:
        return state
    check_fits(state.view.net, network_of(state), draft)
    if not is_signed(network_of(state), draft):
        wanting = "; ".join(str(tally) for tally in tallies(network_of(state), draft) if not tally.enough)
        raise RefusedError(
            f"the draft is not signed by enough: {wanting}",
            hint="pass it on to them; with enough, anybody who can read it publishes it",
        )
    if not is_joined(state):
        return joined(state, draft.envelope)
    return _with_terms(put(state, state.view.net, encode(draft.envelope)), draft)


def became(state: State, draft: Draft) -> str | None:
    """What became of the draft where it was published before, in words; None where nobody did, as far as is known here.

    Its id leaves out signatures, so that it is the same however many have signed.
    """
    read = draft.read
    what = sentence(read.body)
    if any(waiting.id == read.id for waiting in state.outbox):
        return f"it waits here for a sync, or a bundle, to the keeper of the network's log: {what}"
    if is_joined(state) and read.id == state.view.net:
        return f"it founded the network that this library belongs to: {what}"
    position = state.view.trail(state.view.net).own.get(read.id)
    if position is None:
        return None
    reasons = (leaf.reason for leaf in state.view.network.opaque if leaf.position == position)
    refused = next((f"; it does not count: {reason}" for reason in reasons), "")
    return f"it is entry {position} of the network's log: {what}{refused}"


def _with_terms(state: State, draft: Draft) -> State:
    """A circle's id does not depend on who signs, so its terms can be kept before its record counts."""
    body = draft.read.body
    if draft.terms is None or not isinstance(body, Circle):
        return state
    circle = body.circle or envelope_id(draft.envelope)
    return replace(state, keyring=replace(state.keyring, terms={**state.keyring.terms, circle: draft.terms}))


def signed_by_others(state: State, draft: Draft) -> bool:
    """Whether the draft bears a signature that this library could not give again."""
    return bool({signer.keyid for signer in draft.envelope.signers} - {key.public.id for key in _keys(state)})


def _keys(state: State) -> list[SigningKey]:
    return [key for keys in state.own.roots.values() for key in keys] + [state.device.signing]


def _with_signatures(envelope: Envelope, keys: list[SigningKey]) -> Envelope:
    for key in keys:
        envelope = add_signature(envelope, key)
    return envelope


def _place(body: Body) -> str | None:
    """Where only one record may stand."""
    match body:
        case Roster():
            return f"roster version {body.version}"
        case OrgManifest():
            return f"manifest of {body.org} version {body.version}"
        case Circle() if body.circle:
            return f"circle {body.circle} version {body.version}"
        case _:
            return None


def _who(body: Body) -> str:
    match body:
        case Roster():
            return "the roster: the network root of an org"
        case OrgManifest():
            return f"the roster: an org root of {body.org}"
        case Circle():
            return "the circle: an active device of one of its admins"
        case _:
            return "the roster: network roots, or the roots of the person's org"
