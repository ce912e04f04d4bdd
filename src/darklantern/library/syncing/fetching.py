"""Pieces from a relay: several at once, verified as they come, each gone on with where it broke off.

In: names and a remote. Out: pieces in the vault, and what is missing or was altered. The records that name them are
stored by then: what does not come today is asked for again tomorrow, of this relay and of others.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from darklantern.errors import RelayError
from darklantern.library.syncing.remote import Remote
from darklantern.network.items import PIECE
from darklantern.stores.blobs import Blobs
from darklantern.stores.incoming import Begun, Incoming

Progress = Callable[[int, int], None]
"""(pieces that were asked for, pieces in all), from any thread"""


_BROKEN_IN_A_ROW: Final = 8
"""pieces, after which it is the relay that does not answer, and not a piece that it cannot give"""
_WORTH_ANOTHER: Final = 64 * 1024
"""bytes that an attempt must have brought for another to go on from there"""


@dataclass(frozen=True)
class Fetched:
    """What came, and what did not."""

    came: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    error: RelayError | None = None
    """what the last piece that broke off broke with"""


def offered(remote: Remote, wanted: Mapping[str, str]) -> dict[str, str]:
    """Those of the pieces that the relay says it has. Anybody may name pieces that nobody has: each costs a request."""
    logs = defaultdict[str, list[str]](list)
    for name, log in wanted.items():
        logs[log].append(name)
    absent = {name for log, names in logs.items() for name in (remote.missing(log, names) if len(names) > 1 else ())}
    return {name: log for name, log in wanted.items() if name not in absent}


def fetch(
    remote: Remote, wanted: Mapping[str, str], blobs: Blobs, incoming: Incoming, progress: Progress | None = None
) -> Fetched:
    """The pieces `wanted` (name → log), as far as the relay gives them. Raises StoreError.

    A piece that breaks off ends no other; after a few in a row no more are asked for. What came stays, whole pieces
    and beginnings: the next call goes on there.
    """
    broken: list[RelayError] = []

    def one(name: str) -> bool | None:
        if len(broken) >= _BROKEN_IN_A_ROW:
            return None
        try:
            with incoming.piece(name, PIECE) as begun:
                came = _taken(remote, wanted[name], begun) and begun.finish(blobs)
        except RelayError as error:
            broken.append(error)
            return None
        if came and len(broken) < _BROKEN_IN_A_ROW:
            broken.clear()
        if progress:
            progress(next(count), len(wanted))
        return came

    names, count = list(wanted), itertools.count(1)
    if not names:
        return Fetched()
    with ThreadPoolExecutor(min(remote.connections, len(names)), "pieces") as pool:
        asked = [pool.submit(one, name) for name in names]
        try:
            found = {name: answer.result() for name, answer in zip(names, asked, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            blobs.settle(name for name in names if name in blobs)
    return Fetched(
        came=tuple(name for name in names if found[name]),
        altered=tuple(name for name in names if found[name] is False),
        error=broken[-1] if broken else None,
    )


def _taken(remote: Remote, log: str, begun: Begun) -> bool | None:
    """True once all of the piece has come, None when the relay does not have it.

    A connection that breaks is tried again from where it broke, for as long as each attempt brings something.
    """
    while True:
        before = begun.size
        try:
            return True if remote.get(log, begun.name, begun.size, begun.take) else None
        except RelayError:
            if begun.size < before + _WORTH_ANOTHER:
                raise
