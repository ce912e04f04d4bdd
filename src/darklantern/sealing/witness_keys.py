"""The key of a witness: cosigns other logs' checkpoints, and nothing else.

In: a checkpoint's message. Out: an ML-DSA-44 signature. It is apart from the key of any log: a log's own line says
"this is my tree", a witness's says "I have seen no other tree of that log", and neither may be taken for the other.

ML-DSA-44 alone, with no Ed25519 beside it: its signed message binds the witness's name, that of an Ed25519
cosignature (type 0x04) does not, and C2SP asks new deployments for it.
"""

from typing import final

from darklantern.sealing.signing import MLDSA44Bytes, PublicKeys, SecretKeys


@final
class WitnessVerifyKey(PublicKeys, frozen=True, kw_only=True):
    """The public half of a `WitnessKey`."""

    mldsa44: MLDSA44Bytes


@final
class WitnessKey(SecretKeys):
    """Cosigns checkpoints that others' logs signed: ML-DSA-44."""

    label = b"darklantern witness key v1\n"
    public_type = WitnessVerifyKey
    __slots__ = ()

    @property
    def public(self) -> WitnessVerifyKey:
        """The half that may be shown to anyone."""
        return WitnessVerifyKey(**self._raw())
