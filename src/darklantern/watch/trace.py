"""What a watch has seen: readings and statistics, look by look. Pure bookkeeping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Literal

import numpy as np

from darklantern.counted import counted
from darklantern.errors import WatchError
from darklantern.records.findings import Series
from darklantern.records.references import Detector, References, SignalReference
from darklantern.watch.digests import judged
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
    since: int = 0
    """looks whose readings later ones are not held against: of a run that went on without what they stood on"""
    _contrasts: list[float] = field(default_factory=list, repr=False)
    """of the first readings: made once for each, since a look wants all of them"""

    @property
    def contrasts(self) -> list[float]:
        """What each look says of the signal, its placebo taken off."""
        done = len(self._contrasts)
        self._contrasts += [self.signal.contrast(reading) for reading in self.readings[done:]]
        return list(self._contrasts)

    @property
    def detector(self) -> Detector:
        """Of a signal that does not bet."""
        assert self.signal.detector != "betting"
        return self.signal.detector


@dataclass(frozen=True)
class Past:
    """One look as it was, also when a rollback undid it."""

    step: int
    readings: Mapping[str, Reading]
    statistics: Mapping[str, float]
    before: int = 0
    """looks that stood before it"""


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
    something large, no basis for a false-alarm rate. Beside references it is a channel of its own, since its unit is
    not theirs: it claims no rate, takes none of `alpha`, and leaves the claims of the others as they are.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        references: References | None = None,
        recipe: str = "",
        data: str = "",
        alpha: float = 0.05,
        every: int | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        _check(signals)
        self.tracks = {signal.name: Track(signal) for signal in signals}
        self.steps: list[int] = []
        self.joint: list[float] = []
        self.past: list[Past] = []
        """every look, those that a rollback undid too"""
        apart = {} if references is None else references.behaviours
        referred = frozenset() if references is None else frozenset(r.name for r in references.signals)
        inner = [s.name for s in signals if _shares(s)]
        self._inner = frozenset(n for n in inner if references is None or n in referred - apart.keys())
        """the signals of the joint statistic"""
        alone = [s.name for s in signals if s.role == "signal" and s.name not in self._inner]
        self.channels = (*(("joint",) if self._inner else ()), *alone)
        bets = {s.name for s in signals if s.detector == "betting"}
        may_claim = [c for c in self.channels if references is None or c in bets or c == "joint" or c in apart]
        share = detectors.split(alpha, dict.fromkeys(may_claim, 1.0)) if may_claim else {}
        self.over_all = alpha if len(share) > 1 else None
        """the rate that several channels share"""
        self.digests = dict(digests or {})
        """signal → hash of what its readings come from"""
        held = () if references is None else references.signals
        self._references = {r.name: r for r in held if r.name in share or r.name not in self.channels}
        """of no signal whose limit is not from references: its statistic would be in another unit than that"""
        self._steps = () if references is None else references.steps
        if references is not None and share.keys() - bets:
            _check_enough(references, alpha, share)
        self.limits: dict[str, Threshold] = {}
        """of each channel, and of each behavioural monitor that there are references for"""
        for name, track in self.tracks.items():
            if name in bets:
                track.bets.append(betting.start())
                self.limits[name] = betting.limit(share.get(name, share.get("joint", alpha)))
        for channel in self.channels:
            if channel in self.limits:
                continue
            if references is None:
                self.limits[channel] = UNCALIBRATED
            elif channel not in share:
                self.limits[channel] = _unreferred(self.tracks[channel].signal)
            else:
                found = detectors.limits(references, recipe, data, share[channel], every)
                self.limits[channel] = found[channel]
                if channel == "joint":
                    self.limits |= {name: limit for name, limit in found.items() if self._is_behaviour(name)}
        self._ranks = 1 if references is None else references.ranks
        if digests is not None:
            self._compare(digests)

    @property
    def shown(self) -> dict[str, Track]:
        """The histories that may be shown: all but those of held-out monitors."""
        return {name: track for name, track in self.tracks.items() if not track.signal.held_out}

    @property
    def judged_from(self) -> dict[str, int]:
        """Signal → the first look, counted from 1, whose statistic says anything: 1 with references, and of a bet."""
        at_once = {name for name, track in self.tracks.items() if track.bets} | self._references.keys()
        return {name: 1 if name in at_once else WARM_UP + 1 for name in self.tracks}

    @property
    def uncalibrated(self) -> str:
        """Why channels have no stated false-alarm rate; empty when all have."""
        held = (self.limits[name] for name in self.channels)
        return "; ".join(dict.fromkeys(limit.reason for limit in held if not limit.calibrated))

    def add(self, step: int, looked: Looked) -> None:
        """Append one look, whole or not at all. Raises WatchError for scores that no bet can take.

        A signal that was not read, as records of an earlier process have none of a held-out monitor, stands at 0.
        """
        looks, past, limits = len(self.steps), len(self.past), dict(self.limits)
        try:
            self._add(step, looked)
        except BaseException:  # an interrupt too
            self.cut(looks)
            del self.past[past:]
            self.limits = limits
            raise

    def _add(self, step: int, looked: Looked) -> None:
        look = len(self.steps)
        bets = {
            name: betting.look(track.bets[-1], *looked.scores.get(name, ((), ())))
            for name, track in self.tracks.items()
            if track.bets
        }
        if look < len(self._steps) and step != self._steps[look]:
            why = f"look {look + 1} was at step {step}, and at step {self._steps[look]} in the reference runs"
            for name in self._references:
                self.doubt(name, why)
        self.steps.append(step)
        for name, track in self.tracks.items():
            track.readings.append(looked.readings.get(name, Reading(0.0)))
            if track.bets:
                track.bets.append(bets[name])
                track.statistic.append(track.bets[-1].log_wealth)
                continue
            if name not in looked.readings:
                track.statistic.append(0.0)
                continue
            reference = self._references.get(name) or self._own(track)
            changed = detectors.change(track.contrasts[track.since :], track.detector)
            before = track.statistic[-1] if look > track.since else 0.0
            if reference is None:
                track.statistic.append(detectors.smooth(before, 0.0))
            else:
                if name in self._references and look >= len(reference.mean):
                    self.doubt(name, "this run is longer than the reference runs")
                value = detectors.standardise(reference, look, changed)
                if name not in self._references:  # no harmless run says how wild one look may be
                    value = max(-detectors.BOUND, min(detectors.BOUND, value))
                track.statistic.append(detectors.advance(reference, before, value))
        self.joint.append(max((track.statistic[-1] for track in self._internal()), default=0.0))
        newest = {name: track.statistic[-1] for name, track in self.tracks.items()}
        self.past.append(Past(step, dict(looked.readings), newest, look))

    def on_ranks(self, count: int) -> None:
        """So many processes train together."""
        if count != self._ranks:
            for name in self._references:
                self.doubt(name, f"{counted(self._ranks, 'rank')} trained together in the reference runs, here {count}")

    def _compare(self, digests: Mapping[str, str]) -> None:
        """What a signal's readings come from now, with what they came from in the reference runs."""
        for name, reference in self._references.items():
            if (track := self.tracks.get(name)) is None:
                continue
            ours = judged(digests.get(name, ""), track.signal, detectors.constants(track.signal.detector))
            called = _quoted(track.signal)
            if ours is None:
                self.doubt(name, f"{called} uses what no hash can speak for: see its probe's settings")
            elif reference.digest is None:
                named = "w.trace.digests" if track.signal.held_out else "w.digests"
                self.doubt(name, f"the references do not say how {called} was read: calibrate(..., digests={named})")
            elif ours != reference.digest:
                why = f"{called} is read or judged otherwise than in the reference runs: other settings, or another"
                self.doubt(name, f"{why} version of its probe or of the detectors")

    def begin_anew(self, name: str) -> None:
        """From now on a signal is held against its own later looks alone."""
        self.tracks[name].since = len(self.steps)

    def doubt(self, name: str, why: str) -> None:
        """The rate of a signal is no longer known to hold: its channel claims none."""
        if name not in self.tracks:
            return
        channel = self._channel(name)
        if (limit := self.limits.get(channel)) is not None and limit.calibrated:
            self.limits[channel] = Threshold(limit.value, float("nan"), False, why)

    def _own(self, track: Track) -> SignalReference | None:
        if len(track.readings) - track.since <= WARM_UP:
            return None
        warming = slice(track.since, track.since + WARM_UP)
        first = detectors.changes(track.contrasts[warming], track.detector)
        sizes = [track.signal.size(reading) for reading in track.readings[warming]]
        spread = max(float(np.std(first[1:])), detectors.least(track.signal.grain, sizes), 1e-6)
        return SignalReference(name=track.signal.name, mean=(0.0,), spread=(spread,), detector=track.detector)

    def cut(self, looks: int) -> None:
        """Keep the first `looks` looks."""
        del self.steps[looks:], self.joint[looks:]
        for track in self.tracks.values():
            del track.readings[looks:], track.statistic[looks:], track.bets[looks + 1 :]
            del track._contrasts[looks:]
            track.since = min(track.since, looks)

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

    def rise_began(self, channel: str, quiet: float) -> int:
        """Index of the newest look from before a rise in a channel; −1 if there was none.

        There its statistic stood at or below `quiet` of its threshold, and each CUSUM in it at 0: where one left 0 last
        is where what it gathers began, by its own estimate (Page 1954).
        """
        tracks = self._internal() if channel == "joint" else [self.tracks[channel]]
        creeping = [track.statistic for track in tracks if track.signal.detector == "cusum"]
        whole = detectors.rise_began(self.curve(channel), quiet * self.limits[channel].value)
        return min([whole, *(detectors.rise_began(each, 0.0) for each in creeping)])

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
        return self.limits.get(self._channel(name))

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

    def _channel(self, name: str) -> str:
        return "joint" if name in self._inner else name

    def _is_behaviour(self, name: str) -> bool:
        return name in self.tracks and self.tracks[name].signal.role == "behaviour"

    def _internal(self) -> list[Track]:
        return [track for name, track in self.tracks.items() if name in self._inner]


