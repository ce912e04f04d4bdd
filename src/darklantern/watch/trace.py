"""What a watch has seen: readings and statistics, look by look. Pure bookkeeping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from darklantern.records.findings import Series
from darklantern.records.references import References, SignalReference
from darklantern.watch import detectors
from darklantern.watch.detectors import Threshold
from darklantern.watch.probes import Reading, Signal


@dataclass
class Track:
    """One signal's history."""

    signal: Signal
    readings: list[Reading] = field(default_factory=list)
    statistic: list[float] = field(default_factory=list)
    """standardised and smoothed"""


WARM_UP = 5
"""looks on which a watch without reference runs standardises its signals"""
UNCALIBRATED = Threshold(3.4, float("nan"), False, "no reference runs; standardised on this run's first looks")


class Trace:
    """All signals' histories, the joint statistic, and where each first crossed its threshold.

    Without references, each signal is standardised on the run's own first looks: good enough to
    see something large, no basis for a false-alarm rate, and every alarm says so.
    """

    def __init__(
        self, signals: Sequence[Signal], references: References | None, limits: Mapping[str, Threshold]
    ) -> None:
        self.tracks = {signal.name: Track(signal) for signal in signals}
        self.steps: list[int] = []
        self.joint: list[float] = []
        self.limits = dict(limits) if references else {"joint": UNCALIBRATED}
        self._references = {} if references is None else {r.name: r for r in references.signals}

    def add(self, step: int, readings: Mapping[str, Reading]) -> None:
        """Append one look."""
        look = len(self.steps)
        self.steps.append(step)
        for name, track in self.tracks.items():
            track.readings.append(readings[name])
            reference = self._references.get(name) or self._own(track)
            changed = detectors.change([reading.contrast for reading in track.readings])
            value = 0.0 if reference is None else detectors.standardise(reference, look, changed)
            track.statistic.append(detectors.smooth(track.statistic[-1] if look else 0.0, value))
        self.joint.append(max(track.statistic[-1] for track in self._internal()))

    def _own(self, track: Track) -> SignalReference | None:
        if len(track.readings) <= WARM_UP:
            return None
        first = detectors.changes([reading.contrast for reading in track.readings[:WARM_UP]])
        return SignalReference(
            name=track.signal.name, mean=(0.0,), spread=max(float(np.std(first[1:])), track.signal.grain, 1e-6)
        )

    def cut(self, looks: int) -> None:
        """Keep the first `looks` looks."""
        del self.steps[looks:], self.joint[looks:]
        for track in self.tracks.values():
            del track.readings[looks:], track.statistic[looks:]

    def highest(self) -> Track:
        """The internal signal that stands highest at the last look."""
        return max(self._internal(), key=lambda track: track.statistic[-1])

    def alarm_step(self, name: str) -> int | None:
        """The step at which a signal first crossed its threshold: the joint one for internal signals."""
        track, limit = self.tracks[name], self.limit(name)
        if limit is None:
            return None
        return detectors.first_crossing(self.steps, track.statistic, limit.value)

    def limit(self, name: str) -> Threshold | None:
        """The threshold that a signal's statistic is held against."""
        return self.limits.get("joint" if self.tracks[name].signal.role == "signal" else name)

    def series(self) -> tuple[Series, ...]:
        """The curves for a finding: each signal's statistic against its threshold."""
        out = []
        for name, track in self.tracks.items():
            limit = self.limit(name)
            out.append(
                Series(
                    name=name,
                    role=track.signal.role,
                    tier=track.signal.tier,
                    unit="standard deviations over clean runs"
                    if self._references
                    else "standard deviations over first looks",
                    steps=tuple(self.steps),
                    values=tuple(track.statistic),
                    threshold=limit.value if limit else None,
                    alarm=self.alarm_step(name),
                )
            )
        return tuple(out)

    def _internal(self) -> list[Track]:
        return [track for track in self.tracks.values() if track.signal.role == "signal"]
