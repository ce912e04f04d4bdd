"""Keys, sealed files and signatures.

In: bytes and keys. Out: age v1 files that only post-quantum hybrid recipients open, and DSSE
envelopes whose kind fixes their signatures. This room never reads or writes a file of its own, never
chooses who may read or sign, and never takes a nonce or a file key from a caller.
"""

from darklantern.sealing.age import open, seal
from darklantern.sealing.envelope import (
    SUITES,
    Envelope,
    Signature,
    Signer,
    Suite,
    add_signature,
    decode_envelope,
    envelope_id,
    kind_of,
    pae,
    payload_type,
    sign,
    verify,
)
from darklantern.sealing.hybrid import Identity, Recipient, recipient_of
from darklantern.sealing.keys import Device, DevicePublic
from darklantern.sealing.relay_keys import RelayCard, RelayKey, RelayPublic
from darklantern.sealing.signing import LogKey, LogVerifyKey, SigningKey, VerifyKey
from darklantern.sealing.witness_keys import WitnessKey, WitnessVerifyKey

__all__ = [
    "SUITES",
    "Device",
    "DevicePublic",
    "Envelope",
    "Identity",
    "LogKey",
    "LogVerifyKey",
    "Recipient",
    "RelayCard",
    "RelayKey",
    "RelayPublic",
    "Signature",
    "Signer",
    "SigningKey",
    "Suite",
    "VerifyKey",
    "WitnessKey",
    "WitnessVerifyKey",
    "add_signature",
    "decode_envelope",
    "envelope_id",
    "kind_of",
    "open",
    "pae",
    "payload_type",
    "recipient_of",
    "seal",
    "sign",
    "verify",
]
