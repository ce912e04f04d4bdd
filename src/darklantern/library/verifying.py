"""Checking everything that a library holds: each page of the database, each piece, each entry that should open.

In: a state and a vault's parts. Out: what is wrong, with what it belongs to. Pieces are hashed as they stand on the
disk, so that tens of gigabytes take little memory; nothing is repaired or removed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from darklantern.errors import DarkLanternError, StoreError
from darklantern.library.importing import wanted_pieces
from darklantern.library.opening import Fetch, Found, entries, open_package, unreadable
from darklantern.library.state import State
from darklantern.network.deciding import Follows
from darklantern.stores import Vault

Progress = Callable[[int, int], None]
"""(bytes that are checked, bytes in all), after each piece"""
_REMEDY: Final = "`darklantern sync` fetches it again from a relay that has it, or import a bundle that carries it"


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be."""

    what: str
    piece: str | None = None
    """the name of the piece, where it is one"""
    belongs_to: tuple[str, ...] = field(default=())
    """what is lost with it, in words"""
    remedy: str | None = None
    """what may mend it"""

    def __str__(self) -> str:
        belonging = f"it belongs to {', '.join(self.belongs_to)}" if self.belongs_to else None
        return "; ".join(filter(None, (self.what, belonging, self.remedy)))


def verify(
    vault: Vault, state: State, fetch: Fetch, follows: Follows, progress: Progress | None = None
) -> Iterator[Problem]:
    """Everything that is wrong. Reads all of the store."""
    # 1. The database, page by page.
    try:
        vault.database.check()
    except StoreError as error:
        yield Problem(error.message)
    # 2. The pieces: those on the disk, and those that an entry which counts names.
    yield from _pieces(vault, state, fetch, follows, progress or (lambda done, size: None))
    # 3. What they should give.
    yield from map(Problem, state.keyring.problems.values())
    yield from (Problem(f"{entry}: {reason}") for entry, reason in unreadable(state, fetch, follows))


def _pieces(vault: Vault, state: State, fetch: Fetch, follows: Follows, progress: Progress) -> Iterator[Problem]:
    names = sorted({*vault.blobs, *wanted_pieces(state.working, state.keyring.forgotten)})
    size, done = sum(map(vault.blobs.size, names)), 0
    bad = dict[str, str]()
    for name, problem in zip(names, vault.blobs.check(names), strict=True):
        if problem:
            bad[name] = problem
        done += vault.blobs.size(name)
        progress(done, size)
    belonging = _owners(state, bad, fetch, follows) if bad else {}
    for name, problem in bad.items():
        what, owners = f"the piece {name} {problem}", belonging.get(name)
        if owners:
            yield Problem(what, name, owners, _REMEDY)
        else:
            yield Problem(what, name, ("nothing that counts here: compacting removes it",))


def _owners(state: State, names: Mapping[str, str], fetch: Fetch, follows: Follows) -> dict[str, tuple[str, ...]]:
    """What each of these pieces belongs to."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in ("item", "post"):
        for entry in entries(state, kind):
            body = entry.entry.body
            concerned = names.keys() & {*body.pieces, *body.attached}
            artifacts = _artifacts(state, entry, fetch, follows) if concerned & set(body.attached) else {}
            for name in concerned:
                owner = artifacts.get(name, f"{kind} {entry.entry.id}")
                found[name] = (*found.get(name, ()), owner)
    return found


def _artifacts(state: State, item: Found, fetch: Fetch, follows: Follows) -> dict[str, str]:
    """Piece → which artifact of the item it is a part of. Empty where the item does not open."""
    try:
        package, _ = open_package(state, item, fetch, follows)
    except DarkLanternError:
        return {}
    names = {each.sha256: each.name for evidence in package.finding.evidence for each in evidence.artifacts}
    whose = f"of item {item.entry.id} ({package.finding.title})"
    return {
        piece: f"artifact {names.get(artifact.sha256, artifact.sha256)}, {number} of {len(artifact.pieces)}, {whose}"
        for artifact in package.artifacts
        for number, piece in enumerate(artifact.pieces, 1)
    }
