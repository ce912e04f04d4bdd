"""RFC 6962 trees: the published vectors, and the definitions themselves as ground truth."""

import pytest

from darklantern.logs.merkle import Frontier, leaf_hash, node_hash, root
from logs.trees import LEAVES, MANY, by_definition

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


# Vectors


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


# Definitions


def test_every_size_follows_the_definition_and_so_does_appending() -> None:
    frontier = Frontier()
    for size in range(len(MANY) + 1):
        assert root(MANY[:size]) == by_definition(MANY[:size]) == frontier.root
        assert (frontier.size, len(frontier.peaks)) == (size, size.bit_count())
        if size < len(MANY):
            frontier = frontier.append(MANY[size])


def test_leaves_and_nodes_do_not_mix() -> None:
    """Second preimages: without the prefixes, an entry could pose as an inner node."""
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)
