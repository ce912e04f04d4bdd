"""The room `watch_peers`: what others watch training with, on the loops and seeds of E1–E5, and what each costs.

    make bench-env                                     each peer's environment, once: gigabytes
    make bench ROOM=watch_peers                        everything; writes docs/results/watch_peers.md
    WATCH_PEERS="E1 overhead" make bench ROOM=watch_peers    some of it; the others as they were last
    WATCH_WORKERS=2 …                                  runs at a time

Each run is written down when it ends, so all of it can be stopped and goes on. Ours are the first of those that
ROOM=watch judges, by the same frozen thresholds' rules; neither room makes what the other has made.
"""

import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from watching.experiments import EXPERIMENTS, KEPT
from watching.lines import Line, absent, keep, kept
from watching.peers import page, room
from watching.trial import FOLDER

LINES = KEPT / "peers" / "lines"


def run(given: Mapping[str, str] = os.environ) -> list[Line]:
    """Measure what is asked for, write the page after each part, return the lines."""
    workers = int(given.get("WATCH_WORKERS", "2"))
    parts: dict[str, Callable[[], Iterable[Line]]] = {
        name: partial(room.beside, name, workers=workers) for name in EXPERIMENTS
    }
    parts["overhead"] = room.overheads
    asked = given.get("WATCH_PEERS", "").split() or list(parts)
    if unknown := sorted(set(asked) - set(parts)):
        raise SystemExit(f"WATCH_PEERS names {', '.join(unknown)}; there are {', '.join(parts)}")
    found = {name: _kept(name) for name in parts}
    for name in asked:
        found[name] = _measured(name, parts[name])
        page.write(FOLDER / "watch_peers.md", found)
    return [line for lines in found.values() for line in lines]


def _kept(name: str) -> list[Line]:
    return kept(LINES / f"{name}.json") or [absent(f"peers {name}", "", "–", "not measured yet")]


def _measured(name: str, measure: Callable[[], Iterable[Line]]) -> list[Line]:
    try:
        return keep(LINES / f"{name}.json", measure())
    except Exception as error:  # noqa: BLE001 - one part that fails is a result, and the others go on
        traceback.print_exc()
        return [absent(f"peers {name}", "", "–", repr(error))]
