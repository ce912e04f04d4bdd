"""The other relays that a keeper names: put into the settings, taken out of them, listed.

In: a relay's folder, and a peer's card. Out: the same settings but for this one peer; a keeper's own lines and comments
stay as they are. A relay that serves reads its settings when it starts.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from darklantern.errors import RefusedError, StoreError
from darklantern.files import write_whole
from darklantern.records.exact import decode, encode
from darklantern.relay.config import CONFIG, Config, Peer, parse_config, read_card, read_config
from darklantern.relay.folded import Folded
from darklantern.relay.keys import read_keys
from darklantern.relay.known_peers import KnownPeers
from darklantern.relay.known_peers import Peer as Known
from darklantern.relay.stores import open_database
from darklantern.sealing import RelayCard

_TABLE: Final = "[[peers]]"
_HEADING: Final = re.compile(r"^\s*\[", re.MULTILINE)
_NAME: Final = re.compile(r"[\w .'()-]{1,60}")


@dataclass(frozen=True)
class Mirror:
    """Another relay, as this one knows it."""

    name: str
    card: RelayCard
    pull: bool
    """whether this relay asks it for what is new"""
    by_roster: bool
    """named by the network's roster, and not by the keeper"""


def add_mirror(folder: Path, name: str, card: bytes, *, pull: bool = True) -> RelayCard:
    """Name another relay in the settings, by the card that `darklantern relay card` printed there.

    Raises RecordError for what is no card, RefusedError for this relay's own or one that is named already.
    """
    config, peer = read_config(folder), decode(RelayCard, card.strip())
    if not _NAME.fullmatch(name):
        raise RefusedError(f"expected a name of 1 to 60 letters, digits and spaces, got {name!r}", hint="say cairn")
    if peer.public.id == read_keys(folder).public.id:
        raise RefusedError("this is the relay's own card", hint="bring each relay the card of the other")
    for known in config.peers:
        if known.name == name or read_card(folder, known).public.id == peer.public.id:
            raise RefusedError(
                f"the settings name this relay already, as {known.name}", hint="`relay mirror remove` it first"
            )
    file = f"{peer.public.id[:16]}.card"
    write_whole(folder / file, encode(peer))
    said = f'{_TABLE}\nname = "{name}"\ncard = "{file}"\n' + ("" if pull else "pull = false\n")
    text = (folder / CONFIG).read_text("utf-8").rstrip("\n")
    _write(folder, config, f"{text}\n\n{said}", (*config.peers, Peer(name=name, card=file, pull=pull)))
    return peer


def remove_mirror(folder: Path, name: str) -> None:
    """Take a relay out of the settings. Its card stays. Raises RefusedError for one that they do not name."""
    config = read_config(folder)
    rest = tuple(peer for peer in config.peers if peer.name != name)
    if rest == config.peers:
        names = ", ".join(peer.name for peer in config.peers) or "none"
        raise RefusedError(
            f"the settings name no relay {name!r}, but {names}",
            hint="one that the roster names goes with its next version",
        )
    at = [peer.name for peer in config.peers].index(name)
    text = (folder / CONFIG).read_text("utf-8")
    starts = [found.start() for found in re.finditer(r"^\s*\[\[\s*peers\s*\]\]", text, re.MULTILINE)]
    begins = starts[at]
    following = _HEADING.search(text, text.index("]]", begins) + 2)
    ends = following.start() if following else len(text)
    _write(folder, config, text[:begins].rstrip("\n") + "\n" + text[ends:], rest)


def mirrors(folder: Path) -> tuple[Mirror, ...]:
    """All other relays that this one knows, by name: the keeper's, and the roster's. Raises StoreError."""
    config = read_config(folder)
    named = tuple(Known(peer.name, read_card(folder, peer), peer.pull) for peer in config.peers)
    database = open_database(config.database)
    try:
        folded = Folded(database, config.net)
        folded.catch_up()
    finally:
        database.close()
    ours = {peer.card.public.id for peer in named}
    known = KnownPeers(named, folded, read_keys(folder).public.id).all()
    found = (Mirror(peer.name, peer.card, peer.pull, id not in ours) for id, peer in known.items())
    return tuple(sorted(found, key=lambda mirror: mirror.name))


def _write(folder: Path, before: Config, text: str, peers: tuple[Peer, ...]) -> None:
    """Only what says exactly what was meant."""
    if parse_config(text.encode()) != msgspec.structs.replace(before, peers=peers):
        raise StoreError(f"cannot find this relay's lines in {CONFIG}", hint=f"edit its {_TABLE} by hand")
    write_whole(folder / CONFIG, text.encode())
