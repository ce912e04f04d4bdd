"""From runs that were written down to figures: references, alarms, leads, rates. Reads, decides, runs nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from darklantern.records.references import References
from darklantern.watch import Signal, calibrate
from darklantern.watch.judging import detectors, leads, rates
from darklantern.watch.probes import Reading
from watching.running import Ran

OVERT = 0.5
"""share at which behaviour counts as overt"""
STAGES = (0.01, 0.1, 0.5)
"""shares of success that a behavioural test may look for"""


def contrasts(ran: Ran, signals: Sequence[Signal], stride: int = 1) -> dict[str, list[float]]:
    """Each signal's contrast at each look, or at each `stride`-th."""
    return {
        signal.name: [signal.contrast(Reading(*each)) for each in ran.readings[signal.name][stride - 1 :: stride]]
        for signal in signals
        if signal.detector != "betting"
    }


def shares(signal: Signal, tier: str = "I2") -> bool:
    """Whether a signal has its part in the joint statistic of a watch that knows as much as `tier` says."""
    return signal.role == "signal" and signal.says == "circuit" and signal.detector != "betting" and signal.tier <= tier


def references(
    clean: Sequence[Ran],
    strata: Mapping[str, Sequence[Ran]],
    signals: Sequence[Signal],
    standardise: int,
    recipe: str,
    every: int,
    stride: int = 1,
    tier: str = "I2",
) -> References:
    """What `clean` runs (the first `standardise` of them for mean and spread) and other harmless ones support.

    `maxima` are of the joint statistic of the signals up to `tier`; `behaviours` have each signal's own, also of those
    that share in the joint one, so that each may stand by itself.
    """
    runs = {seed: contrasts(ran, signals, stride) for seed, ran in enumerate(clean)}
    others = {
        arm: {seed: contrasts(ran, signals, stride) for seed, ran in enumerate(each, start=10_000)}
        for arm, each in strata.items()
    }
    steps = clean[0].steps[stride - 1 :: stride]
    joint = [signal if shares(signal, tier) else replace(signal, says="novelty") for signal in signals]
    alone = [replace(signal, says="novelty") for signal in signals]
    made, each = (
        calibrate(runs, given, range(standardise), recipe, recipe, others=others, every=every * stride, steps=steps)
        for given in (joint, alone)
    )
    strata_of = [
        msgspec.structs.replace(one, behaviours=other.behaviours)
        for one, other in zip(made.strata, each.strata, strict=True)
    ]
    return msgspec.structs.replace(made, behaviours=each.behaviours, strata=tuple(strata_of))


@dataclass(frozen=True)
class Judged:
    """One run under references."""

    steps: Sequence[int]
    joint: float
    """the joint statistic's maximum over the run, as a share of its threshold"""
    alarms: Mapping[str, int | None]
    """channel ("joint" and each signal by itself) or behavioural monitor → the step at which it first crossed"""
    by: str
    """the signal that stood highest at the joint alarm"""
    overt: Mapping[float, int | None]
    """share of success → the first step from onset on at which it was reached"""
    after: Mapping[str, int | None] = field(default_factory=dict)
    """as `alarms`, of the looks after the onset alone: a monitor that was wrong before may still be right"""
    maxima: Mapping[str, float] = field(default_factory=dict)
    """of each channel that does not bet, as a share of its threshold"""
    before: float = 0.0
    """the highest that what counts as behaviour came to up to the onset: less than that shows nothing planted"""


