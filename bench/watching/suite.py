"""All runs of an experiment: which seeds serve what, run two at a time, resumable."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from watching.experiments import EXPERIMENTS, KEPT, Experiment
from watching.running import Ran, load, run, save

STANDARDISE, CALIBRATE, FURTHER = 40, 99, 100
"""clean runs behind mean and spread, behind the threshold, and beyond both"""
STRATUM, AGAIN = 39, 40
"""runs of each other harmless arm behind the threshold, and beyond it"""
POISONED = 20
"""runs for each rate and variant"""
FIRST = {"references": 1_000, "strata": 3_000, "further": 5_000, "again": 6_000, "poisoned": 8_000, "variants": 9_000}
"""the first seed of each part; pilots had seeds below 1,000"""


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


def jobs(experiment: Experiment) -> list[Job]:
    """References first, then what they are held against; held-out variants last."""
    name, rate = experiment.name, experiment.rates[0]
    clean, *others = experiment.harmless
    found = [Job(name, "references", clean, rate, FIRST["references"] + i) for i in range(STANDARDISE + CALIBRATE)]
    for at, arm in enumerate(others):
        found += [Job(name, "strata", arm, rate, FIRST["strata"] + 100 * at + i) for i in range(STRATUM)]
    found += [Job(name, "further", clean, rate, FIRST["further"] + i) for i in range(FURTHER)]
    for at, arm in enumerate((*others, *experiment.controls)):
        found += [Job(name, "again", arm, rate, FIRST["again"] + 100 * at + i) for i in range(AGAIN)]
    for at, each in enumerate(experiment.rates):
        found += [Job(name, "poisoned", "poisoned", each, FIRST["poisoned"] + 100 * at + i) for i in range(POISONED)]
    for at, arm in enumerate(experiment.variants):
        found += [Job(name, "variants", arm, rate, FIRST["variants"] + 100 * at + i) for i in range(POISONED)]
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


def collect(experiment: Experiment, parts: Sequence[str], workers: int = 2) -> Iterator[tuple[Job, Ran]]:
    """Each run of `parts`; those that are written down are read, the others run, as many at a time as `workers`."""
    marked = mark(experiment)
    wanted = [job for job in jobs(experiment) if job.part in parts]
    missing = [job for job in wanted if not job.path(marked).exists()]
    columns = (TextColumn(f"{experiment.name} {', '.join(parts)}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(wanted), completed=len(wanted) - len(missing))
        if missing:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
                left = {pool.submit(_run, job, marked) for job in missing}
                while left:
                    done, left = wait(left, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                        bar.advance(task)
    for job in wanted:
        yield job, load(job.path(marked))


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
