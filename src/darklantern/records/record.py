"""The record: what every signed payload is, whatever its kind.

Bodies of the kinds that embed public keys (roster, manifest, circle …) live in `network`, because
this room may not import `sealing`. Here a body is its exact bytes, untouched.
"""

from typing import Annotated, Final, Literal

import msgspec

from darklantern.records.exact import Sha256, Time, Value

Kind = Literal[
    # in the network's own log
    "roster", "org", "circle", "breach", "commitment", "pledge", "removal", "notice", "vouch",
    # in a circle's
    "epoch", "handover", "item", "post", "tombstone", "receipt",
]  # fmt: skip

NOBODY: Final = "0" * 64
"""In place of a device: the record has several signers. In place of an id: there is nothing before it."""


class Seen(Value, frozen=True, kw_only=True):
    """How far the author had read a log: its first `size` entries, which have this Merkle root."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    root: Sha256


class Record(Value, frozen=True, kw_only=True):
    """The payload of an envelope.

    `seq` and `prev` chain the records of one device within one log. Kinds with several signers have
    no one device: they chain by the version and the previous id in their body.
    """

    v: Literal[1] = 1
    net: Sha256
    """the network: the id of its first roster's envelope; in that roster itself, `NOBODY`"""
    log: Sha256
    """the network's id for its own log, or the id of a circle's record"""
    kind: Kind
    author_device: Sha256
    seq: Annotated[int, msgspec.Meta(ge=0)]
    prev: Sha256
    """the envelope id of this device's record before this one in this log"""
    seen: dict[Sha256, Seen]
    """log → how far the author had read it"""
    time: Time
    """informs people and decides nothing"""
    body: msgspec.Raw
