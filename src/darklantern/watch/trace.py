"""What a watch has seen: readings and statistics, look by look. Pure bookkeeping."""

from dataclasses import dataclass, field

from darklantern.records.findings import Series
from darklantern.records.references import References
from darklantern.watch import detectors
from darklantern.watch.detectors import Threshold
from darklantern.watch.probes import Reading, Signal


@dataclass
class Track:
    """One signal's history."""

    signal: Signal
    readings: list[Reading] = field(default_factory=list)
    statistic: list[float] = field(default_factory=list)
    """standardised and smoothed; empty without reference runs"""


class Trace:
    """All signals' histories, the joint statistic, and where each first crossed its threshold."""

    def __init__(self, signals: list[Signal], references: References | None, limits: dict[str, Threshold]) -> None:
        self.tracks = {signal.name: Track(signal) for signal in signals}
        self.steps: list[int] = []
        self.joint: list[float] = []
        self.limits = limits
        self._references = {} if references is None else {r.name: r for r in references.signals}

    def add(self, step: int, readings: dict[str, Reading]) -> None:
        """Append one look."""
        look = len(self.steps)
        self.steps.append(step)
        for name, track in self.tracks.items():
            track.readings.append(readings[name])
            if name in self._references:
                value = detectors.standardise(self._references[name], look, readings[name].contrast)
                track.statistic.append(detectors.smooth(track.statistic[-1] if look else None, value))
        internal = [track.statistic[-1] for track in self._internal()]
        if internal:
            self.joint.append(max(internal))

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
        if limit is None or not track.statistic:
            return None
        return detectors.first_crossing(self.steps, track.statistic, limit.value)

    def limit(self, name: str) -> Threshold | None:
        """The threshold that a signal's statistic is held against."""
        return self.limits.get("joint" if self.tracks[name].signal.role == "signal" else name)

    def series(self) -> tuple[Series, ...]:
        """The curves for a finding: statistics where there are references, raw contrasts otherwise."""
        out = []
        for name, track in self.tracks.items():
            limit = self.limit(name)
            values = track.statistic or [reading.contrast for reading in track.readings]
            out.append(
                Series(
                    name=name,
                    role=track.signal.role,
                    tier=track.signal.tier,
                    unit="standard deviations over clean runs" if track.statistic else track.signal.unit,
                    steps=tuple(self.steps),
                    values=tuple(values),
                    threshold=limit.value if limit else None,
                    alarm=self.alarm_step(name),
                )
            )
        return tuple(out)

    def _internal(self) -> list[Track]:
        return [track for track in self.tracks.values() if track.signal.role == "signal" and track.statistic]
