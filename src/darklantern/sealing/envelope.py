"""The signature envelope: DSSE over exact bytes, with the signatures that the payload type asks for.

In: a payload type, payload bytes and keys. Out: an `Envelope`, or the ids of the keys that signed.
It never looks into the payload, and never decides whether a signer was allowed to sign.

Departures from DSSE 1.0.2, towards refusing more: the payload type fixes which signatures there
are, each names its algorithm, and one that does not verify is an error, not skipped.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from darklantern.errors import SignatureError
from darklantern.records import Value, decode
from darklantern.records.exact import Sha256
from darklantern.sealing.signing import SigningKey, VerifyKey


class Suite(NamedTuple):
    """Which signatures an envelope carries: these algorithms in this order, by one signer or several."""

    algorithms: tuple[Literal["ed25519", "mldsa65"], ...]
    several: bool


_HYBRID: Final = ("ed25519", "mldsa65")
_CLASSICAL: Final = ("ed25519",)

SUITES: Final[Mapping[str, Suite]] = {
    # Decide who is trusted, and must still bind when Ed25519 has fallen.
    "roster": Suite(_HYBRID, several=True),
    "org": Suite(_HYBRID, several=True),
    "circle": Suite(_HYBRID, several=True),
    "breach": Suite(_HYBRID, several=True),
    "epoch": Suite(_HYBRID, several=False),
    "pledge": Suite(_HYBRID, several=False),
    "removal": Suite(_HYBRID, several=False),
    "notice": Suite(_HYBRID, several=False),
    "vouch": Suite(_HYBRID, several=False),
    # Stand in a log whose checkpoints are post-quantum: a later forgery cannot enter the past.
    "commitment": Suite(_CLASSICAL, several=False),
    "handover": Suite(_CLASSICAL, several=False),
    "tombstone": Suite(_CLASSICAL, several=False),
    "receipt": Suite(_CLASSICAL, several=False),
    "item": Suite(_CLASSICAL, several=False),
    "post": Suite(_CLASSICAL, several=False),
    "bundle": Suite(_CLASSICAL, several=False),
}
"""Record kind → signatures. The only place that says so."""

_TYPE = "application/vnd.darklantern.{}.v1+json"
_KINDS = {_TYPE.format(kind): kind for kind in SUITES}


class Signature(Value, frozen=True, kw_only=True):
    """One algorithm's signature over the PAE."""

    algorithm: Literal["ed25519", "mldsa65"]
    sig: Annotated[bytes, msgspec.Meta(max_length=4096)]


class Signer(Value, frozen=True, kw_only=True):
    """One key's signatures, in the order of its suite."""

    keyid: Sha256
    signatures: tuple[Signature, ...]


class Envelope(Value, frozen=True, kw_only=True):
    """A payload with its signers, sorted by key id. Nothing in it is authentic before `verify`."""

    payload_type: str = msgspec.field(name="payloadType")
    payload: bytes
    signers: tuple[Signer, ...]


def payload_type(kind: str) -> str:
    """The payload type of a record kind: `application/vnd.darklantern.<kind>.v1+json`."""
    if kind not in SUITES:
        raise _unknown_type(kind)
    return _TYPE.format(kind)


def kind_of(payload_type: str) -> str:
    """The record kind that a payload type names. Raises SignatureError for an unknown one."""
    if payload_type not in _KINDS:
        raise _unknown_type(payload_type)
    return _KINDS[payload_type]


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed. Lengths make it unambiguous."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_id(envelope: Envelope) -> str:
    """SHA-256 of the PAE in hex. Signatures do not enter: ML-DSA ones differ each time."""
    return hashlib.sha256(pae(envelope.payload_type, envelope.payload)).hexdigest()


def sign(payload_type: str, payload: bytes, signers: Iterable[SigningKey]) -> Envelope:
    """`payload` signed by each of `signers` with the whole suite of its type. Raises SignatureError."""
    envelope = Envelope(payload_type=payload_type, payload=payload, signers=())
    for signer in signers:
        envelope = add_signature(envelope, signer)
    _check_shape(envelope)
    return envelope


def add_signature(envelope: Envelope, signer: SigningKey) -> Envelope:
    """`envelope` with one more signer. Raises SignatureError when it has signed, or when one is enough.

    It says nothing about the signatures that are there already.
    """
    suite = SUITES[kind_of(envelope.payload_type)]
    message = pae(envelope.payload_type, envelope.payload)
    signatures = tuple(Signature(algorithm=a, sig=signer.sign(a, message)) for a in suite.algorithms)
    added = Signer(keyid=signer.public.id, signatures=signatures)
    signers = tuple(sorted((*envelope.signers, added), key=lambda s: s.keyid))
    signed = msgspec.structs.replace(envelope, signers=signers)
    _check_shape(signed)
    return signed


def decode_envelope(data: bytes) -> Envelope:
    """The envelope in `data`, of a known type and with the right signatures in number and order.

    Raises RecordError or SignatureError. Nothing is verified yet.
    """
    envelope = decode(Envelope, data)
    _check_shape(envelope)
    return envelope


def verify(envelope: Envelope, keys: Mapping[str, VerifyKey]) -> frozenset[str]:
    """The ids of the keys that signed: all that are listed, each with all its signatures.

    `keys` maps key ids to the keys whose word counts here. A listed signer who is not among them, or
    any signature that does not verify, refuses the whole envelope with SignatureError. How many
    signers are enough, and of which orgs, is the caller's rule.
    """
    _check_shape(envelope)
    message = pae(envelope.payload_type, envelope.payload)
    for signer in envelope.signers:
        key = keys.get(signer.keyid)
        # A key filed under another id would let one key count as two signers.
        if key is None or key.id != signer.keyid:
            raise SignatureError(
                f"expected signers among the {len(keys)} accepted keys, got {signer.keyid}",
                hint="the signer may be revoked, or unknown here; sync the org records and try again",
            )
        for signature in signer.signatures:
            key.verify(signature.algorithm, signature.sig, message)
    return frozenset(signer.keyid for signer in envelope.signers)


def _check_shape(envelope: Envelope) -> None:
    """Everything about the signatures that can be judged without a key."""
    kind = kind_of(envelope.payload_type)
    suite = SUITES[kind]
    keyids = [signer.keyid for signer in envelope.signers]
    if not keyids or (len(keyids) > 1 and not suite.several):
        raise _shape(kind, "at least one signer" if suite.several else "exactly one signer", str(len(keyids)))
    if keyids != sorted(set(keyids)):
        raise _shape(kind, "signers sorted by key id, each once", "another order or a repeated signer")
    for signer in envelope.signers:
        got = tuple(signature.algorithm for signature in signer.signatures)
        if got != suite.algorithms:
            raise _shape(kind, " then ".join(suite.algorithms), " then ".join(got) or "none")


def _shape(kind: str, expected: str, got: str) -> SignatureError:
    return SignatureError(
        f"signatures of a {kind} envelope: expected {expected}, got {got}",
        hint="the kind alone decides which signatures there are; ask the sender for the original",
    )


def _unknown_type(got: str) -> SignatureError:
    return SignatureError(
        f"expected one of the kinds {', '.join(SUITES)}, got {got!r}",
        hint="a newer darklantern may know this kind; nothing of an unknown kind is accepted",
    )
