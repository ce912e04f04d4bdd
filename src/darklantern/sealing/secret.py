"""What all secrets share: they do not print, do not pickle, and have one exact byte form.

Python cannot promise to wipe memory, so nothing here pretends to: the process that holds keys
turns core dumps off instead.
"""

from abc import ABC, abstractmethod
from typing import NoReturn

from darklantern.errors import RecordError

SEED = 32
"""Bytes in the seed of every private key of this room."""


class Secret(ABC):
    """Base of secret keys. `repr`, `str` and format show the public fingerprint only."""

    __slots__ = ()

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A name for the public half, safe to print."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fingerprint}, secret not shown>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is secret: it is neither pickled nor copied")


def pack(label: bytes, *seeds: bytes) -> bytes:
    """`label` and the seeds, end to end. The result is as secret as the seeds."""
    return label + b"".join(seeds)


def unpack(label: bytes, data: bytes, count: int) -> list[bytes]:
    """The `count` seeds that `pack` put behind `label`. Raises RecordError, which quotes no byte."""
    size = len(label) + count * SEED
    if not data.startswith(label) or len(data) != size:
        raise RecordError(
            f"expected {size} bytes that begin with {label.decode().strip()!r}, got {len(data)} other bytes",
            hint="this is another kind of key, or it was damaged where it was stored",
        )
    return [data[at : at + SEED] for at in range(len(label), size, SEED)]


def require_seed(seed: bytes) -> bytes:
    """`seed` if it is 32 bytes, else RecordError."""
    if len(seed) != SEED:
        raise RecordError(f"expected a seed of {SEED} bytes, got {len(seed)}", hint="use generate() for a new key")
    return seed
