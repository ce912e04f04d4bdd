"""What a library and a relay say to each other in JSON: exact bytes, like everything that is compared.

Beside these, HTTP carries frames (`logs.frames`) and blobs. Times are in seconds since 1970, by the relay's clock.
"""

from typing import Annotated, Literal

import msgspec

from darklantern.records.exact import Sha256, Value

Blake3 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Seconds = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Nonce = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
MOST_NAMES = 10_000
"""names in one question"""
MOST_RECORDS = 1000
"""in one request, and as many blobs beside them"""


class Health(Value, frozen=True, kw_only=True):
    """Whether the relay serves."""

    v: Literal[1] = 1
    ready: bool


class Challenge(Value, frozen=True, kw_only=True):
    """A nonce to log in with, once, before `expires`."""

    v: Literal[1] = 1
    relay: Sha256
    """id of the relay's public record"""
    nonce: Nonce
    expires: Seconds


class Login(Value, frozen=True, kw_only=True):
    """A nonce spent: `signature` is over `sealing.login.login_message`."""

    v: Literal[1] = 1
    device: Sha256
    nonce: Nonce
    expires: Seconds
    """when the token is to end: as the challenge said, or sooner"""
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Grant(Value, frozen=True, kw_only=True):
    """A token for the Authorization header, until `expires`."""

    v: Literal[1] = 1
    token: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,200}\Z")]
    expires: Seconds


class LogHead(Value, frozen=True, kw_only=True):
    """A log's newest checkpoint: the log's own two signatures, then cosignatures."""

    log: Sha256
    note: bytes


class Heads(Value, frozen=True, kw_only=True):
    """The logs that the asker may read, sorted by id."""

    v: Literal[1] = 1
    heads: tuple[LogHead, ...]


class RecordResult(Value, frozen=True, kw_only=True):
    """What became of one record. At a position and refused: it stands in the log and does not count."""

    id: Sha256
    position: Annotated[int, msgspec.Meta(ge=0)] | None
    refused: str | None


class Results(Value, frozen=True, kw_only=True):
    """One result for each record, in the order in which they were sent."""

    v: Literal[1] = 1
    results: tuple[RecordResult, ...]


class Names(Value, frozen=True, kw_only=True):
    """Blobs: those asked about, or those missing."""

    v: Literal[1] = 1
    names: Annotated[tuple[Blake3, ...], msgspec.Meta(max_length=MOST_NAMES)]


class Problem(Value, frozen=True, kw_only=True):
    """Why a request was refused."""

    v: Literal[1] = 1
    error: str
    hint: str
