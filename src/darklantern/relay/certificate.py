"""The TLS certificate of a relay: signed by itself, and pinned by whoever knows the relay.

In: nothing. Out: a certificate and its key as PEM. It names nobody: who is behind it is said in the roster.
"""

import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LASTS: Final = datetime.timedelta(days=3650)
"""Longer than any relay: a pin changes when its keeper says so, and not by time."""


def new_certificate(now: datetime.datetime) -> tuple[bytes, bytes]:
    """A certificate and its secret key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "darklantern relay")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def der(pem: bytes) -> bytes:
    """The certificate as it is pinned."""
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
