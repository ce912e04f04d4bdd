"""RFC 6962 trees: the published vectors, and the definitions themselves as ground truth."""

import hashlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darklantern.errors import LogError
from darklantern.logs.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
)

# The eight-leaf tree of the Certificate Transparency test suites.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]
MANY = [leaf_hash(bytes([i])) for i in range(130)]
sizes = st.integers(0, len(MANY))


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


# Vectors


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_published_inclusion_proofs(index: int, size: int) -> None:
    assert [value.hex() for value in inclusion_proof(LEAVES[:size], index)] == INCLUSION[index, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_published_consistency_proofs(old: int, new: int) -> None:
    assert [value.hex() for value in consistency_proof(LEAVES[:new], old)] == CONSISTENCY[old, new]


# Definitions


def test_every_size_follows_the_definition_and_so_does_appending() -> None:
    frontier = Frontier()
    for size in range(len(MANY) + 1):
        assert root(MANY[:size]) == by_definition(MANY[:size]) == frontier.root
        assert (frontier.size, len(frontier.peaks)) == (size, size.bit_count())
        if size < len(MANY):
            frontier = frontier.append(MANY[size])


def test_every_inclusion_proof_up_to_33_leaves_verifies() -> None:
    for size in range(1, 34):
        for index in range(size):
            proof = inclusion_proof(MANY[:size], index)
            check_inclusion(MANY[index], index, size, proof, root(MANY[:size]))


def test_every_consistency_proof_up_to_33_leaves_verifies() -> None:
    for size in range(34):
        for old in range(size + 1):
            proof = consistency_proof(MANY[:size], old)
            check_consistency(old, root(MANY[:old]), size, root(MANY[:size]), proof)


@given(st.data(), sizes.filter(bool))
@settings(deadline=None)
def test_an_inclusion_proof_fits_one_leaf_in_one_tree(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, top = inclusion_proof(MANY[:size], index), root(MANY[:size])
    check_inclusion(MANY[index], index, size, proof, top)
    for change in [
        lambda: check_inclusion(leaf_hash(b"other"), index, size, proof, top),
        lambda: check_inclusion(MANY[index], index, size, proof, leaf_hash(b"other")),
        lambda: check_inclusion(MANY[index], index, size, [*proof, top], top),
        lambda: check_inclusion(MANY[index], index, size, proof[:-1] or [top], top),
        lambda: check_inclusion(MANY[index], index, size, [value[::-1] for value in proof] or [top], top),
    ]:
        with pytest.raises(LogError):
            change()
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index)) if size > 1 else None
    if other is not None:
        with pytest.raises(LogError):
            check_inclusion(MANY[index], other, size, proof, top)


@given(st.data(), st.integers(2, len(MANY)))
@settings(deadline=None)
def test_a_consistency_proof_fits_one_pair_of_trees(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size - 1))
    proof, before, after = consistency_proof(MANY[:size], old), root(MANY[:old]), root(MANY[:size])
    check_consistency(old, before, size, after, proof)
    rewritten = [leaf_hash(b"rewritten"), *MANY[1:size]]
    for change in [
        lambda: check_consistency(old, before, size, root(rewritten), consistency_proof(rewritten, old)),
        lambda: check_consistency(old, root(rewritten[:old]), size, after, proof),
        lambda: check_consistency(old, before, size, root(rewritten), proof),
        lambda: check_consistency(old, before, size, after, [*proof, after]),
        lambda: check_consistency(old, before, size, after, proof[:-1]),
        lambda: check_consistency(old, before, size, after, [value[::-1] for value in proof]),
        lambda: check_consistency(old, before, size, after, []),
    ]:
        with pytest.raises(LogError) as caught:
            change()
        assert caught.value.hint


# Refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inclusion_proof(LEAVES, 8), "a leaf below 8, got 8"),
        (lambda: inclusion_proof(LEAVES, -1), "a leaf below 8, got -1"),
        (lambda: inclusion_proof([], 0), "a leaf below 0, got 0"),
        (lambda: check_inclusion(LEAVES[0], 8, 8, [], LEAVES[0]), "a leaf below 8, got 8"),
        (lambda: check_inclusion(LEAVES[0], 0, 1, [], LEAVES[1]), "the root that the checkpoint signed"),
        (lambda: check_inclusion(b"short", 0, 1, [], b"short"), "hashes of 32 bytes"),
        (lambda: consistency_proof(LEAVES, 9), "an old size of at most 8, got 9"),
        (lambda: consistency_proof(LEAVES, -1), "an old size of at most 8, got -1"),
        (lambda: check_consistency(8, root(LEAVES), 7, root(LEAVES[:7]), []), "a log of at least 8 entries, got 7"),
        (lambda: check_consistency(8, root(LEAVES), 8, root(LEAVES[::-1]), []), "the earlier root"),
        (lambda: check_consistency(8, root(LEAVES), 8, root(LEAVES), [LEAVES[0]]), "an empty consistency proof"),
        (lambda: check_consistency(0, LEAVES[0], 8, root(LEAVES), []), "the earlier root"),
        (lambda: check_consistency(0, EMPTY_ROOT, 8, root(LEAVES), [LEAVES[0]]), "an empty consistency proof"),
        (lambda: check_consistency(1, LEAVES[0], 2, root(LEAVES[:2]), [b"short"]), "hashes of 32 bytes"),
        (
            lambda: check_consistency(3, root(LEAVES[:3]), 8, root(LEAVES), []),
            "a longer consistency proof, got no hash",
        ),
    ],
)
def test_wrong_sizes_and_shapes_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(LogError, match=message) as caught:
        call()
    assert caught.value.hint


@pytest.mark.parametrize(
    "check",
    [
        # Without the rule on proof lengths, each of these recomputes the right roots.
        lambda: check_inclusion(LEAVES[1], 0, 1, [LEAVES[0]], root(LEAVES[:2])),
        lambda: check_inclusion(LEAVES[0], 0, 3, [LEAVES[1]], root(LEAVES[:2])),
        lambda: check_consistency(3, root(LEAVES[:7]), 4, root(LEAVES), consistency_proof(LEAVES, 7)),
        lambda: check_consistency(7, root(LEAVES[:3]), 8, root(LEAVES[:4]), consistency_proof(LEAVES[:4], 3)),
    ],
    ids=["inclusion too long", "inclusion too short", "consistency too long", "consistency too short"],
)
def test_a_proof_for_other_sizes_is_refused_though_its_roots_are_right(check: Callable[[], None]) -> None:
    with pytest.raises(LogError, match=r"a (shorter|longer) (inclusion|consistency) proof"):
        check()


def test_leaves_and_nodes_do_not_mix() -> None:
    """Second preimages: without the prefixes, an entry could pose as an inner node."""
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)
