"""What a watch has seen: readings and statistics, look by look. Pure bookkeeping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from darklantern.errors import WatchError
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
    """standardised, gathered over looks, in multiples of its scale"""


WARM_UP = 5
"""looks on which a watch without reference runs standardises its signals"""
UNCALIBRATED = Threshold(3.4, float("nan"), False, "no reference runs; standardised on this run's first looks")


class Trace:
    """All signals' histories, the joint statistic, and where each first crossed its threshold.

    A signal without a reference is standardised on the run's own first looks: good enough to see
    something large, no basis for a false-alarm rate. One internal signal of that kind takes the rate
    from all, since an alarm is about the highest of them; every alarm then says so.
    """

    def __init__(
        self, signals: Sequence[Signal], references: References | None, limits: Mapping[str, Threshold]
    ) -> None:
        _check(signals)
        self.tracks = {signal.name: Track(signal) for signal in signals}
        self.steps: list[int] = []
        self.joint: list[float] = []
        self.limits = dict(limits) if references else {"joint": UNCALIBRATED}
        self._references = {} if references is None else {r.name: r for r in references.signals}
        joint = self.limits["joint"]
        if references and joint.calibrated and (missing := self._uncovered(references)):
            reason = f"no reference runs for {', '.join(missing)}"
            self.limits["joint"] = Threshold(joint.value, float("nan"), False, reason)

    def add(self, step: int, readings: Mapping[str, Reading]) -> None:
        """Append one look."""
        look = len(self.steps)
        self.steps.append(step)
        for name, track in self.tracks.items():
            track.readings.append(readings[name])
            reference = self._references.get(name) or self._own(track)
            changed = detectors.change([reading.contrast for reading in track.readings])
            before = track.statistic[-1] if look else 0.0
            if reference is None:
                track.statistic.append(detectors.smooth(before, 0.0))
            else:
                value = detectors.standardise(reference, look, changed)
                track.statistic.append(detectors.advance(reference, before, value))
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
                    unit="multiples of a clean run's usual maximum"
                    if name in self._references
                    else "standard deviations over first looks",
                    steps=tuple(self.steps),
                    values=tuple(track.statistic),
                    threshold=limit.value if limit else None,
                    alarm=self.alarm_step(name),
                )
            )
        return tuple(out)

    def _uncovered(self, references: References) -> list[str]:
        """Internal signals that had no part in the maxima which the joint threshold rests on."""
        covered = self._references.keys() - references.behaviours.keys()
        return [repr(track.signal.name) for track in self._internal() if track.signal.name not in covered]

    def _internal(self) -> list[Track]:
        return [track for track in self.tracks.values() if track.signal.role == "signal"]


def _check(signals: Sequence[Signal]) -> None:
    names = [signal.name for signal in signals]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WatchError(
            f"two signals are called {', '.join(map(repr, twice))}: one would hide the other's alarm",
            hint="give each probe's signals names of their own, and each probe once",
        )
    if "joint" in names:
        raise WatchError("a signal is called 'joint', which names the statistic over all", hint="rename the signal")
    if not any(signal.role == "signal" for signal in signals):
        raise WatchError(
            f"expected at least one internal signal, got {len(names)} behavioural monitors and none",
            hint="an alarm is raised by internal signals; add a probe that has one, for example SpanProbe(trusted)",
        )
