"""Trees to compare with: leaves, and the definition of their root word for word."""

import hashlib
from collections.abc import Sequence

from darklantern.logs.merkle import leaf_hash

# The eight-leaf tree of the Certificate Transparency test suites.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]
MANY = [leaf_hash(bytes([i])) for i in range(130)]


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
