"""Everything that a library holds as one file, made while it is open.

In: a state, an open vault and a new path. Out: a file, whole or not there, as encrypted as the library and opened by
its passphrase or by one of its own; and what could not go into it. Its database says that it is a copy, so that
whoever opens it, with or without `restore`, has a library that asks before it signs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from darklantern.errors import StoreError
from darklantern.files import link_named, link_unnamed
from darklantern.library import restored
from darklantern.library.importing import wanted_pieces
from darklantern.library.state import State
from darklantern.stores import Vault
from darklantern.stores.copying import pack_vault

Progress = Callable[[int, int], None]
"""(bytes of pieces that are done, bytes in all)"""


@dataclass(frozen=True)
class BackedUp:
    """What went into a backup."""

    bytes: int
    pieces: int
    left_out: tuple[str, ...]
    """pieces that records name and that are missing or damaged here"""


def back_up(
    state: State, vault: Vault, path: Path, now: int, passphrase: str | None, progress: Progress | None
) -> BackedUp:
    """The library as a new file `path`. Raises StoreError, and then there is none."""
    if path.exists():
        raise StoreError(f"{path} is there already", hint="choose another name: a backup never replaces one")
    wanted = sorted(wanted_pieces(state.working, state.keyring.forgotten))
    bad = {name for name, problem in zip(wanted, vault.blobs.check(wanted), strict=True) if problem}
    names = [name for name in wanted if name not in bad]

    def stream() -> Iterator[bytes]:
        told = names if progress is None else _telling(vault, names, progress)
        yield from pack_vault(vault, told, restored.copied(bad, now), passphrase)

    if not link_unnamed(path, stream()):
        link_named(path, stream())
    return BackedUp(path.stat().st_size, len(names), tuple(sorted(bad)))


def _telling(vault: Vault, names: list[str], progress: Progress) -> Iterator[str]:
    size, done = sum(map(vault.blobs.size, names)), 0
    for name in names:
        yield name
        done += vault.blobs.size(name)
        progress(done, size)