def _quoted(signal: Signal) -> str:
    return signal.shown if signal.held_out else repr(signal.name)


def _shares(signal: Signal) -> bool:
    """Whether a signal has its part in the joint statistic, if there are references for it or for none."""
    return signal.role == "signal" and signal.says == "circuit" and signal.detector != "betting"


def _unreferred(signal: Signal) -> Threshold:
    reason = f"no reference runs for {_quoted(signal)}, which is judged apart by its own first looks"
    return Threshold(UNCALIBRATED.value, float("nan"), False, reason)


def _check_enough(references: References, alpha: float, share: Mapping[str, float]) -> None:
    """Raises WatchError for fewer runs than the part of `alpha` takes that each of several channels has."""
    runs = min(len(maxima) for maxima in (references.maxima, *(arm.maxima for arm in references.strata)))
    channels, least = len(share), len(share) / (runs + 1)
    if channels > 1 and min(share.values()) < 1 / (runs + 1):
        raise WatchError(
            f"a false-alarm rate of {alpha:g}, shared by {channels} channels, needs {ceil(channels / alpha) - 1} "
            f"reference runs to calibrate on, got {runs}",
            hint=f"alpha={floor(1000 * least + 1) / 1000:g} in the watch claims what these support; or more runs, with "
            "`darklantern watch calibrate`, or fewer signals that alarm by themselves",
        )


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
