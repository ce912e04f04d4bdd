"""How much is sealed, carried and repeated."""

import os
from typing import NamedTuple

MIB = 1 << 20
GIB = 1 << 30


class Sizes(NamedTuple):
    """Of one run."""

    stream: int = GIB
    bundle: int = 512 * MIB
    devices: int = 200
    documents: int = 50_000
    artifacts: tuple[int, ...] = (GIB, 4 * GIB, 16 * GIB, 50 * 10**9)
    repeats: int = 7


WHOLE = Sizes()
QUICK = Sizes(stream=64 * MIB, bundle=32 * MIB, documents=5_000, artifacts=(64 * MIB, 256 * MIB), repeats=3)


def asked() -> Sizes:
    """Those of this run."""
    return QUICK if os.environ.get("BENCH_QUICK") else WHOLE
