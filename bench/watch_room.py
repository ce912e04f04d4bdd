"""The room `watch`: E1–E5, their false alarms, leads and power, with thresholds that were frozen first; and the rest.

    make bench ROOM=watch                       everything that is missing; writes docs/results/watch.md
    WATCH="E1 E5 overhead" make bench ROOM=watch    some of it; the others as they were last, or said to be missing
    WATCH_STAGE=references …                    only the reference runs, and the thresholds that they support
    WATCH_REWRITE=1 …                           thresholds anew, after a change of what decides a run
    WATCH_WORKERS=2 …                           runs at a time
    WATCH_TINY=1 …                              a few runs of each, on seeds of pilots, into .bench/watch/tiny

Each run is written down when it ends, so all of it can be stopped and goes on. Thresholds are frozen in
docs/results/watch/thresholds-E*.json, to be committed before any other run is made; new seeds are not even run without
them, and what is there is rewritten only when that is asked for.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from watching import extras, figures, freezing, report, suite
from watching.experiments import EXPERIMENTS, KEPT, Experiment
from watching.figures import Figures
from watching.freezing import Frozen
from watching.lines import Line, absent
from watching.running import Ran
from watching.suite import Counts, Job

from darklantern.watch import Signal

ROOT = Path(__file__).parents[1]
STAGES = ("references", "judge")
BARS = {
    "run_false_alarms": "≤ 5 % of runs, beta-binomial",
    "lead": "median above 0, its interval too",
    "power": "≥ .95 at 3 %, ≥ .8 at 1 % on E3 and E4",
}


@dataclass(frozen=True)
class Asked:
    """What to do now."""

    names: frozenset[str]
    stage: str
    rewrite: bool
    tiny: bool
    workers: int

    @property
    def counts(self) -> Counts:
        return suite.TINY if self.tiny else suite.WHOLE

    @property
    def folder(self) -> Path:
        return KEPT / "tiny" if self.tiny else ROOT / "docs" / "results"

    def thresholds(self, name: str) -> Path:
        return self.folder / "watch" / f"thresholds-{name}.json"


class Refused(Exception):
    """What would be no fair trial."""


def asked(given: Mapping[str, str] = os.environ) -> Asked:
    """From the environment. Raises SystemExit for a name that is nothing here."""
    every = (*EXPERIMENTS, *extras.NAMES)
    names = given.get("WATCH", "").split() or list(every)
    if unknown := sorted(set(names) - set(every)):
        raise SystemExit(f"WATCH names {', '.join(unknown)}; there are {', '.join(every)}")
    stage = given.get("WATCH_STAGE", "judge")
    if stage not in STAGES:
        raise SystemExit(f"WATCH_STAGE is one of {', '.join(STAGES)}, got {stage!r}")
    flags = {name: given.get(f"WATCH_{name}", "") not in ("", "0") for name in ("REWRITE", "TINY")}
    workers = int(given.get("WATCH_WORKERS", "2"))
    return Asked(frozenset(names), stage, flags["REWRITE"], flags["TINY"], workers)


def run() -> list[Line]:
    """Do what is asked, write the page, return the lines."""
    torch.set_num_threads(1)
    now = asked()
    found: list[Figures] = []
    lines: list[Line] = []
    curves: dict[str, Any] = {}
    for name, experiment in EXPERIMENTS.items():
        try:
            signals, runs, frozen = _experiment(experiment, now)
        except Refused as why:
            lines += [absent(f"{line} · {name}", "", bar, str(why)) for line, bar in BARS.items()]
            continue
        made = figures.figures(experiment, signals, runs, frozen)
        found.append(made)
        lines += figures.lines(made)
        curves[name] = report.chosen(made, runs)
    lines.append(figures.leading(found))
    lines += extras.lines(now.names if now.stage == "judge" else (), now.tiny)
    report.write(now.folder, found, lines, curves, _provenance(now), now.tiny)
    return lines


def _experiment(experiment: Experiment, now: Asked) -> tuple[Sequence[Signal], figures.Runs, Frozen]:
    """All runs beyond the references, and the thresholds they are judged by. Raises Refused where they may not be."""
    name, counts, path = experiment.name, now.counts, now.thresholds(experiment.name)
    if name not in now.names and not (path.exists() and any((KEPT / "runs").glob(f"*/{name}"))):
        raise Refused(f"no runs are written down: WATCH={name} makes them")
    session = experiment.session(experiment.harmless[0], experiment.rates[0], 0)
    signals = [signal for probe in session.probes for signal in probe.signals]
    if not path.exists() or (now.rewrite and name in now.names):
        _freeze(experiment, signals, now)
    frozen = freezing.loads(path.read_bytes())
    if frozen.mark != suite.mark(experiment):
        raise Refused(
            f"{path.name} is of another recipe, probes or software: WATCH={name} WATCH_REWRITE=1 makes it anew, and "
            "all runs"
        )
    if now.stage == "references":
        raise Refused("only references were asked for")
    held = suite.written(experiment, counts)
    lacking = {part: each for part, each in held.items() if part in suite.AFTER and not each.whole}
    if lacking and name not in now.names:
        raise Refused(_lacking(lacking, name))
    after = [part for part in suite.AFTER if part in held]
    return signals, _by_part(suite.collect(experiment, after, now.workers, counts)), frozen


def _freeze(experiment: Experiment, signals: Sequence[Signal], now: Asked) -> None:
    name, counts, path = experiment.name, now.counts, now.thresholds(experiment.name)
    runs = dict(suite.collect(experiment, suite.BEFORE, now.workers, counts))
    by_arm = _by_part(runs.items())
    clean = experiment.harmless[0]
    references = by_arm["references"][clean, experiment.rates[0]]
    strata = {arm: held for (arm, _), held in by_arm.get("strata", {}).items()}
    seeds = {arm: [job.seed for job in runs if job.arm == arm] for arm in (clean, *strata)}
    mark = suite.mark(experiment)
    made = freezing.freeze(
        name, experiment.every, mark, (clean, references), strata, seeds, signals, counts.standardise
    )
    freezing.write(path, made)
    print(f"{name}: thresholds frozen in {path}: commit them before new seeds are run", file=sys.stderr)


def _lacking(parts: Mapping[str, suite.Written], name: str) -> str:
    said = ", ".join(f"{part} {each.done} of {each.of} runs" for part, each in parts.items())
    return f"{said}; WATCH={name} makes the rest"


def _by_part(runs: Any) -> dict[str, dict[tuple[str, float], list[Ran]]]:
    found: dict[str, dict[Job, Ran]] = {}
    for job, ran in runs:
        found.setdefault(job.part, {})[job] = ran
    return {part: suite.by_arm(held) for part, held in found.items()}


def _provenance(now: Asked) -> dict[str, str]:
    """Thresholds file → its SHA-256, and the commit it is in."""
    return {
        path.name: f"{freezing.digest(path)[:16]}…, {_commit(path)}"
        for name in EXPERIMENTS
        if (path := now.thresholds(name)).exists()
    }


def _commit(path: Path) -> str:
    command = f"git -C {shlex.quote(str(ROOT))} log -1 --format='%h of %cs' -- {shlex.quote(str(path))}"
    status = f"git -C {shlex.quote(str(ROOT))} status --porcelain -- {shlex.quote(str(path))}"
    said, changed = (
        subprocess.run(shlex.split(each), capture_output=True, text=True, check=False).stdout.strip()
        for each in (command, status)
    )
    return "not committed" if changed or not said else f"committed in {said}"
