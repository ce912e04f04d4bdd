"""A detector on streams: its own alarm, and from which strictness on it would not have fired. Standard library only.

So every detector with a parameter has a run-maximum threshold, without a look inside it: the statistic of a stream at a
look is the strictest setting of those swept at which the detector has fired by then.

    → {"raw": [[…], …], "standard": [[…], …]}     streams of one run, each in two scalings
    ← {"ADWIN": {"own": [look or null, …], "firsts": [[look, …], …]}, …}   from each stream in turn
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

First = int | None
"""the first look, from 0, at which a detector fires"""


@dataclass(frozen=True)
class Detector:
    """A detector as it comes, and as it is from loose to strict."""

    own: Callable[[Sequence[float]], First]
    fired: Callable[[Sequence[float], float, int], First]
    """of a stream at a strictness, not before a look"""


def serve(detectors: Mapping[str, Detector], grids: Mapping[str, Sequence[float]]) -> None:
    """Answer runs until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        said = {
            name: {
                "own": [detector.own(stream) for stream in asked["raw"]],
                "firsts": [firsts(detector, grids[name], stream) for stream in asked["standard"]],
            }
            for name, detector in detectors.items()
        }
        print(json.dumps(said), file=answers)


def firsts(detector: Detector, grid: Sequence[float], stream: Sequence[float]) -> list[int]:
    """The first look of each strictness of `grid`, up to the last that fires at all."""
    found: list[int] = []
    for strictness in grid:
        first = detector.fired(stream, strictness, found[-1] if found else 0)
        if first is None:
            break
        found.append(max(first, found[-1]) if found else first)
    return found
