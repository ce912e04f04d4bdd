"""Making a relay, and giving its network's log a beginning.

In: a folder and what its keeper chose. Out: keys, certificate and settings in it, readable by their owner alone; the
relay's card, which is public. Nothing that is there is ever replaced.
"""

import datetime
import ipaddress
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from darklantern.errors import RefusedError, StoreError
from darklantern.files import cannot_write, write_whole
from darklantern.logs import checkpoint
from darklantern.network.reading import leaf_id
from darklantern.network.view import View, enter
from darklantern.records.record import NOBODY
from darklantern.relay.certificate import der, new_certificate
from darklantern.relay.config import (
    CERTIFICATE,
    CERTIFICATE_KEY,
    CONFIG,
    KEYS,
    METRICS_TOKEN,
    Config,
    parse_config,
    read_config,
)
from darklantern.relay.folded import Folded
from darklantern.relay.keys import read_keys
from darklantern.relay.stores import Append, Entry, open_database
from darklantern.sealing import RelayCard, RelayKey

_NO_NET: Final = "# net = written here by `darklantern relay begin`, once there is a first roster"
_TEMPLATE: Final = """\
# A Dark Lantern relay. docs/spec/relay.md lists all settings; unknown ones are refused.
{net}
listen = "{listen}"
port = {port}
urls = ["{url}"]
tls = {tls}
database = "{database}"
blobs = "{blobs}"

# Another relay, which mirrors this one and cosigns its logs, and the other way round: `darklantern relay mirror add`.
"""


def make_relay(
    folder: Path,
    net: str | None = None,
    *,
    listen: str = "127.0.0.1",
    port: int = 7447,
    database: str | None = None,
    blobs: str | None = None,
    tls: bool = True,
) -> RelayCard:
    """A new relay in `folder`, which is empty or not there. Its card. Raises StoreError, RefusedError."""
    place = folder.absolute()
    host = f"[{listen}]" if ":" in listen else listen
    text = _TEMPLATE.format(
        net=f'net = "{net}"' if net else _NO_NET,
        listen=listen,
        port=port,
        url=f"{'https' if tls else 'http'}://{host}:{port}",
        tls=str(tls).lower(),
        database=database or f"sqlite://{place}/relay.db",
        blobs=blobs or f"file://{place}/blobs",
    )
    check_address(parse_config(text.encode()))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError(f"expected an empty folder, got {folder} with files in it", hint="name another one")
    except OSError as error:
        raise cannot_write(folder, error) from error
    if tls:
        certificate, secret = new_certificate(datetime.datetime.now(datetime.UTC))
        write_whole(folder / CERTIFICATE_KEY, secret)
        write_whole(folder / CERTIFICATE, certificate)
    write_whole(folder / KEYS, RelayKey.generate().to_bytes())
    write_whole(folder / METRICS_TOKEN, secrets.token_urlsafe(32).encode())
    write_whole(folder / CONFIG, text.encode())
    return card(folder)


def card(folder: Path) -> RelayCard:
    """What others may know of the relay in `folder`."""
    config = read_config(folder)
    certificate = der((folder / CERTIFICATE).read_bytes()) if config.tls else None
    return RelayCard(public=read_keys(folder).public, urls=config.urls, certificate=certificate)


def check_address(config: Config) -> None:
    """Raises RefusedError for an address that the internet may reach, and for plain HTTP beyond this machine."""
    try:
        address = ipaddress.ip_address(config.listen)
    except ValueError as error:
        raise RefusedError(
            f"expected an IP address to listen on, got {config.listen!r}",
            hint="a name may lead anywhere; give an address, such as 127.0.0.1 or that of a WireGuard interface",
        ) from error
    if (address.is_global or address.is_unspecified or address.is_multicast) and not config.allow_public_address:
        raise RefusedError(
            f"{address} is public, or stands for all addresses of this machine, public ones too",
            hint="listen on a private address, behind WireGuard or as an onion service; allow_public_address overrides",
        )
    if not config.tls and not address.is_loopback:
        raise RefusedError(
            f"without TLS a relay listens on loopback only, not on {address}", hint="set tls = true, or use 127.0.0.1"
        )


def begin(folder: Path, envelopes: Sequence[bytes], now: int | None = None) -> int:
    """Append the first records of the network's log, which nobody can log in to bring; how many.

    For the relay whose log key the first roster names: its settings learn the network from that. Raises
    DarkLanternError for one that would not count, or that is there already; then none is appended.
    """
    config, key = read_config(folder), read_keys(folder)
    net = config.net if config.net != NOBODY or not envelopes else leaf_id(envelopes[0])
    now = int(time.time()) if now is None else now
    database = open_database(config.database)
    try:
        folded = Folded(database, net)
        folded.catch_up()
        view, entries = folded.view, list[Entry]()
        for data in envelopes:
            view, read, refused = enter(view, net, data)
            if refused:
                raise RefusedError(f"the record {read.id[:8]}… would not count: {refused}", hint="leave it out")
            entries.append(Entry(bytes.fromhex(read.id), data))
        if entries:
            _check_mine(view, key)
            if config.net == NOBODY:
                text = (folder / CONFIG).read_text("utf-8").replace(_NO_NET, f'net = "{net}"')
                write_whole(folder / CONFIG, text.encode())
            end = view.trail(net).frontier
            said = checkpoint.Checkpoint(view.origin(net), end.size, end.root)
            note = checkpoint.sign(said, key.log, now)
            database.append(Append(net, folded.view.trail(net).frontier, tuple(entries), note, now))
    finally:
        database.close()
    return len(entries)


def check_begun(config: Config) -> None:
    """Raises RefusedError for a relay that does not know its network yet."""
    if config.net == NOBODY:
        raise RefusedError(
            "this relay does not know its network yet",
            hint="`darklantern relay begin` with the first roster, which names this relay's log key",
        )


def _check_mine(view: View, key: RelayKey) -> None:
    if view.log_key(view.net) != key.log.public:
        raise RefusedError(
            "the network's roster names another key for its log than this relay's",
            hint="draft the roster with the log key that `darklantern relay card` prints here",
        )
