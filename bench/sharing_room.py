"""The room `sharing`: the product beside age, the bare cipher, restic, sha256sum, rsync and SQLite.

It writes docs/results/sharing.md. `BENCH_QUICK=1 make bench ROOM=sharing` takes a minute, and writes no page.
"""

from typing import Any

from sharing import (
    bundle_import,
    memory,
    relay_load,
    report,
    resuming,
    rotation,
    search,
    sizes,
    store_verify,
    streams,
    sync,
)

PARTS = (streams, store_verify, bundle_import, sync, resuming, rotation, search, relay_load, memory)


def run() -> list[dict[str, Any]]:
    """Measure each line, write the page, return the lines."""
    asked = sizes.asked()
    found = [line for part in PARTS for line in part.lines(asked)]
    if asked == sizes.WHOLE:
        report.write(found, asked)
    return found
