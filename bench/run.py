"""`make bench`: what it must beat, one JSON line a figure, then a table for people."""

import argparse
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

ROOMS = {
    "assess": "assess_room",
    "box": "box_room",
    "demo": "demo_bars",
    "jax": "jax_room",
    "methods": "methods_room",
    "models": "models_room",
    "sharing": "sharing_room",
    "watch": "watch_room",
    "watch_peers": "watch_peers_room",
}


def main() -> None:
    """Run one room's benches, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", nargs="?", choices=sorted(ROOMS), help="one room; all when left out")
    chosen = parser.parse_args().room
    lines = [
        line for room in ([chosen] if chosen else sorted(ROOMS)) for line in importlib.import_module(ROOMS[room]).run()
    ]
    for line in lines:
        print(json.dumps(line))
    for line in lines:
        verdict = {True: "ok  ", False: "MISS", None: "    "}[line["ok"]]  # None: a peer's figure, which is not judged
        print(
            f"{verdict} {line['name']:44s} {line['value']!s:>10} {line['unit']:12s} bar {line['bar']}", file=sys.stderr
        )
    raise SystemExit(0 if all(line["ok"] is not False for line in lines) else 1)


if __name__ == "__main__":
    main()
