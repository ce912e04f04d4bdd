"""Peers that are detectors, on the signals of our watch: what each run of ours comes to under them.

Own settings see what a user without references has: each signal's contrast, in standard deviations from the mean of
the run's own first looks. Swept ones see what our detectors see, the contrast's change standardised on reference runs,
so that the detector is all that differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darklantern.records.references import References
from darklantern.watch import Signal
from darklantern.watch.judging import detectors
from watching import judging
from watching.peers import driver
from watching.peers.grids import GRIDS
from watching.peers.names import Peer
from watching.running import Ran
from watching.suite import Job

FIRST_LOOKS = 10
"""of a run, which own settings take for its normal"""


@dataclass(frozen=True)
class Detected:
    """One run under one detector."""

    own: int | None
    """the step of the first alarm of any signal, in the detector's own settings"""
    levels: Mapping[str, Sequence[float]]
    """signal → the strictest setting that has fired, by look; 0 before any has"""
    steps: Sequence[int]


def detect(
    peer: Peer, runs: Mapping[Job, Ran], signals: Sequence[Signal], made: References
) -> dict[str, dict[Job, Detected]]:
    """Each detector of `peer` → each run. Raises PeerFailed."""
    held = {reference.name: reference for reference in made.signals}
    questions = []
    for ran in runs.values():
        found = judging.contrasts(ran, signals)
        questions.append(
            {
                "raw": [_scored(values) for values in found.values()],
                "standard": [
                    [detectors.standardise(held[name], look, by) for look, by in enumerate(detectors.changes(values))]
                    for name, values in found.items()
                ],
            }
        )
    out: dict[str, dict[Job, Detected]] = {}
    for (job, ran), said in zip(runs.items(), driver.ask(peer, [peer.module], questions), strict=True):
        names = list(judging.contrasts(ran, signals))
        for detector, told in said.items():
            first = min((look for look in told["own"] if look is not None), default=None)
            levels = {
                name: _levels(GRIDS[detector], firsts, len(ran.steps))
                for name, firsts in zip(names, told["firsts"], strict=True)
            }
            own = None if first is None else ran.steps[first]
            out.setdefault(detector, {})[job] = Detected(own, levels, ran.steps)
    return out


def _scored(values: Sequence[float]) -> list[float]:
    first = np.asarray(values[:FIRST_LOOKS], dtype=float)
    spread = float(first.std(ddof=1)) or 1.0
    return [float((value - first.mean()) / spread) for value in values]


def _levels(grid: Sequence[float], firsts: Sequence[int], looks: int) -> list[float]:
    return [max((grid[at] for at, first in enumerate(firsts) if first <= look), default=0.0) for look in range(looks)]
