"""Merkle trees of RFC 6962: roots, appending, and proofs of inclusion and of consistency.

In: leaf hashes, or a proof and the roots that it should join. Out: roots and proofs, or LogError. It holds no log,
and never learns who vouches for a root: that is a checkpoint's job.

Section numbers are those of RFC 9162, which defines the same tree more precisely. A proof is the shortest list of
hashes there is: each position and size fixes how many, and a list of another length is refused before any hashing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from darklantern.errors import LogError, refusing

_refused = refusing(
    LogError,
    "Merkle tree",
    hint="the proof is for another tree, or the log was changed; ask for it again, and keep this one if it recurs",
)

HASH: Final = 32
"""Bytes in each hash of a tree."""
MAX_SIZE: Final = (1 << 63) - 1
"""Entries; as many as a checkpoint can say."""
EMPTY_ROOT: Final = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry (2.1.1). The prefix keeps leaves apart from nodes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (2.1.1): 0.1 s for 100,000.

    Level by level, the odd one at the end moves up unpaired: the same tree as the RFC's recursion,
    which splits at the largest power of two below the size.
    """
    if not leaves:
        return EMPTY_ROOT
    level = leaves
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def inclusion(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree over these leaf hashes (2.1.3.1). Costs as much as `root`.

    Raises LogError when there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise _refused(f"an entry below the size of the tree, {len(leaves)}", str(index))
    return tuple(_siblings(leaves, index))


def consistency(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """The proof that the tree over these leaf hashes begins with its first `old_size` (2.1.4.1).

    Costs as much as `root`. Empty when there is nothing to prove: for an old size of 0, and for the whole tree. Raises
    LogError for an old size beyond the tree.
    """
    if not 0 <= old_size <= len(leaves):
        raise _refused(f"an old size of at most {len(leaves)}", str(old_size))
    if old_size in (0, len(leaves)):
        return ()
    # The proof starts at the last full subtree of the old tree, which the new tree has too.
    level, node = leaves, old_size - 1
    while node & 1:
        level, node = _parents(level), node >> 1
    start = [level[node]] if node else []  # alone it is the old tree, whose root the verifier knows
    return (*start, *_siblings(level, node))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises LogError unless `proof` shows that the leaf hash is entry `index` of the `size` under `root` (2.1.3.2)."""
    if not 0 <= index < size <= MAX_SIZE:
        raise _refused("an entry below a size below 2^63", f"{index} of {size}")
    inner, border = _shape(index, size)
    _check_proof(proof, inner + border, leaf, root)
    found = leaf
    for level, sibling in enumerate(proof):
        on_the_left = level >= inner or index >> level & 1
        found = node_hash(sibling, found) if on_the_left else node_hash(found, sibling)
    if found != root:
        raise _refused("an inclusion proof that leads to the root", "one that leads elsewhere")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises LogError unless `proof` shows that the tree of `root` begins with that of `old_root` (2.1.4.2)."""
    if not 0 <= old_size <= size <= MAX_SIZE:
        raise _refused("an old size of at most the new one, below 2^63", f"{old_size} of {size}")
    if old_size in (0, size):
        _check_proof(proof, 0, old_root, root)
        if (old_size == 0 and old_root != EMPTY_ROOT) or (old_size == size and old_root != root):
            raise _refused(f"the root of these {old_size} entries", "another root")
        return
    # 1. The last full subtree of the old tree: node `node` of the level `full`. What lies beside its path is the proof.
    full = (old_size & -old_size).bit_length() - 1
    node = (old_size - 1) >> full
    inner, border = _shape(old_size - 1, size)
    inner -= full
    _check_proof(proof, bool(node) + inner + border, old_root, root)
    # 2. Left of the path both trees are the same; right of it there is only the new one.
    old = new = proof[0] if node else old_root
    for level, sibling in enumerate(proof[1:] if node else proof):
        if level >= inner or node >> level & 1:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if old != old_root or new != root:
        raise _refused(
            f"a proof that leads to the {'old' if old != old_root else 'new'} root", "one that leads elsewhere"
        )


@dataclass(frozen=True)
class Frontier:
    """All that appending needs: the roots of the full subtrees, largest first. O(log n) in size."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> "Frontier":
        """The frontier with one more leaf hash."""
        peaks = [*self.peaks, leaf]
        merges = (self.size ^ (self.size + 1)).bit_length() - 1  # one for each full subtree that the leaf completes
        for _ in range(merges):
            right = peaks.pop()
            peaks.append(node_hash(peaks.pop(), right))
        return Frontier(self.size + 1, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        *rest, result = self.peaks
        for peak in reversed(rest):
            result = node_hash(peak, result)
        return result


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """The level above. The odd one at the end moves up unpaired."""
    pairs = zip(level[::2], level[1::2], strict=False)
    return [node_hash(left, right) for left, right in pairs] + list(level[len(level) & ~1 :])


def _siblings(level: Sequence[bytes], node: int) -> list[bytes]:
    """What stands beside the path from `node` of this level up to the root, lowest first."""
    found = []
    while len(level) > 1:
        if node ^ 1 < len(level):
            found.append(level[node ^ 1])
        level, node = _parents(level), node >> 1
    return found


def _shape(index: int, size: int) -> tuple[int, int]:
    """How many siblings stand beside the path of a leaf: below and above where it meets the path of the last leaf.

    Below, each level has one. Above, the path is the tree's right edge, and siblings are only on the left.
    """
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _check_proof(proof: Sequence[bytes], length: int, *ends: bytes) -> None:
    if len(proof) != length:
        raise _refused(f"a proof of {length} hashes", str(len(proof)))
    if any(len(part) != HASH for part in (*proof, *ends)):
        raise _refused(f"hashes of {HASH} bytes", "others")
