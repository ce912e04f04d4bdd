"""Whose a piece of ciphertext is, and for which entries of its circle's log it is kept.

In: entries as they begin and cease to count. Out: the pieces that they name, each with its owner. The rule: a piece
belongs to the person whose entry was the first to name it, of those that counted when they came into the log. It lives
while an entry of that person which counts names it. What somebody else names later neither prolongs its life nor ends
it: else who takes back a record of their own could take another's content with it, or keep what its author took back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from rpds import HashTrieMap, HashTrieSet


@dataclass(frozen=True)
class NamedPiece:
    """A piece: whose it is, and their entries that count and name it. None of these: nothing needs it any more."""

    owner: tuple[str, str]
    by: "HashTrieSet[str]"


NamedPieces: TypeAlias = "HashTrieMap[str, NamedPiece]"
"""name → every piece that an entry of the log ever named and counted"""


def naming(pieces: NamedPieces, names: Iterable[str], owner: tuple[str, str], entry: str) -> NamedPieces:
    """The pieces after an entry of `owner` has begun to count that names these."""
    for name in names:
        held = pieces.get(name) or NamedPiece(owner, HashTrieSet())
        if held.owner == owner and entry not in held.by:
            pieces = pieces.insert(name, replace(held, by=held.by.insert(entry)))
    return pieces


def no_longer(pieces: NamedPieces, names: Iterable[str], entry: str) -> NamedPieces:
    """The pieces after an entry that named these has ceased to count."""
    for name in names:
        held = pieces[name]
        if entry in held.by:
            pieces = pieces.insert(name, replace(held, by=held.by.remove(entry)))
    return pieces
