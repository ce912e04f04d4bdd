"""The signature envelope: what verifies, and every way in which one must not."""

import hashlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError, RecordError, SignatureError
from darklantern.records import encode
from darklantern.sealing import (
    SUITES,
    Envelope,
    Signature,
    Signer,
    SigningKey,
    VerifyKey,
    add_signature,
    decode_envelope,
    envelope_id,
    kind_of,
    pae,
    payload_type,
    sign,
    verify,
)

ROOTS = sorted((SigningKey.generate() for _ in range(3)), key=lambda key: key.public.id)
KEYS = {key.public.id: key.public for key in ROOTS}
IDS = list(KEYS)
PAYLOAD = b'{"v":1}'
ROSTER = sign(payload_type("roster"), PAYLOAD, ROOTS)
POST = sign(payload_type("post"), PAYLOAD, ROOTS[:1])
EPOCH = sign(payload_type("epoch"), PAYLOAD, ROOTS[:1])


def test_pae_vector_of_the_dsse_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_pae_counts_bytes() -> None:
    assert pae("é", b"\x00 \n") == b"DSSEv1 2 \xc3\xa9 3 \x00 \n"


@given(st.tuples(st.text(), st.binary()), st.tuples(st.text(), st.binary()))
@settings(deadline=None)
def test_pae_is_unambiguous(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    assert (pae(*one) == pae(*other)) == (one == other)


@pytest.mark.parametrize("kind", SUITES)
def test_every_kind_signs_and_verifies_with_its_suite(kind: str) -> None:
    signers = ROOTS if SUITES[kind].several else ROOTS[:1]
    envelope = sign(payload_type(kind), PAYLOAD, signers)
    assert decode_envelope(encode(envelope)) == envelope
    assert verify(envelope, KEYS) == {key.public.id for key in signers}
    assert kind_of(envelope.payload_type) == kind
    for signer in envelope.signers:
        assert tuple(s.algorithm for s in signer.signatures) == SUITES[kind].algorithms


def test_what_decides_about_trust_is_signed_post_quantum() -> None:
    hybrid = {kind for kind, suite in SUITES.items() if suite.algorithms == ("ed25519", "mldsa65")}
    assert hybrid == {"roster", "org", "circle", "breach", "epoch", "pledge", "removal", "notice", "vouch"}
    assert {suite.algorithms for kind, suite in SUITES.items() if kind not in hybrid} == {("ed25519",)}


def test_the_id_names_type_and_payload_not_signatures() -> None:
    assert envelope_id(POST) == hashlib.sha256(pae(POST.payload_type, PAYLOAD)).hexdigest()
    assert envelope_id(sign(payload_type("roster"), PAYLOAD, ROOTS[:1])) == envelope_id(ROSTER)
    assert envelope_id(EPOCH) != envelope_id(POST)


def test_signers_are_sorted_whatever_the_order_of_signing() -> None:
    envelope = sign(payload_type("roster"), PAYLOAD, [ROOTS[2]])
    for key in (ROOTS[0], ROOTS[1]):
        envelope = add_signature(envelope, key)
    assert [signer.keyid for signer in envelope.signers] == IDS
    assert verify(envelope, KEYS) == set(IDS)


# Refused by shape, before any key is looked at


def with_signatures(envelope: Envelope, change: Callable[[tuple[Signature, ...]], tuple[Signature, ...]]) -> Envelope:
    first = msgspec.structs.replace(envelope.signers[0], signatures=change(envelope.signers[0].signatures))
    return msgspec.structs.replace(envelope, signers=(first, *envelope.signers[1:]))


def with_signers(envelope: Envelope, change: Callable[[tuple[Signer, ...]], tuple[Signer, ...]]) -> Envelope:
    return msgspec.structs.replace(envelope, signers=change(envelope.signers))


def with_type(envelope: Envelope, text: str) -> Envelope:
    return msgspec.structs.replace(envelope, payload_type=text)


SHAPES = {
    "no signer": with_signers(ROSTER, lambda s: ()),
    "two signers where one signs": msgspec.structs.replace(EPOCH, signers=ROSTER.signers[:2]),
    "signers out of order": with_signers(ROSTER, lambda s: s[::-1]),
    "a signer twice": with_signers(ROSTER, lambda s: (s[0], *s)),
    "no signatures": with_signatures(EPOCH, lambda s: ()),
    "the post-quantum one is missing": with_signatures(EPOCH, lambda s: s[:1]),
    "the classical one is missing": with_signatures(EPOCH, lambda s: s[1:]),
    "signatures reordered": with_signatures(EPOCH, lambda s: s[::-1]),
    "a signature twice": with_signatures(EPOCH, lambda s: (s[0], *s)),
    "an extra signature on a post": with_signatures(POST, lambda s: s + EPOCH.signers[0].signatures[1:]),
    "unknown kind": with_type(POST, "application/vnd.darklantern.advice.v1+json"),
    "next version": with_type(POST, "application/vnd.darklantern.post.v2+json"),
    "generic type": with_type(POST, "application/json"),
    "a weaker kind": with_type(EPOCH, payload_type("post")),
    "a stronger kind": with_type(POST, payload_type("epoch")),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_wrong_shape_is_refused_in_reading_and_in_verifying(name: str) -> None:
    for judge in (lambda e: verify(e, KEYS), lambda e: decode_envelope(encode(e))):
        with pytest.raises(SignatureError, match=r"^signatures of a|^expected one of the kinds") as caught:
            judge(SHAPES[name])
        assert caught.value.hint


# Refused by the keys


def altered(signature: Signature) -> Signature:
    return msgspec.structs.replace(signature, sig=signature.sig[:-1] + bytes([signature.sig[-1] ^ 1]))


def filed_as(keyid: str) -> VerifyKey:
    return KEYS[IDS[0]] if keyid == IDS[1] else KEYS[keyid]


KEY_FAILURES = {
    "payload altered": (msgspec.structs.replace(ROSTER, payload=b'{"v":2}'), KEYS),
    "moved to another type with the same suite": (with_type(EPOCH, payload_type("pledge")), KEYS),
    "first signature altered": (with_signatures(EPOCH, lambda s: (altered(s[0]), s[1])), KEYS),
    "second signature altered": (with_signatures(EPOCH, lambda s: (s[0], altered(s[1]))), KEYS),
    "one signer of three altered": (with_signatures(ROSTER, lambda s: (s[0], altered(s[1]))), KEYS),
    "another key's signatures under this id": (
        msgspec.structs.replace(ROSTER, signers=(Signer(keyid=IDS[0], signatures=ROSTER.signers[1].signatures),)),
        KEYS,
    ),
    "a listed signer is unknown": (ROSTER, {k: KEYS[k] for k in IDS[:2]}),
    "no key is accepted": (POST, {}),
    "one key filed under two ids": (
        msgspec.structs.replace(
            ROSTER,
            signers=(ROSTER.signers[0], Signer(keyid=IDS[1], signatures=ROSTER.signers[0].signatures)),
        ),
        {keyid: filed_as(keyid) for keyid in IDS},
    ),
}


@pytest.mark.parametrize("name", KEY_FAILURES)
def test_what_the_keys_do_not_confirm_is_refused(name: str) -> None:
    envelope, keys = KEY_FAILURES[name]
    decode_envelope(encode(envelope))  # the shape is right: the keys alone refuse it
    with pytest.raises(SignatureError, match=r"does not verify\n|expected signers among"):
        verify(envelope, keys)


# Refused by exact bytes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"payloadType"', b'{"extra":1,"payloadType"'),
        (b'{"payloadType"', b'{ "payloadType"'),
        (b'{"keyid"', b'{"role":"root","keyid"'),
        (b'"algorithm":"ed25519"', b'"algorithm":"ed448"'),
        (b'"algorithm":"ed25519"', b'"algorithm":"ed25519","algorithm":"ed25519"'),
        (b'"payload":"eyJ2IjoxfQ=="', b'"payload":"eyJ2IjoxfQ"'),
        (b'"payload":"eyJ2IjoxfQ=="', b'"payload":"eyJ2IjoxfR=="'),
        (b'"payload":"eyJ2IjoxfQ==",', b""),
        (IDS[0].encode(), IDS[0].upper().encode()),
        (b"}]}]}", b"}]}]}\n"),
    ],
    ids=[
        "unknown field",
        "white space",
        "unknown field of a signer",
        "unknown algorithm",
        "duplicate key",
        "base64 without padding",
        "base64 with spare bits",
        "missing field",
        "upper-case key id",
        "trailing byte",
    ],
)
def test_other_bytes_are_no_envelope(old: bytes, new: bytes) -> None:
    data = encode(POST)
    assert data.count(old) >= 1 and old != new
    with pytest.raises(RecordError):
        decode_envelope(data.replace(old, new, 1))


@given(st.data())
@settings(deadline=None)
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    original = encode(POST)
    bit = data.draw(st.integers(0, len(original) * 8 - 1))
    damaged = bytearray(original)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DarkLanternError):
        verify(decode_envelope(bytes(damaged)), KEYS)


# Signing


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sign(payload_type("post"), PAYLOAD, []), "expected exactly one signer, got 0"),
        (lambda: sign(payload_type("roster"), PAYLOAD, []), "expected at least one signer, got 0"),
        (lambda: sign(payload_type("post"), PAYLOAD, ROOTS[:2]), "expected exactly one signer, got 2"),
        (lambda: sign(payload_type("roster"), PAYLOAD, [ROOTS[0], ROOTS[0]]), "each once"),
        (lambda: add_signature(ROSTER, ROOTS[1]), "each once"),
        (lambda: add_signature(EPOCH, ROOTS[1]), "expected exactly one signer, got 2"),
        (lambda: sign("text/plain", PAYLOAD, ROOTS), "expected one of the kinds"),
        (lambda: payload_type("advice"), "got 'advice'"),
    ],
)
def test_wrong_calls_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        make()
