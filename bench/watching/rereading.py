"""Whether judged runs read the same under the source as it stands: the first of each kind is made again, bit for bit.

Figures are of the source that was frozen with the thresholds. What changes in the watch after that, a message or an
adapter, need not change a reading; whether it did is seen here, and said beside the figures.
"""

from collections.abc import Iterator

import numpy as np
import torch

from watching import running, sources, suite
from watching.experiments import EXPERIMENTS, Experiment
from watching.lines import Line, absent, line
from watching.running import Ran
from watching.suite import Job

PARTS = ("further", "poisoned")
BAR = "every run"


def lines() -> list[Line]:
    """A line for each experiment."""
    torch.set_num_threads(1)
    return [_line(experiment) for experiment in EXPERIMENTS.values()]


def same(first: Ran, again: Ran) -> bool:
    """Whether two runs came to the same: looks, readings, truth. What they took may differ."""
    return (
        (first.steps, first.overt, first.task, first.wealth) == (again.steps, again.overt, again.task, again.wealth)
        and first.readings.keys() == again.readings.keys()
        and all(np.array_equal(first.readings[name], np.round(again.readings[name], 9)) for name in first.readings)
    )


def _line(experiment: Experiment) -> Line:
    name = f"same readings under this source · {experiment.name}"
    marked, now = suite.mark(experiment), sources.source(experiment)
    chosen = list(_first(experiment))
    if missing := [job for job in chosen if not job.path(marked).exists()]:
        return absent(
            name, "", BAR, f"{len(missing)} of {len(chosen)} runs are not written down: WATCH={experiment.name}"
        )
    held = [running.load_under(job.path(marked)) for job in chosen]
    count = sum(
        same(ran, running.run(experiment, job.arm, job.rate, job.seed))
        for job, (ran, _) in zip(chosen, held, strict=True)
    )
    return line(
        name,
        count,
        f"of {len(chosen)} runs made again",
        BAR,
        count == len(chosen),
        source=now[:16],
        judged=sorted({under.get("source", "not said")[:16] for _, under in held}),
        seeds=[job.seed for job in chosen],
    )


def _first(experiment: Experiment) -> Iterator[Job]:
    """Of each part the run of the lowest seed, at the headline rate."""
    for part in PARTS:
        yield min((job for job in suite.jobs(experiment) if job.part == part and job.rate == experiment.rates[0]),
                  key=lambda job: job.seed)  # fmt: skip
