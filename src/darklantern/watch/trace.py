"""What a watch has seen: readings and statistics, look by look. Pure bookkeeping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from darklantern.errors import WatchError
from darklantern.records.findings import Series
from darklantern.records.references import References, SignalReference
from darklantern.watch.judging import betting, detectors
from darklantern.watch.judging.betting import Bet
from darklantern.watch.judging.detectors import Threshold
from darklantern.watch.looking import Looked
from darklantern.watch.probes import Reading, Signal


@dataclass
class Track:
    """One signal's history."""

    signal: Signal
    readings: list[Reading] = field(default_factory=list)
    statistic: list[float] = field(default_factory=list)
    """standardised, gathered over looks, in multiples of its scale; of a bet its wealth's logarithm, in nats"""
    bets: list[Bet] = field(default_factory=list)
    """of a signal that bets, the bet after each look"""

    @property
    def contrasts(self) -> list[float]:
        """What each look says of the signal, its placebo taken off."""
        return [self.signal.contrast(reading) for reading in self.readings]


@dataclass(frozen=True)
class Past:
    """One look as it was, also when a rollback undid it."""

    step: int
    readings: Mapping[str, Reading]
    statistics: Mapping[str, float]


@dataclass(frozen=True)
class Standing:
    """A channel over its threshold at the newest look."""

    channel: str
    signal: str
    """that stands highest in it"""
    statistic: float
    threshold: Threshold
    says: Literal["circuit", "novelty"]


WARM_UP = 5
"""looks on which a watch without reference runs standardises its signals"""
UNCALIBRATED = Threshold(3.4, float("nan"), False, "no reference runs; standardised on this run's first looks")