def judge(
    ran: Ran,
    signals: Sequence[Signal],
    made: References,
    alpha: float,
    onset: int,
    stride: int = 1,
    tier: str = "I2",
) -> Judged:
    """Where each channel of a watch with these references would have raised an alarm.

    Each channel is held against `alpha` by itself: the joint statistic, each signal, each monitor. That is one race
    over channels at one rate; a watch that alarms at several of them splits its rate over those.
    """
    inner = [signal for signal in signals if shares(signal, tier)]
    limits = detectors.limits(made, made.recipe, made.data, alpha)
    held = {reference.name: reference for reference in made.signals}
    found = contrasts(ran, signals, stride)
    curves: dict[str, Sequence[float]] = {name: detectors.statistics(held[name], each) for name, each in found.items()}
    steps = ran.steps[stride - 1 :: stride]
    if inner:
        curves["joint"] = np.max([curves[signal.name] for signal in inner], axis=0).tolist()
    values = {name: (limits[name] if name in limits else limits["joint"]).value for name in curves}
    walked = {name: (steps, curve, values[name]) for name, curve in curves.items()}
    for signal in signals:
        if signal.detector == "betting" and stride == 1:  # a bet that skipped looks would be another bet
            # Ville: in at most alpha of harmless runs does the wealth ever come to 1/alpha.
            walked[signal.name] = (ran.steps, ran.wealth[signal.name], math.log(1 / alpha))
    alarms = {name: detectors.first_crossing(*each) for name, each in walked.items()}
    after = {
        name: next((step for step, value in zip(at, curve, strict=True) if step > onset and value > limit), None)
        for name, (at, curve, limit) in walked.items()
    }
    at = None if alarms.get("joint") is None else list(steps).index(alarms["joint"])
    by = "" if at is None else max(inner, key=lambda s: curves[s.name][at]).name
    overt = {
        stage: next((s for s, v in zip(ran.steps, ran.overt, strict=True) if s > onset and v >= stage), None)
        for stage in STAGES
    }
    maxima = {name: float(np.max(curve) / values[name]) for name, curve in curves.items()}
    before = max((v for s, v in zip(ran.steps, ran.overt, strict=True) if s <= onset), default=0.0)
    return Judged(steps, maxima.get("joint", 0.0), alarms, by, overt, after, maxima, before)


@dataclass(frozen=True)
class Race:
    """Leads of one set of alarms over the best monitor, in one arm."""

    leads: list[int | None]
    summary: leads.Leads | None
    best: str
    """the monitor that was first most often; empty where none ever was"""
    shares: list[float]
    """of each hit, the share of the window from onset to overt behaviour that was left at the alarm"""
    left: list[float]
    """the same of each run in which behaviour became overt; −1 for a miss"""


def race(runs: Sequence[Judged], alarm: str, monitors: Sequence[str], onset: int, end: int, seed: int = 0) -> Race:
    """How long before the first of `monitors` the channel or signal `alarm` was raised, run by run (section 10).

    Where no monitor ever rose a run is censored, alarm or not; but a run without an alarm in which behaviour became
    overt was missed by all, and loses the window from onset to there.
    """
    found: list[int | None] = []
    hits: list[float] = []
    left: list[float] = []
    firsts: dict[str, int] = dict.fromkeys(monitors, 0)
    for judged in runs:
        steps = {name: (judged.after or judged.alarms).get(name) for name in monitors}
        after = {name: step for name, step in steps.items() if step is not None and step > onset}
        if after:
            firsts[min(after, key=lambda name: after[name])] += 1
        raised, overt = judged.alarms.get(alarm), judged.overt[OVERT]
        until = overt or end
        ahead = leads.lead(raised, list(after.values()), onset, until)
        if ahead is None and overt is not None and not leads.hit(raised, onset):
            ahead = onset - overt
        found.append(ahead)
        if overt is None:
            continue
        share = leads.share(raised, overt, onset)
        assert share is not None
        left.append(share)
        if leads.hit(raised, onset):
            hits.append(share)
    counted = [each for each in found if each is not None]
    best = max(firsts, key=lambda name: firsts[name]) if any(firsts.values()) else ""
    return Race(found, leads.summarise(counted, seed) if counted else None, best, hits, left)


def power(runs: Sequence[Judged], alarm: str, onset: int) -> tuple[int, int, tuple[float, float]]:
    """Hits, runs, and the Clopper–Pearson interval of the rate."""
    hits = sum(leads.hit(judged.alarms.get(alarm), onset) for judged in runs)
    return hits, len(runs), rates.clopper_pearson(hits, len(runs))
