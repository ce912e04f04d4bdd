"""What DSSE publishes, against our pre-authentication encoding: signatures made elsewhere verify over our bytes.

Sources: the example in protocol.md, and testvectors/vectors.json, of https://github.com/secure-systems-lab/dsse
(Community Specification License 1.0). The Ed25519 keys are TEST 1 and TEST 2 of RFC 8032, section 7.1.

Our envelope is not theirs (docs/spec/sealing.md): the payload type fixes the signatures, and one that does not verify
refuses all. So their envelopes are not read here, only what is signed is compared, and what they ask to be rejected.
"""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from darklantern.errors import DarkLanternError
from darklantern.sealing import decode_envelope, pae

A = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
)
B = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
)
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'
SIG_A = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
SIG_B = "c1+67/aT0yqEpwx8PsVY3MLHsj9D0CZ014/Fv/QlG59P+9CobUZ7xECJ/V3USG0Ob9CiE5LjReEZUzNF2l7eBw=="

VECTORS = {
    "single-signature": ("application/vnd.in-toto+json", STATEMENT, A, SIG_A),
    "threshold-two-distinct-keys": ("application/vnd.in-toto+json", STATEMENT, B, SIG_B),
    "url-safe-base64": (
        "application/vnd.in-toto+json",
        b"\xfb\xff\xbf\x3e\x3f",
        A,
        "P+/KHICeR7tI6S/YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU/svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw==",
    ),
    "non-ascii-payload-type": (
        "application/vnd.exämple+json",
        STATEMENT,
        A,
        "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw==",
    ),
    "empty-payload": (
        "application/vnd.in-toto+json",
        b"",
        A,
        "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==",
    ),
    "empty-payload-type": (
        "",
        STATEMENT,
        A,
        "iC3q/+3Rm0+lpAJRueDmDh15PnwCfxKmS0NAfKsbv+zgulXQC/WM9trc+j1XEqlwDIg/vf/uNfebeD6sxInrDg==",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_signature_made_elsewhere_verifies_over_our_encoding(name: str) -> None:
    payload_type, payload, key, signature = VECTORS[name]
    key.verify(base64.b64decode(signature), pae(payload_type, payload))


def test_the_payload_type_is_signed() -> None:
    """`payload-type-swapped`."""
    with pytest.raises(InvalidSignature):
        A.verify(base64.b64decode(SIG_A), pae("application/vnd.example.other+json", STATEMENT))


def test_the_example_of_the_protocol() -> None:
    """ECDSA over P-256, r and s end to end, as the page gives key and signature."""
    key = ec.EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        ec.SECP256R1(),
    ).public_key()
    message = pae("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    raw = base64.b64decode("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(signature, message, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    "theirs",
    [
        b'{"payload":"aGVsbG8gd29ybGQ=","payloadType":"http://example.com/HelloWorld","signatures":[{"sig":"A3Jq"}]}',
        b'{"payloadType":"","payload":"","signers":[]}',
        b'{"payloadType":"http://example.com/HelloWorld","payload":"","signers":[]}',
    ],
    ids=["their envelope", "no type", "an unknown type"],
)
def test_what_is_no_envelope_of_ours_is_refused(theirs: bytes) -> None:
    with pytest.raises(DarkLanternError):
        decode_envelope(theirs)
