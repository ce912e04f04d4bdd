"""All runs of an experiment: which seeds serve what, run two at a time, resumable.

A run is written down under a mark of all that decides it. So what is there is never run again, and a change of recipe
or probe begins anew.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from watching.experiments import EXPERIMENTS, KEPT, Experiment
from watching.running import Ran, load, run, save

STANDARDISE = 40
"""clean reference runs behind mean and spread; in `Counts` the rest of them are behind the threshold"""
FIRST = {"references": 1_000, "strata": 3_000, "further": 5_000, "again": 6_000, "poisoned": 8_000, "variants": 9_000}
"""the first seed of each part; pilots had seeds below 1,000"""
BEFORE, AFTER = ("references", "strata"), ("further", "again", "poisoned", "variants")
"""parts that thresholds are made of, and parts that are judged by them"""


@dataclass(frozen=True)
class Counts:
    """How many runs each part has."""

    standardise: int = STANDARDISE
    calibrate: int = 99
    further: int = 100
    """clean ones beyond the references"""
    stratum: int = 39
    """of each other harmless arm behind the threshold"""
    again: int = 40
    """of each other harmless arm beyond it, and of each control"""
    poisoned: int = 20
    """of each rate and variant"""
    first: Mapping[str, int] = field(default_factory=lambda: FIRST)
    apart: int = 100
    """from the first seed of one arm to that of the next in a part"""


WHOLE = Counts()
TINY = Counts(5, 19, 4, 0, 3, 4, {part: 100 * (3 + at) for at, part in enumerate(FIRST)}, 10)
"""to see that everything works: on seeds of pilots, so that no seed that counts is looked at before its time"""


@dataclass(frozen=True)
class Job:
    """One run."""

    experiment: str
    part: str
    arm: str
    rate: float
    seed: int

    def path(self, mark: str) -> Path:
        """Where it is written down."""
        arm = self.arm.replace(" ", "-")
        return KEPT / "runs" / mark / self.experiment / self.part / f"{arm}-{self.rate:g}-{self.seed}.json"


def jobs(experiment: Experiment, counts: Counts = WHOLE) -> list[Job]:
    """References first, then what they are held against; held-out variants last."""
    name, rate = experiment.name, experiment.rates[0]
    first, apart = counts.first, counts.apart
    clean, *others = experiment.harmless
    clean_runs = counts.standardise + counts.calibrate
    found = [Job(name, "references", clean, rate, first["references"] + i) for i in range(clean_runs)]
    for at, arm in enumerate(others):
        found += [Job(name, "strata", arm, rate, first["strata"] + apart * at + i) for i in range(counts.stratum)]
    found += [Job(name, "further", clean, rate, first["further"] + i) for i in range(counts.further)]
    for at, arm in enumerate((*others, *experiment.controls)):
        found += [Job(name, "again", arm, rate, first["again"] + apart * at + i) for i in range(counts.again)]
    for at, each in enumerate(experiment.rates):
        at_rate = first["poisoned"] + apart * at
        found += [Job(name, "poisoned", "poisoned", each, at_rate + i) for i in range(counts.poisoned)]
    for at, arm in enumerate(experiment.variants):
        found += [Job(name, "variants", arm, rate, first["variants"] + apart * at + i) for i in range(counts.poisoned)]
    return found


def mark(experiment: Experiment) -> str:
    """What decides a run besides its seed and arm: recipe, probes, cadence, software."""
    session = experiment.session(experiment.harmless[0], experiment.rates[0], 0)
    said = {
        "recipe": experiment.recipe.sha256,
        "every": experiment.every,
        "probes": [dict(probe.settings) for probe in session.probes],
        "signals": [asdict(signal) for probe in session.probes for signal in probe.signals],
        "software": {name: version(name) for name in ("torch", "numpy")},
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Written:
    """How many runs of a part are written down."""

    done: int
    of: int

    @property
    def whole(self) -> bool:
        return self.done == self.of


def written(experiment: Experiment, counts: Counts = WHOLE) -> dict[str, Written]:
    """Each part of an experiment, as far as it has come."""
    marked = mark(experiment)
    found: dict[str, Written] = {}
    for job in jobs(experiment, counts):
        held = found.get(job.part, Written(0, 0))
        found[job.part] = Written(held.done + job.path(marked).exists(), held.of + 1)
    return found


def collect(
    experiment: Experiment, parts: Sequence[str], workers: int = 2, counts: Counts = WHOLE
) -> Iterator[tuple[Job, Ran]]:
    """Each run of `parts`; those that are written down are read, the others run, as many at a time as `workers`.

    How long is left is shown: in a bar, or where there is no terminal in a line now and then.
    """
    marked = mark(experiment)
    wanted = [job for job in jobs(experiment, counts) if job.part in parts]
    missing = [job for job in wanted if not job.path(marked).exists()]
    console = Console(stderr=True)
    named = TextColumn(f"{experiment.name} {', '.join(parts)}")
    columns = (named, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(wanted), completed=len(wanted) - len(missing))
        if missing:
            left = Left(f"{experiment.name} {', '.join(parts)}", len(missing), quiet=console.is_terminal)
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
                going = {pool.submit(_run, job, marked) for job in missing}
                try:
                    while going:
                        done, going = wait(going, return_when=FIRST_COMPLETED)
                        for future in done:
                            future.result()
                            bar.advance(task)
                            left.one()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)  # what runs now is still written down
                    raise
    for job in wanted:
        yield job, load(job.path(marked))


class Left:
    """Says on stderr how many runs are done and about how long the others take, at most once a minute."""

    def __init__(self, what: str, of: int, quiet: bool) -> None:
        self._what, self._of, self._quiet = what, of, quiet
        self._done, self._began = 0, time.monotonic()
        self._said = self._began - EVERY_S

    def one(self) -> None:
        """One more run is done."""
        self._done += 1
        now = time.monotonic()
        if not self._quiet and (now - self._said >= EVERY_S or self._done == self._of):
            self._said = now
            minutes = (now - self._began) / self._done * (self._of - self._done) / 60
            print(
                f"{self._what}: {self._done} of {self._of}, about {minutes:.0f} min left", file=sys.stderr, flush=True
            )


EVERY_S = 60.0


def _alone() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import logging

    import torch

    torch.set_num_threads(1)
    logging.getLogger("darklantern.watch").setLevel(logging.ERROR)  # alarms are what is counted, not read


def _run(job: Job, marked: str) -> float:
    started = time.perf_counter()
    save(job.path(marked), run(EXPERIMENTS[job.experiment], job.arm, job.rate, job.seed))
    return time.perf_counter() - started


def by_arm(found: Mapping[Job, Ran]) -> dict[tuple[str, float], list[Ran]]:
    """Runs of one part, by arm and rate, in the order of their seeds."""
    out: dict[tuple[str, float], list[Ran]] = {}
    for job in sorted(found, key=lambda job: job.seed):
        out.setdefault((job.arm, job.rate), []).append(found[job])
    return out
