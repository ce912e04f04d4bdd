"""What a stateless relay keeps: a database by URL, and blobs by URL.

In: entries, checkpoints, nonces, tokens, charges, and ciphertext under its BLAKE3. Out: the same, and a refusal
where two relays would fork a log, spend a nonce twice or pass a quota. It signs nothing, verifies no signature,
knows no circle, and reads no clock: callers say what time it is, in seconds since 1970.
"""

from darklantern.relay.stores.blobs import Blobs, OtherBytesError
from darklantern.relay.stores.database import Database
from darklantern.relay.stores.opening import open_blobs, open_database
from darklantern.relay.stores.piece_tables import SMALL_BYTES
from darklantern.relay.stores.usage_tables import QuotaError
from darklantern.relay.stores.values import (
    Append,
    Charge,
    Commit,
    Cosignature,
    Drop,
    Entry,
    Head,
    Need,
    Page,
    Piece,
    Token,
)

__all__ = [
    "SMALL_BYTES",
    "Append",
    "Blobs",
    "Charge",
    "Commit",
    "Cosignature",
    "Database",
    "Drop",
    "Entry",
    "Head",
    "Need",
    "OtherBytesError",
    "Page",
    "Piece",
    "QuotaError",
    "Token",
    "open_blobs",
    "open_database",
]