class Trace:
    """All signals' histories, and the channels in which they may raise an alarm.

    The channel "joint" holds the highest of all internal signals that claim a circuit. Each signal that bets, and each
    that claims novelty alone, is a channel of its own: new but harmless data raises it, which must not count against
    the others. The rate `alpha` is split over channels alike. Behavioural monitors raise no alarm; they are held
    against the same rate as the joint statistic, for the race.

    A signal without a reference is standardised on the run's own first looks: good enough to see
    something large, no basis for a false-alarm rate. One internal signal of that kind takes the rate
    from all, since an alarm is about the highest of them; every alarm then says so.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        references: References | None = None,
        recipe: str = "",
        data: str = "",
        alpha: float = 0.05,
        every: int | None = None,
    ) -> None:
        _check(signals)
        self.tracks = {signal.name: Track(signal) for signal in signals}
        self.steps: list[int] = []
        self.joint: list[float] = []
        self.past: list[Past] = []
        """every look, those that a rollback undid too"""
        self.channels = (*(("joint",) if self._internal() else ()), *(s.name for s in signals if _stands_alone(s)))
        share = detectors.split(alpha, dict.fromkeys(self.channels, 1.0))
        self._references = {} if references is None else {r.name: r for r in references.signals}
        self._steps = () if references is None else references.steps
        self.limits: dict[str, Threshold] = {}
        """of each channel, and of each behavioural monitor that there are references for"""
        for name, track in self.tracks.items():
            if track.signal.detector == "betting":
                track.bets.append(betting.start())
                self.limits[name] = betting.limit("ville", share.get(name, share.get("joint", alpha)))
        for channel in self.channels:
            if channel in self.limits:
                continue
            if references is None:
                self.limits[channel] = UNCALIBRATED
            else:
                found = detectors.limits(references, recipe, data, share[channel], every)
                self.limits |= {channel: found.get(channel, UNCALIBRATED)}
                if channel == "joint":
                    self.limits |= {name: limit for name, limit in found.items() if self._is_behaviour(name)}
        joint = self.limits.get("joint")
        if references and joint and joint.calibrated and (missing := self._uncovered(references)):
            reason = f"no reference runs for {', '.join(missing)}"
            self.limits["joint"] = Threshold(joint.value, float("nan"), False, reason)

    @property
    def shown(self) -> dict[str, Track]:
        """The histories that may be shown: all but those of held-out monitors."""
        return {name: track for name, track in self.tracks.items() if not track.signal.held_out}

    @property
    def uncalibrated(self) -> str:
        """Why a channel has no stated false-alarm rate; empty when all have."""
        return next((self.limits[name].reason for name in self.channels if not self.limits[name].calibrated), "")

    def add(self, step: int, looked: Looked) -> None:
        """Append one look. Raises WatchError for scores that no bet can take, and then appends nothing."""
        look = len(self.steps)
        bets = {
            name: betting.look(track.bets[-1], *looked.scores.get(name, ((), ())))
            for name, track in self.tracks.items()
            if track.bets
        }
        if look < len(self._steps) and step != self._steps[look]:
            why = f"look {look + 1} was at step {step}, and at step {self._steps[look]} in the reference runs"
            for name in self._references:
                self._doubt(name, why)
        self.steps.append(step)
        for name, track in self.tracks.items():
            track.readings.append(looked.readings[name])
            if track.bets:
                track.bets.append(bets[name])
                track.statistic.append(track.bets[-1].log_wealth)
                continue
            reference = self._references.get(name) or self._own(track)
            changed = detectors.change(track.contrasts)
            before = track.statistic[-1] if look else 0.0
            if reference is None:
                track.statistic.append(detectors.smooth(before, 0.0))
            else:
                if name in self._references and look >= len(reference.mean):
                    self._doubt(name, "this run is longer than the reference runs")
                value = detectors.standardise(reference, look, changed)
                track.statistic.append(detectors.advance(reference, before, value))
        self.joint.append(max((track.statistic[-1] for track in self._internal()), default=0.0))
        newest = {name: track.statistic[-1] for name, track in self.tracks.items()}
        self.past.append(Past(step, dict(looked.readings), newest))

    def _doubt(self, name: str, why: str) -> None:
        """What these references say is no longer known to hold for a signal: its channel claims no rate."""
        if name not in self.tracks:
            return
        channel = "joint" if _shares(self.tracks[name].signal) else name
        if (limit := self.limits.get(channel)) is not None and limit.calibrated:
            self.limits[channel] = Threshold(limit.value, float("nan"), False, why)

    def _own(self, track: Track) -> SignalReference | None:
        if len(track.readings) <= WARM_UP:
            return None
        first = detectors.changes(track.contrasts[:WARM_UP])
        spread = max(float(np.std(first[1:])), track.signal.grain, 1e-6)
        detector: Literal["ewma", "cusum"] = "cusum" if track.signal.detector == "cusum" else "ewma"
        return SignalReference(name=track.signal.name, mean=(0.0,), spread=(spread,), detector=detector)

    def cut(self, looks: int) -> None:
        """Keep the first `looks` looks."""
        del self.steps[looks:], self.joint[looks:]
        for track in self.tracks.values():
            del track.readings[looks:], track.statistic[looks:], track.bets[looks + 1 :]

    def standing(self) -> list[Standing]:
        """The channels over their thresholds at the newest look; what claims a circuit comes first."""
        found = []
        for channel in self.channels:
            limit, curve = self.limits[channel], self.curve(channel)
            if curve and curve[-1] > limit.value:
                signal = self.highest().signal if channel == "joint" else self.tracks[channel].signal
                found.append(Standing(channel, signal.shown, curve[-1], limit, signal.says))
        return sorted(found, key=lambda each: each.says == "novelty")

    def curve(self, channel: str) -> Sequence[float]:
        """A channel's statistic at each look."""
        return self.joint if channel == "joint" else self.tracks[channel].statistic

    def highest(self) -> Track:
        """The internal signal that stands highest at the last look."""
        return max(self._internal(), key=lambda track: track.statistic[-1])

    def alarm_step(self, name: str) -> int | None:
        """The step at which a signal first crossed its threshold: the joint one for signals of that channel."""
        track, limit = self.tracks[name], self.limit(name)
        if limit is None:
            return None
        return detectors.first_crossing(self.steps, track.statistic, limit.value)

    def limit(self, name: str) -> Threshold | None:
        """The threshold that a signal's statistic is held against."""
        return self.limits.get("joint" if _shares(self.tracks[name].signal) else name)

    def series(self) -> tuple[Series, ...]:
        """The curves that may be shown: each signal's statistic against its threshold."""
        out = []
        for name, track in self.shown.items():
            limit = self.limit(name)
            out.append(
                Series(
                    name=name,
                    role=track.signal.role,
                    tier=track.signal.tier,
                    unit=self.unit(name),
                    steps=tuple(self.steps),
                    values=tuple(track.statistic),
                    threshold=limit.value if limit else None,
                    alarm=self.alarm_step(name),
                )
            )
        return tuple(out)

    def unit(self, name: str) -> str:
        """Of a signal's statistic."""
        if self.tracks[name].bets:
            return "logarithm of a bet's wealth, nats"
        if name in self._references:
            return "multiples of what 1 clean run in 20 reaches"
        return "standard deviations over first looks"

    def _uncovered(self, references: References) -> list[str]:
        """Internal signals that had no part in the maxima which the joint threshold rests on."""
        covered = self._references.keys() - references.behaviours.keys()
        return [_quoted(track.signal) for track in self._internal() if track.signal.name not in covered]

    def _is_behaviour(self, name: str) -> bool:
        return name in self.tracks and self.tracks[name].signal.role == "behaviour"

    def _internal(self) -> list[Track]:
        return [track for track in self.tracks.values() if _shares(track.signal)]


def _quoted(signal: Signal) -> str:
    return signal.shown if signal.held_out else repr(signal.name)


def _shares(signal: Signal) -> bool:
    """Whether a signal has its part in the joint statistic."""
    return signal.role == "signal" and signal.says == "circuit" and signal.detector != "betting"


def _stands_alone(signal: Signal) -> bool:
    """Whether a signal is a channel of its own."""
    return signal.role == "signal" and not _shares(signal)


def _check(signals: Sequence[Signal]) -> None:
    names = [signal.name for signal in signals]
    twice = sorted({_quoted(signal) for signal in signals if names.count(signal.name) > 1})
    if twice:
        raise WatchError(
            f"two signals are called {', '.join(twice)}: one would hide the other's alarm",
            hint="give each probe's signals names of their own, and each probe once",
        )
    if "joint" in names:
        raise WatchError("a signal is called 'joint', which names the statistic over all", hint="rename the signal")
    if not any(signal.role == "signal" for signal in signals):
        raise WatchError(
            f"expected at least one internal signal, got {len(names)} behavioural monitors and none",
            hint="an alarm is raised by internal signals; add a probe that has one, for example SpanProbe(trusted)",
        )
