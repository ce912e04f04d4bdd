"""river's ADWIN and Page–Hinkley on streams of signals: in their own settings, and swept."""

from collections.abc import Sequence
from typing import Any

from river import drift

from watching.peers.grids import GRIDS
from watching.peers.sweeping import Detector, First, serve


def _first(detector: Any, stream: Sequence[float]) -> First:
    for look, value in enumerate(stream):
        detector.update(value)
        if detector.drift_detected:
            return look
    return None


if __name__ == "__main__":
    adwin = Detector(
        lambda stream: _first(drift.ADWIN(), stream),
        # It looks at each 32nd value as it comes, of which a run has few.
        lambda stream, strictness, _: _first(drift.ADWIN(delta=10**-strictness, clock=1), stream),
    )
    hinkley = Detector(
        lambda stream: _first(drift.PageHinkley(), stream),
        lambda stream, strictness, _: _first(drift.PageHinkley(threshold=strictness, min_instances=5), stream),
    )
    detectors = {"ADWIN": adwin, "Page-Hinkley": hinkley}
    serve(detectors, GRIDS)
