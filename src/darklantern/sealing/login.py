"""What a device signs to log in at a relay, or a relay at another.

In: ids and numbers. Out: the bytes that are signed, or an error. Each field is preceded by its length, so that no two
log-ins have the same bytes; and they begin with a label that nothing else signed by these keys begins with.
"""

import struct
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from darklantern.errors import SignatureError

LABEL: Final = b"dl-auth-v1"
NONCE_BYTES: Final = 32
TOKEN_S: Final = 600
"""How long a log-in lasts at most, in seconds."""


def login_message(net: str, relay: str, nonce: bytes, device: str, expires: int) -> bytes:
    """The bytes that `device` signs for a token of `relay` until `expires`, in seconds since 1970."""
    fields = (LABEL, bytes.fromhex(net), bytes.fromhex(relay), nonce, bytes.fromhex(device), struct.pack(">Q", expires))
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def verify_login(auth: bytes, signature: bytes, message: bytes) -> None:
    """Raises SignatureError unless the auth key `auth` signed exactly `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(auth).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(
            "expected a log-in signed by the auth key of that device, for this relay and network, got another",
            hint="ask for a new nonce, and compare the relay's id with the one you were given",
        ) from error
