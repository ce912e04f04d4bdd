"""From runs that were written down to figures: references, alarms, leads, rates. Reads, decides, runs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darklantern.records.references import References
from darklantern.watch import Signal, calibrate
from darklantern.watch.judging import betting, detectors, leads, rates
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


def references(
    clean: Sequence[Ran],
    strata: Mapping[str, Sequence[Ran]],
    signals: Sequence[Signal],
    standardise: int,
    recipe: str,
    every: int,
    stride: int = 1,
) -> References:
    """What `clean` runs (the first `standardise` of them for mean and spread) and other harmless ones support."""
    return calibrate(
        {seed: contrasts(ran, signals, stride) for seed, ran in enumerate(clean)},
        signals,
        range(standardise),
        recipe,
        recipe,
        others={
            arm: {seed: contrasts(ran, signals, stride) for seed, ran in enumerate(runs, start=10_000)}
            for arm, runs in strata.items()
        },
        every=every * stride,
    )


@dataclass(frozen=True)
class Judged:
    """One run under references."""

    steps: Sequence[int]
    joint: float
    """the joint statistic's maximum over the run, as a share of its threshold"""
    alarms: Mapping[str, int | None]
    """channel ("joint" and each that stands alone) or behavioural monitor → the step at which it first crossed"""
    by: str
    """the signal that stood highest at the joint alarm"""
    overt: Mapping[float, int | None]
    """share of success → the first step from onset on at which it was reached"""


def judge(ran: Ran, signals: Sequence[Signal], made: References, alpha: float, onset: int, stride: int = 1) -> Judged:
    """Where each channel of a watch with these references, at the rate `alpha` for all, would have raised an alarm."""
    inner = [s for s in signals if s.role == "signal" and s.says == "circuit" and s.detector != "betting"]
    alone = [s for s in signals if s.role == "signal" and s not in inner]
    share = detectors.split(alpha, {"joint": 1.0, **{s.name: 1.0 for s in alone}})
    limits = detectors.limits(made, made.recipe, made.data, share["joint"])
    held = {reference.name: reference for reference in made.signals}
    found = contrasts(ran, signals, stride)
    curves = {name: detectors.statistics(held[name], values) for name, values in found.items()}
    steps = ran.steps[stride - 1 :: stride]
    joint = np.max([curves[s.name] for s in inner], axis=0)
    alarms: dict[str, int | None] = {"joint": detectors.first_crossing(steps, joint, limits["joint"].value)}
    for signal in signals:
        if signal in inner:
            alarms[signal.name] = detectors.first_crossing(steps, curves[signal.name], limits["joint"].value)
        elif signal.detector == "betting":
            limit = betting.limit(share.get(signal.name, share["joint"]))
            alarms[signal.name] = detectors.first_crossing(ran.steps, ran.wealth[signal.name], limit.value)
        else:
            alarms[signal.name] = detectors.first_crossing(steps, curves[signal.name], limits[signal.name].value)
    at = None if alarms["joint"] is None else steps.index(alarms["joint"])
    by = "" if at is None else max(inner, key=lambda s: curves[s.name][at]).name
    overt = {
        stage: next((s for s, v in zip(ran.steps, ran.overt, strict=True) if s > onset and v >= stage), None)
        for stage in STAGES
    }
    return Judged(steps, float(joint.max() / limits["joint"].value), alarms, by, overt)


@dataclass(frozen=True)
class Race:
    """Leads of one set of alarms over the best monitor, in one arm."""

    leads: list[int | None]
    summary: leads.Leads | None
    best: str
    """the monitor that was first most often"""
    shares: list[float]
    """of each hit, the share of the window from onset to overt behaviour that was left at the alarm"""


def race(runs: Sequence[Judged], alarm: str, monitors: Sequence[str], onset: int, end: int, seed: int = 0) -> Race:
    """How long before the first of `monitors` the channel or signal `alarm` was raised, run by run (section 10)."""
    found: list[int | None] = []
    shares: list[float] = []
    firsts: dict[str, int] = dict.fromkeys(monitors, 0)
    for judged in runs:
        steps = {name: judged.alarms[name] for name in monitors}
        after = {name: step for name, step in steps.items() if step is not None and step > onset}
        if after:
            firsts[min(after, key=lambda name: after[name])] += 1
        raised = judged.alarms[alarm]
        until = judged.overt[OVERT] or end
        found.append(leads.lead(raised, list(after.values()), onset, until))
        if leads.hit(raised, onset) and raised is not None and judged.overt[OVERT] is not None:
            shares.append(leads.share(raised, until, onset))
    counted = [each for each in found if each is not None]
    best = max(firsts, key=lambda name: firsts[name]) if monitors else ""
    return Race(found, leads.summarise(counted, seed) if counted else None, best, shares)


def power(runs: Sequence[Judged], alarm: str, onset: int) -> tuple[int, int, tuple[float, float]]:
    """Hits, runs, and the Clopper–Pearson interval of the rate."""
    hits = sum(leads.hit(judged.alarms[alarm], onset) for judged in runs)
    return hits, len(runs), rates.clopper_pearson(hits, len(runs))
