"""From bytes to a record: the part of judging that needs no state.

In: the bytes of an envelope. Out: its id, its record and the typed body. Nothing is verified yet.
"""

from dataclasses import dataclass
from typing import Final

from darklantern.errors import DarkLanternError, RecordError, RefusedError
from darklantern.network.circles import Circle, Removal
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.epochs import Epoch
from darklantern.network.handovers import Handover
from darklantern.network.items import Sealed
from darklantern.network.manifests import OrgManifest
from darklantern.network.pledges import Breach, Commitment, Pledge
from darklantern.network.rosters import Roster
from darklantern.network.vouching import Notice, Vouch
from darklantern.records.exact import decode
from darklantern.records.record import NOBODY, Kind, Record
from darklantern.sealing import SUITES, Envelope, decode_envelope, envelope_id, kind_of

Control = Roster | OrgManifest | Circle | Breach
"""Signed by several, in the network's log."""
Personal = Commitment | Pledge | Removal | Notice | Vouch
"""By one device, in the network's log."""
InCircle = Epoch | Handover | Sealed | Tombstone | Receipt
"""By one device, in a circle's log."""
Body = Control | Personal | InCircle

BODIES: Final[dict[Kind, type[Body]]] = {
    "roster": Roster,
    "org": OrgManifest,
    "circle": Circle,
    "breach": Breach,
    "commitment": Commitment,
    "pledge": Pledge,
    "removal": Removal,
    "notice": Notice,
    "vouch": Vouch,
    "epoch": Epoch,
    "handover": Handover,
    "item": Sealed,
    "post": Sealed,
    "tombstone": Tombstone,
    "receipt": Receipt,
}


@dataclass(frozen=True)
class Read:
    """An envelope taken apart. Its signatures have not been looked at."""

    id: str
    envelope: Envelope
    record: Record
    body: Body


def leaf_id(data: bytes) -> str:
    """The id under which a log holds this envelope, whatever its kind. Raises RecordError.

    An entry of an unknown kind still has a place in its log, or a newer darklantern would stop an older one.
    """
    return envelope_id(decode(Envelope, data))


def read(data: bytes) -> Read:
    """The record in an envelope's bytes. Raises RecordError, SignatureError or RefusedError."""
    return take_apart(decode_envelope(data))


def take_apart(envelope: Envelope) -> Read:
    """The same for an envelope that may still lack its signatures: a draft."""
    record = decode(Record, envelope.payload)
    kind = kind_of(envelope.payload_type)
    if record.kind != kind:
        raise RecordError(
            f"expected a {kind} record in a {kind} envelope, got kind {record.kind!r}",
            hint="its signatures were made for another kind; ask the author for the original",
        )
    if SUITES[kind].several and (record.author_device, record.seq, record.prev) != (NOBODY, 0, NOBODY):
        raise RefusedError(
            f"a {kind} has several signers, so it names no author device and no place in a chain",
            hint="it chains by the version and the previous id in its body",
        )
    return Read(envelope_id(envelope), envelope, record, decode(BODIES[record.kind], bytes(record.body)))


def log_of(data: bytes) -> str | None:
    """Which log an envelope belongs to, or None when it does not read as a record."""
    try:
        return decode(Record, decode(Envelope, data).payload).log
    except DarkLanternError:
        return None
