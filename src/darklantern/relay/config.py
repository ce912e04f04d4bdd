"""A relay's settings: one TOML file in its folder. Unknown ones are refused: a limit misspelt would be no limit."""

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from darklantern.errors import StoreError
from darklantern.records.exact import Name, Sha256, Value, decode
from darklantern.records.record import NOBODY
from darklantern.sealing import RelayCard

MIB: Final = 1024 * 1024
Count = Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=30 * 24 * 3600)]


class Peer(Value, frozen=True, kw_only=True):
    """Another relay: it may read and mirror all logs here, and this one mirrors and cosigns its logs."""

    name: Name
    card: str
    """file with what `darklantern relay card` printed there, in this folder"""
    pull: bool = True
    """False: it may read here, and this one does not ask it"""


class Limits(Value, frozen=True, kw_only=True):
    """All that is bounded. Bytes unless said otherwise."""

    org_bytes: Count = 100 * 1024 * MIB
    """records and blobs of one org"""
    peer_bytes: Count = 1024 * 1024 * MIB
    """blobs of all orgs that one peer's logs are mirrored with"""
    device_bytes_a_day: Count = 50 * 1024 * MIB
    request_bytes: Count = 16 * MIB
    """records and small blobs in one request"""
    buffered_bytes: Count = 96 * MIB
    """of all requests that are being received or wait for their transaction"""
    requests: Count = 512
    """at once, in one process"""
    requests_of_one: Count = 32
    """at once, of one device; and of one address, until a token of it has been found good"""
    requests_a_second: Count = 500
    """of one device"""
    logins_a_minute: Count = 30
    """of one address; and twice as many tokens that do not count"""
    nonces: Count = 10_000
    """that wait to be spent, of all addresses"""
    header_s: Seconds = 10
    """from a connection's first byte to the end of its headers, and between requests"""
    body_grace_s: Seconds = 10
    body_bytes_a_second: Count = 32 * 1024
    """what a body or an answer must at least move, once the grace is over"""
    unverified_bytes: Count = 256 * MIB
    """of one peer's log, in memory until they are seen to give the root that the log's key has signed"""
    unnamed_blob_s: Seconds = 7 * 24 * 3600
    """how long a blob is kept that no record names"""


class Config(Value, frozen=True, kw_only=True):
    """What a relay is told."""

    net: Sha256 = NOBODY
    """id of the network's first roster; `NOBODY` until `begin`, since that roster names this relay's keys"""
    listen: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 7447
    urls: tuple[str, ...] = ()
    """where others reach it, for its public record"""
    tls: bool = True
    allow_public_address: bool = False
    """DANGER: listen where the whole internet can try its luck"""
    database: str
    blobs: str
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    log_requests: bool = False
    """log each request, not only those that were refused"""
    stamp_s: Seconds = 900
    """a log that nobody writes to gets a fresh checkpoint this often"""
    pull_s: Seconds = 30
    """how often peers are asked"""
    peers: tuple[Peer, ...] = ()
    limits: Limits = Limits()


CONFIG: Final = "relay.toml"
KEYS: Final = "keys"
CERTIFICATE: Final = "certificate.pem"
CERTIFICATE_KEY: Final = "certificate.key"
METRICS_TOKEN: Final = "metrics.token"


def read_config(folder: Path) -> Config:
    """The settings in `folder`. Raises StoreError that names the setting."""
    path = folder / CONFIG
    try:
        return parse_config(path.read_bytes())
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", hint="make a relay with `darklantern relay init`"
        ) from error


def parse_config(text: bytes) -> Config:
    """The settings in a file's bytes. Raises StoreError that names the setting."""
    try:
        return msgspec.convert(tomllib.loads(text.decode()), Config, strict=True)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise StoreError(f"{CONFIG}: {error}", hint="docs/spec/relay.md lists the settings") from error


def read_card(folder: Path, peer: Peer) -> RelayCard:
    """What a peer is known by. Raises StoreError or RecordError."""
    path = folder / peer.card
    try:
        return decode(RelayCard, path.read_bytes().strip())
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", hint="ask that relay's keeper for `darklantern relay card`"
        ) from error
