"""Taking back: tombstones, and the receipts that say who has dropped what.

A tombstone binds relays and members who keep to it; a member who does not, and whoever copied the content, keeps it.
`circle_log` judges who may ask.
"""

from typing import Annotated, Final, Literal

import msgspec

from darklantern.records.exact import Sha256, Value

MOST_TARGETS: Final = 1000


class Tombstone(Value, frozen=True, kw_only=True):
    """That an item or a post is to be dropped: by its author, or by each of a quorum of the circle's admins."""

    v: Literal[1] = 1
    target: Sha256


class Receipt(Value, frozen=True, kw_only=True):
    """That its device has dropped ciphertext, plaintext and index rows of what tombstones name."""

    v: Literal[1] = 1
    targets: Annotated[tuple[Sha256, ...], msgspec.Meta(min_length=1, max_length=MOST_TARGETS)]
    """as many as there are: one for each would let one member make all others write"""
