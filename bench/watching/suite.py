"""All runs of an experiment: which seeds serve what, run two at a time, resumable.

A run is written down under a mark of all that decides it. So what is there is never run again, and a change of recipe
or probe begins anew.
"""

import hashlib
import json
import os
import platform
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from darklantern.files import write_whole
from watching import sources
from watching.experiments import EXPERIMENTS, KEPT, Experiment
from watching.freezing import Frozen
from watching.running import Ran, load_under, run, save

STANDARDISE = 40
"""clean reference runs behind mean and spread; in `Counts` the rest of them are behind the threshold"""
FIRST = {
    "references": 20_000,
    "strata": 22_000,
    "further": 24_000,
    "again": 25_000,
    "poisoned": 27_000,
    "variants": 28_000,
}
"""the first seed of each part. Pilots had seeds below 1,000; blocks up to 10,000 were looked at under earlier settings,
and serve nothing any more"""
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

    def failure(self, mark: str) -> Path:
        """Where it is written down that it failed."""
        return self.path(mark).with_suffix(".failed")


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


DECIDES = ("name", "tier", "role", "says", "detector", "compares", "grain")
"""of a signal; the rest of it is for readers"""


def mark(experiment: Experiment) -> str:
    """What decides a run besides its seed and arm, as settings: recipe, probes, cadence, corpus, software.

    The source that reads by these settings is `sources.source`, which each run has with it.
    """
    session = experiment.session(experiment.harmless[0], experiment.rates[0], 0)
    signals = [signal for probe in session.probes for signal in probe.signals]
    said = {
        "recipe": experiment.recipe.sha256,
        "every": experiment.every,
        "probes": [dict(probe.settings) for probe in session.probes],
        "signals": [{name: getattr(signal, name) for name in DECIDES} for signal in signals],
        "corpus": sources.corpus(experiment),
        "software": {"python": platform.python_version()}
        | {name: version(name) for name in sources.packages(experiment)},
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


class Unfair(Exception):
    """What may not be judged as it is, and why."""


def collect(
    experiment: Experiment,
    parts: Sequence[str],
    workers: int = 2,
    counts: Counts = WHOLE,
    frozen: Frozen | None = None,
    again: bool = False,
) -> Iterator[tuple[Job, Ran]]:
    """Each run of `parts`; those that are written down are read, the others run, as many at a time as `workers`.

    Parts that are judged are made and read under `frozen` thresholds alone. A run that fails is written down as that,
    and the others are finished; it is tried once more where the source is another one, or `again` is said. How long
    is left is shown: in a bar, or where there is no terminal in a line now and then.

    Raises Unfair where a run failed, or was made under other thresholds or another source than the frozen ones.
    """
    marked = mark(experiment)
    wanted = [job for job in jobs(experiment, counts) if job.part in parts]
    make(wanted, marked, workers, f"{experiment.name} {', '.join(parts)}", frozen, again)
    under = frozen.under if frozen else None
    for job in wanted:
        yield job, load(job, marked, under)


def make(
    wanted: Sequence[Job], marked: str, workers: int, said: str, frozen: Frozen | None = None, again: bool = False
) -> None:
    """Run those of one experiment that are not written down, as `collect` says."""
    missing = [job for job in wanted if not job.path(marked).exists()]
    if not missing:
        return
    experiment = EXPERIMENTS[missing[0].experiment]
    source = sources.source(experiment)
    if any(job.part in AFTER for job in missing):
        if frozen is None:
            raise Unfair(f"{experiment.name}: no run that is to be judged is made before thresholds are frozen")
        if frozen.source != source:
            raise Unfair(
                f"{experiment.name}: {len(missing)} runs are missing, and the source is another one than when the "
                "thresholds were frozen: go back to that, or freeze anew with new seeds"
            )
    under = frozen.under if frozen else {"source": source}
    going_to = [job for job in missing if again or _failed(job, marked).get("source") != source]
    console = Console(stderr=True)
    columns = (TextColumn(said), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(wanted), completed=len(wanted) - len(going_to))
        left = Left(said, len(going_to), quiet=console.is_terminal)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
            going = {pool.submit(_run, job, marked, under) for job in going_to}
            try:
                while going:
                    done, going = wait(going, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                        bar.advance(task)
                        left.one()
            except BrokenProcessPool as error:
                raise Unfair(f"{experiment.name}: a process that ran it ended: {error}") from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # what runs now is still written down
                raise
    if failed := [job for job in missing if not job.path(marked).exists()]:
        told = "; ".join(
            f"{job.part} {job.arm}, seed {job.seed}: {_failed(job, marked).get('cause', 'not written down')}"
            for job in failed[:3]
        )
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise Unfair(f"{len(failed)} runs failed ({told}{more}); WATCH_RETRY=1 tries them once more")


def load(job: Job, marked: str, frozen: Mapping[str, str] | None = None) -> Ran:
    """A run that is written down. Raises Unfair where it is to be judged and was not made under what is `frozen`."""
    ran, under = load_under(job.path(marked))
    if job.part in AFTER:
        if frozen is None:
            raise Unfair(f"{job.experiment}: there are no frozen thresholds to judge {job.part} runs by")
        for what, wanted in frozen.items():
            if under.get(what) != wanted:
                raise Unfair(
                    f"{job.experiment}: the run of {job.part} {job.arm}, seed {job.seed}, was made under "
                    f"{what} {under.get(what, 'nobody knows which')[:16]}, and frozen is {wanted[:16]}; "
                    "moved away, such runs are made anew"
                )
    return ran


def made_under(wanted: Iterable[Job], marked: str) -> dict[str, int]:
    """Source → how many of the runs were made under it."""
    return dict(Counter(load_under(job.path(marked))[1].get("source", "not said") for job in wanted))


def _failed(job: Job, marked: str) -> dict[str, str]:
    """What is written down of a run that failed; nothing where none did."""
    path = job.failure(marked)
    held: dict[str, str] = json.loads(path.read_bytes()) if path.exists() else {}
    return held


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


def _run(job: Job, marked: str, under: Mapping[str, str]) -> None:
    experiment, failure = EXPERIMENTS[job.experiment], job.failure(marked)
    here = dict(under) | {"source": sources.source(experiment)}  # of this process, which loaded its own
    try:
        save(job.path(marked), run(experiment, job.arm, job.rate, job.seed), here)
        failure.unlink(missing_ok=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a result, and the other runs go on
        trace = traceback.format_exc()
        failure.parent.mkdir(parents=True, exist_ok=True)
        write_whole(failure, json.dumps({"cause": repr(error), "trace": trace} | here).encode())


def by_arm(found: Mapping[Job, Ran]) -> dict[tuple[str, float], list[Ran]]:
    """Runs of one part, by arm and rate, in the order of their seeds."""
    out: dict[tuple[str, float], list[Ran]] = {}
    for job in sorted(found, key=lambda job: job.seed):
        out.setdefault((job.arm, job.rate), []).append(found[job])
    return out
