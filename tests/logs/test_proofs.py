"""Proofs of RFC 6962 trees: the RFC's own example, the eight-leaf vectors, and the recursive definitions as truth.

Vectors: the eight inputs are those of the Certificate Transparency test suites. The hashes below were not copied. They
come from evaluating the definitions of RFC 6962, sections 2.1.1 and 2.1.2, with hashlib alone, as `path_by_definition`
and `proof_by_definition` do here, and agree with what other implementations publish.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import LogError
from darklantern.logs.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    consistency,
    inclusion,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from logs.trees import LEAVES, MANY, by_definition


def split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def path_by_definition(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path_by_definition(m, leaves[:k]), by_definition(leaves[k:])]
    return [*path_by_definition(m - k, leaves[k:]), by_definition(leaves[:k])]


def proof_by_definition(m: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962, section 2.1.2, word for word."""
    if m == len(leaves):
        return [] if whole else [by_definition(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*proof_by_definition(m, leaves[:k], whole), by_definition(leaves[k:])]
    return [*proof_by_definition(m - k, leaves[k:], False), by_definition(leaves[:k])]


# Vectors

INCLUSIONS = [
    (0, 1, []),
    (0, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (5, 8, ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (1, 5, ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
]  # fmt: skip
CONSISTENCIES = [
    (1, 1, []),
    (1, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (6, 8, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"]),
    (2, 5, ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"]),
]  # fmt: skip


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSIONS)
def test_inclusion_vectors(index: int, size: int, proof: list[str]) -> None:
    assert [part.hex() for part in inclusion(LEAVES[:size], index)] == proof
    verify_inclusion(LEAVES[index], index, size, [bytes.fromhex(part) for part in proof], root(LEAVES[:size]))


@pytest.mark.parametrize(("old", "size", "proof"), CONSISTENCIES)
def test_consistency_vectors(old: int, size: int, proof: list[str]) -> None:
    assert [part.hex() for part in consistency(LEAVES[:size], old)] == proof
    parts = [bytes.fromhex(part) for part in proof]
    verify_consistency(old, root(LEAVES[:old]), size, root(LEAVES[:size]), parts)


def test_the_rfc_s_example() -> None:
    """RFC 6962, section 2.1.3: the tree of seven leaves d0 … d6 with the nodes as the RFC letters them."""
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, m = node_hash(g, h), node_hash(i, j)
    assert root(LEAVES[:7]) == node_hash(k, m)
    assert inclusion(LEAVES[:7], 0) == (b, h, m)
    assert inclusion(LEAVES[:7], 3) == (c, g, m)
    assert inclusion(LEAVES[:7], 4) == (f, j, k)
    assert inclusion(LEAVES[:7], 6) == (i, k)
    assert consistency(LEAVES[:7], 3) == (c, d, g, m)
    assert consistency(LEAVES[:7], 4) == (m,)
    assert consistency(LEAVES[:7], 6) == (i, j, k)


# Definitions


def test_every_proof_up_to_33_entries_follows_the_definition_and_verifies() -> None:
    for size in range(1, 34):
        leaves, top = MANY[:size], root(MANY[:size])
        for index in range(size):
            proof = inclusion(leaves, index)
            assert list(proof) == path_by_definition(index, leaves)
            verify_inclusion(leaves[index], index, size, proof, top)
        for old in range(1, size + 1):
            proof = consistency(leaves, old)
            assert list(proof) == proof_by_definition(old, leaves)
            verify_consistency(old, root(leaves[:old]), size, top, proof)


@given(st.data())
def test_proofs_of_larger_trees(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(MANY)))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    leaves, top = MANY[:size], root(MANY[:size])
    assert list(inclusion(leaves, index)) == path_by_definition(index, leaves)
    assert list(consistency(leaves, old)) == proof_by_definition(old, leaves)
    verify_inclusion(leaves[index], index, size, inclusion(leaves, index), top)
    verify_consistency(old, root(leaves[:old]), size, top, consistency(leaves, old))


@given(st.integers(0, MAX_SIZE - 1), st.data())
def test_proofs_of_trees_that_nobody_could_hold(size_less_one: int, data: st.DataObject) -> None:
    """Up to 2^63 − 1 entries: here the root is made from the proof, instead of the proof from a tree."""
    size = size_less_one + 1
    index = data.draw(st.integers(0, size - 1))
    leaf: bytes = MANY[100]
    top, proof, at, last = leaf, [], index, size - 1
    while last:
        if at & 1 or at < last:
            proof.append(LEAVES[len(proof) % 8])
            top = node_hash(proof[-1], top) if at & 1 else node_hash(top, proof[-1])
        at, last = at >> 1, last >> 1
    verify_inclusion(leaf, index, size, proof, top)
    if index + 1 < size:
        with pytest.raises(LogError):
            verify_inclusion(leaf, index + 1, size, proof, top)


# Refusals


def changed(proof: Sequence[bytes]) -> list[list[bytes]]:
    """Every proof with one hash altered, dropped or doubled, one more at either end, two exchanged."""
    whole = list(proof)
    found = [[*whole, whole[-1] if whole else LEAVES[0]], [LEAVES[0], *whole], [*whole, b""]]
    for at in range(len(whole)):
        bit = bytes([whole[at][0] ^ 1]) + whole[at][1:]
        short = whole[at][:31]
        found += [[*whole[:at], other, *whole[at + 1 :]] for other in (bit, short)]
        found += [[*whole[:at], *whole[at + 1 :]], [*whole[: at + 1], *whole[at:]]]
        found += [[*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]]] if at + 1 < len(whole) else []
    return found


def test_every_changed_proof_is_refused() -> None:
    for size in range(1, 18):
        leaves, top = MANY[:size], root(MANY[:size])
        for at in range(size):
            for proof in changed(inclusion(leaves, at)):
                with pytest.raises(LogError, match=r"^Merkle tree: expected"):
                    verify_inclusion(leaves[at], at, size, proof, top)
            old = at + 1
            for proof in changed(consistency(leaves, old)):
                with pytest.raises(LogError, match=r"^Merkle tree: expected"):
                    verify_consistency(old, root(leaves[:old]), size, top, proof)


def test_a_proof_holds_for_one_leaf_one_place_and_one_tree() -> None:
    for size in range(2, 18):
        leaves, top = MANY[:size], root(MANY[:size])
        for index in range(size):
            proof = inclusion(leaves, index)
            wrong = [
                (leaves[index - 1], index, size, top),
                (leaves[index], index, size, MANY[0]),
                *((leaves[index], other, size, top) for other in range(size) if other != index),
            ]
            for case in wrong:
                with pytest.raises(LogError):
                    verify_inclusion(*case[:3], proof, case[3])


def test_a_rewritten_past_has_no_consistency_proof() -> None:
    """What the proof is there for: same sizes, one old entry changed, the honest proof or the forger's own."""
    for size in range(2, 18):
        honest = MANY[:size]
        for old in range(1, size):
            forged = [LEAVES[0], *honest[1:]]
            for proof in (consistency(honest, old), consistency(forged, old)):
                with pytest.raises(LogError):
                    verify_consistency(old, root(honest[:old]), size, root(forged), proof)


def test_nothing_is_the_beginning_of_everything() -> None:
    assert consistency(MANY, 0) == consistency(MANY, len(MANY)) == consistency([], 0) == ()
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    verify_consistency(0, EMPTY_ROOT, 5, MANY[0], ())
    for old_root, size, proof in [(MANY[0], 5, []), (EMPTY_ROOT, 5, [MANY[0]]), (MANY[0], 0, [])]:
        with pytest.raises(LogError):
            verify_consistency(0, old_root, size, root(MANY[:size]), proof)
    for old_root, new_root in [(EMPTY_ROOT, MANY[0]), (MANY[0], EMPTY_ROOT), (MANY[0], MANY[0])]:
        with pytest.raises(LogError, match="the root of these 0 entries"):
            verify_consistency(0, old_root, 0, new_root, ())


@pytest.mark.parametrize(("at", "size"), [(-1, 4), (4, 4), (0, 0), (1, 1 << 63), (1 << 70, 1 << 71)])
def test_places_outside_the_tree_are_refused(at: int, size: int) -> None:
    with pytest.raises(LogError, match="below a size"):
        verify_inclusion(MANY[0], at, size, [], MANY[0])


@pytest.mark.parametrize(("old", "size"), [(-1, 4), (5, 4), (1, 1 << 63)])
def test_an_old_size_beyond_the_new_one_is_refused(old: int, size: int) -> None:
    with pytest.raises(LogError, match="old size"):
        verify_consistency(old, MANY[0], size, MANY[0], [])


def test_no_proof_is_made_for_what_is_not_there() -> None:
    for index in (-1, 4):
        with pytest.raises(LogError, match="below the size"):
            inclusion(MANY[:4], index)
    for old in (-1, 5):
        with pytest.raises(LogError, match="old size"):
            consistency(MANY[:4], old)
