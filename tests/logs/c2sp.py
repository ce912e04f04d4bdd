"""Cosignatures written down a second time, straight from the text of c2sp.org/tlog-cosignature, with nothing of ours.

`EXAMPLE_NOTE` and `EXAMPLE_REQUEST` are quoted from the specifications themselves: c2sp.org/tlog-cosignature and
c2sp.org/tlog-witness, by the C2SP maintainers, licensed CC BY 4.0. Nobody published their keys.
"""

import base64
import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

_TEXT = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

"""
_LOG_LINE = (
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE"
    "+xeMcTOAYQ8=\n"
)
EXAMPLE_NOTE = (
    _TEXT + _LOG_LINE + "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
    "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()
EXAMPLE_TIME = 1679315147
"""The time line of the specification's example of what the witness signed."""

EXAMPLE_PROOF = [
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=",
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=",
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=",
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=",
]
EXAMPLE_REQUEST = (
    "old 20852014\n"
    + "".join(line + "\n" for line in EXAMPLE_PROOF)
    + "\n"
    + _TEXT
    + _LOG_LINE
    + "— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv"
    "++qbSzm9Q=\n"
).encode()


def cosigned_message(cosigner: str, time: int, origin: str, size: int, root: bytes) -> bytes:
    """The structure `cosigned_message`, field by field (RFC 8446 presentation language)."""
    message = b"subtree/v1\n\0"
    message += struct.pack("B", len(cosigner.encode())) + cosigner.encode()
    message += struct.pack(">Q", time)
    message += struct.pack("B", len(origin.encode())) + origin.encode()
    message += struct.pack(">Q", 0) + struct.pack(">Q", size) + root
    return message


def line(seed: bytes, cosigner: str, time: int, origin: str, size: int, root: bytes) -> str:
    """A cosignature line of type 0x06 by the ML-DSA-44 key of this seed."""
    key = MLDSA44PrivateKey.from_seed_bytes(seed)
    public = key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(cosigner.encode() + b"\n\x06" + public).digest()[:4]
    signature = key.sign(cosigned_message(cosigner, time, origin, size, root))
    return f"\u2014 {cosigner} {base64.b64encode(key_id + struct.pack('>Q', time) + signature).decode()}\n"


def check(line: str, public: bytes, origin: str, size: int, root: bytes) -> int:
    """The time in a line of type 0x06. Raises InvalidSignature or AssertionError."""
    dash, cosigner, blob64 = line.removesuffix("\n").split(" ")
    blob = base64.b64decode(blob64, validate=True)
    time = int.from_bytes(blob[4:12], "big")
    assert (dash, len(blob)) == ("\u2014", 4 + 8 + 2420)
    assert blob[:4] == hashlib.sha256(cosigner.encode() + b"\n\x06" + public).digest()[:4]
    message = cosigned_message(cosigner, time, origin, size, root)
    MLDSA44PublicKey.from_public_bytes(public).verify(blob[12:], message)
    return time
