"""Merkle trees of RFC 6962: roots, inclusion and consistency proofs, and appending.

In: leaf hashes. Out: roots and proofs, or LogError. It holds no log, and never trusts a size or a
proof that it was given: the `check_` functions recompute a root and compare.

Section numbers are those of RFC 9162, which defines the same tree more precisely.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from darklantern.errors import LogError

HASH: Final = 32
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
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [node_hash(left, right) for left, right in pairs] + level[len(level) & ~1 :]
    return level[0]


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


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index`, from the leaf up (2.1.3.1)."""
    if not 0 <= index < len(leaves):
        _refuse(f"a leaf below {len(leaves)}", str(index), "ask for a leaf that the log has")
    path: list[bytes] = []
    while len(leaves) > 1:
        split = _split(len(leaves))
        left, right = leaves[:split], leaves[split:]
        if index < split:
            path.append(root(right))
            leaves = left
        else:
            path.append(root(left))
            leaves, index = right, index - split
    return path[::-1]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """What shows that the first `old_size` leaves are a prefix of all of them (2.1.4.1).

    Empty when there is nothing to show: for no leaves, and for all of them.
    """
    if not 0 <= old_size <= len(leaves):
        _refuse(f"an old size of at most {len(leaves)}", str(old_size), "ask the log for a newer checkpoint")
    if old_size in (0, len(leaves)):
        return []
    path: list[bytes] = []
    known = True  # the verifier can build this subtree's old root itself
    while old_size != len(leaves):
        split = _split(len(leaves))
        left, right = leaves[:split], leaves[split:]
        if old_size <= split:
            path.append(root(right))
            leaves = left
        else:
            path.append(root(left))
            leaves, old_size, known = right, old_size - split, False
    if not known:
        path.append(root(leaves))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raises LogError unless `leaf` is number `index` of the `size` leaves under `expected` (2.1.3.2)."""
    if not 0 <= index < size:
        _refuse(f"a leaf below {size}", str(index), "the proof is for another tree")
    _check_hashes((leaf, expected, *proof))
    position, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            _refuse("a shorter inclusion proof", f"{len(proof)} hashes", _STALE)
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    if last:
        _refuse("a longer inclusion proof", f"{len(proof)} hashes", _STALE)
    _check_root("the root that the checkpoint signed", result, expected)


def check_consistency(old_size: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises LogError unless the tree of `size` extends the one of `old_size` (2.1.4.2).

    Size 0 and equal sizes, which the RFC leaves out, take an empty proof and still compare roots.
    """
    if not 0 <= old_size <= size:
        _refuse(f"a log of at least {old_size} entries", f"{size}", _ROLLBACK)
    _check_hashes((old_root, new_root, *proof))
    if old_size in (0, size):
        if proof:
            _refuse("an empty consistency proof", f"{len(proof)} hashes", _STALE)
        _check_root("the earlier root", old_root, EMPTY_ROOT if old_size == 0 else new_root)
        return
    # When the old tree is a full subtree of the new one, the proof leaves out its root.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        _refuse("a longer consistency proof", "no hash", _STALE)
    position, last = old_size - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_result = new_result = path[0]
    for sibling in path[1:]:
        if last == 0:
            _refuse("a shorter consistency proof", f"{len(proof)} hashes", _STALE)
        if position & 1 or position == last:
            old_result = node_hash(sibling, old_result)
            new_result = node_hash(sibling, new_result)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new_result = node_hash(new_result, sibling)
        position, last = position >> 1, last >> 1
    if last:
        _refuse("a longer consistency proof", f"{len(proof)} hashes", _STALE)
    _check_root("the earlier root", old_result, old_root)
    _check_root("the later root", new_result, new_root)


_STALE = "the proof is for other sizes; fetch it again for this pair of checkpoints"
_ROLLBACK = "the relay serves an older log than it served before; keep both checkpoints as proof and ask its operator"
_FORK = (
    "the log shows different histories to different readers, or the proof is damaged; keep both checkpoints as proof"
)


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH for value in hashes):
        _refuse(f"hashes of {HASH} bytes", "others", "the proof is damaged; fetch it again")


def _check_root(what: str, got: bytes, expected: bytes) -> None:
    if got != expected:
        _refuse(f"{what}, {expected.hex()}", got.hex(), _FORK)


def _refuse(expected: str, got: str, hint: str) -> NoReturn:
    raise LogError(f"expected {expected}, got {got}", hint)
