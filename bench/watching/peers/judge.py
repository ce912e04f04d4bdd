"""From runs with a peer to figures: its own alarm, and the run maximum over its streams. Reads, decides, runs nothing.

The run maximum is the product's own, with the product's constants: each stream is a signal, both ways, since no peer
says which way danger lies; the threshold is the largest maximum that as many clean runs support at the rate.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.records.references import References
from darklantern.watch import Signal, calibrate
from darklantern.watch.judging import detectors, leads, rates
from watching.judging import OVERT
from watching.peers.detecting import Detected
from watching.peers.plan import Counts
from watching.peers.ran import PeerRan
from watching.suite import Job

GRAIN = 1e-3
"""the smallest change of a stream worth a standard deviation: a thousandth of a size, or of a nat"""
BEHIND = ("references", "strata")
"""parts that are behind a threshold, and so not judged by it"""
Alarms = Mapping[Job, int | None]
"""run → the step of its first alarm"""


@dataclass(frozen=True)
class Standing:
    """How one way of raising alarms did in one experiment."""

    hits: int
    poisoned: int
    false: int
    clean: int
    harmless: Mapping[str, tuple[int, int]]
    """other harmless arm → alarms, runs"""
    to_overt: leads.Leads | None
    """steps before overt behaviour; None where no run came to that"""
    over_ours: leads.Leads | None
    """steps before our own alarm, over the runs in which it was raised after onset"""

    def told(self) -> dict[str, Any]:
        """For a line's detail."""
        return {
            "hits": f"{self.hits} of {self.poisoned}",
            "false_alarms": f"{self.false} of {self.clean}",
            "false_alarm_interval": [round(each, 3) for each in rates.clopper_pearson(self.false, self.clean)],
            "harmless_alarms": {arm: f"{alarms} of {runs}" for arm, (alarms, runs) in self.harmless.items()},
            "lead_to_overt": _said(self.to_overt),
            "lead_over_ours": _said(self.over_ours),
        }


def stand(alarms: Alarms, overt: Alarms, ours: Alarms, onset: int, end: int) -> Standing:
    """Hits, false alarms and leads. An alarm up to onset is a false one, in a poisoned run as well."""
    clean = [job for job in alarms if job.part in ("references", "further")]
    poisoned = [job for job in alarms if job.part == "poisoned"]
    to_overt = [leads.lead(alarms[job], [overt[job]], onset, overt[job] or end) for job in poisoned]
    over_ours = [leads.lead(alarms[job], [ours[job]], onset, overt[job] or end) for job in poisoned]
    return Standing(
        hits=sum(leads.hit(alarms[job], onset) for job in poisoned),
        poisoned=len(poisoned),
        false=sum(alarms[job] is not None for job in clean),
        clean=len(clean),
        harmless={arm: (sum(alarms[job] is not None for job in of), len(of)) for arm, of in _arms(alarms).items()},
        to_overt=leads.summarise(to_overt, seed=0),
        over_ours=leads.summarise(over_ours, seed=0),
    )


def overt(bare: Mapping[Job, PeerRan], onset: int) -> dict[Job, int | None]:
    """When the overt behaviour was there, by runs in which it was asked for."""
    return {
        job: next((int(step) for step, value in ran.overt.items() if int(step) > onset and value >= OVERT), None)
        for job, ran in bare.items()
    }


def own(runs: Mapping[Job, PeerRan], since: int = 0) -> dict[Job, int | None]:
    """A peer's own first alarm in each run, not counting those up to `since`."""
    return {job: min((step for step in ran.alarms if step > since), default=None) for job, ran in runs.items()}


def both_ways(runs: Mapping[Job, PeerRan]) -> tuple[list[Signal], dict[Job, dict[str, list[float]]]]:
    """A peer's streams as signals, each up and down, and their contrasts in each run."""
    names = list(next(iter(runs.values())).streams)
    ways = {f"{name} {way}": (name, sign) for name in names for way, sign in (("up", 1.0), ("down", -1.0))}
    signals = [Signal(way, "I0", "signal", "", "a peer's stream", GRAIN) for way in ways]
    found = {
        job: {way: [sign * value for value in _finite(ran.streams[name])] for way, (name, sign) in ways.items()}
        for job, ran in runs.items()
    }
    return signals, found


def references(
    contrasts: Mapping[Job, Mapping[str, Sequence[float]]], signals: Sequence[Signal], counts: Counts
) -> References:
    """What the reference runs support: as many as ours have, and as many of other harmless arms."""
    of = _references(contrasts)
    nothing = "0" * 64
    return calibrate(
        {job.seed: contrasts[job] for job in of},
        signals,
        [job.seed for job in of][: counts.standardise],
        nothing,
        nothing,
        others={arm: {job.seed: contrasts[job] for job in jobs} for arm, jobs in _arms(contrasts, "strata").items()},
    )


def run_maximum(
    steps: Sequence[int],
    contrasts: Mapping[Job, Mapping[str, Sequence[float]]],
    made: References,
    alpha: float,
) -> dict[Job, int | None]:
    """Where the joint statistic first exceeds the threshold, in each run that is no reference."""
    limit = detectors.limits(made, made.recipe, made.data, alpha)["joint"].value
    out: dict[Job, int | None] = {}
    for job, found in contrasts.items():
        if job.part not in BEHIND:
            curves = [detectors.statistics(reference, found[reference.name]) for reference in made.signals]
            out[job] = detectors.first_crossing(steps, np.max(curves, axis=0), limit)
    return out


def swept_maximum(runs: Mapping[Job, Detected], counts: Counts, alpha: float) -> dict[Job, int | None]:
    """The same for a swept detector: its strictest setting that fired, over what that comes to in clean runs."""
    of = _references(runs)
    scales: dict[str, float] = {}
    for name in runs[of[0]].levels:
        highest = [max(runs[job].levels[name]) for job in of[: counts.standardise]]
        scales[name] = float(np.mean(highest) + detectors.TAIL * np.std(highest, ddof=1)) or 1.0
    joint = {
        job: np.max([np.asarray(values) / scales[name] for name, values in found.levels.items()], axis=0)
        for job, found in runs.items()
    }
    behind = {"clean": of[counts.standardise :], **_arms(runs, "strata")}
    maxima = {arm: [float(joint[job].max()) for job in jobs] for arm, jobs in behind.items()}
    limit = detectors.strictest(maxima, alpha).value
    return {
        job: detectors.first_crossing(found.steps, joint[job], limit)
        for job, found in runs.items()
        if job.part not in BEHIND
    }


def _references(jobs: Iterable[Job]) -> list[Job]:
    return sorted((job for job in jobs if job.part == "references"), key=lambda job: job.seed)


def _arms(jobs: Iterable[Job], *parts: str) -> dict[str, list[Job]]:
    """Harmless arms other than clean → their runs, of `parts` or of all."""
    out: dict[str, list[Job]] = {}
    for job in jobs:
        if job.part in (parts or ("strata", "again")):
            out.setdefault(job.arm, []).append(job)
    return out


def _finite(values: Sequence[float]) -> list[float]:
    """Each value, or in place of one that is none the one before."""
    out: list[float] = []
    for value in values:
        out.append(value if math.isfinite(value) else out[-1] if out else 0.0)
    return out


def _said(found: leads.Leads | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "median": found.median,
        "interval": [found.low, found.high],
        "quartiles": [found.lower_quartile, found.upper_quartile],
        "runs": found.runs,
        "censored": found.censored,
    }
