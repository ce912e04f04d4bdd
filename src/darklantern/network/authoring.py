"""Writing records: the fields that every kind shares, and the signatures.

In: a body and keys. Out: the bytes of an envelope. It decides nothing: what it writes is judged like
anybody else's.
"""

import msgspec

from darklantern.network.clock import text
from darklantern.network.reading import Body
from darklantern.network.view import View
from darklantern.records.exact import encode
from darklantern.records.record import NOBODY, Kind, Record, Seen
from darklantern.sealing import Device, Envelope, payload_type, sign


def authored(
    view: View, log: str, kind: Kind, body: Body, device: Device, after: tuple[int, str] | None, now: int
) -> bytes:
    """A record by one device, as the next of its chain. `after` is (seq, id) of its last one in this log."""
    trails = {view.net: view.trail(view.net), log: view.trail(log)}
    record = Record(
        net=view.net,
        log=log,
        kind=kind,
        author_device=device.public.id,
        seq=after[0] + 1 if after else 0,
        prev=after[1] if after else NOBODY,
        seen={name: trail.seen() for name, trail in trails.items()},
        time=text(now),
        body=msgspec.Raw(encode(body)),
    )
    return encode(sign(payload_type(kind), encode(record), [device.signing]))


def drafted(net: str, kind: Kind, body: Body, now: int) -> Envelope:
    """A record for several signers, with no signature yet. The network's own log holds all such kinds."""
    record = Record(
        net=net,
        log=net,
        kind=kind,
        author_device=NOBODY,
        seq=0,
        prev=NOBODY,
        seen=dict[str, Seen](),
        time=text(now),
        body=msgspec.Raw(encode(body)),
    )
    return Envelope(payload_type=payload_type(kind), payload=encode(record), signers=())
