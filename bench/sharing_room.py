"""The room `sharing`: the product beside age, raw ChaCha20-Poly1305 and sha256sum; writes docs/results/sharing.md.

`BENCH_QUICK=1 make bench ROOM=sharing` takes a minute, and writes no page.
"""

from typing import Any

from sharing import bundle_import, memory, report, rotation, sizes, streams


def run() -> list[dict[str, Any]]:
    """Measure each line, write the page, return the lines."""
    asked = sizes.asked()
    found = [line for part in (streams, bundle_import, rotation, memory) for line in part.lines(asked)]
    if asked == sizes.WHOLE:
        report.write(found, asked)
    return found
