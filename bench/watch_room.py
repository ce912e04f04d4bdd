"""The room `watch`: E1–E5, their false alarms, leads and power, with thresholds that were frozen first; and the rest.

    make bench ROOM=watch                       everything that is missing; writes docs/results/watch.md
    WATCH="E1 E5 overhead" make bench ROOM=watch    some of it; the others as they were last, or said to be missing
    WATCH_STAGE=references …                    only the reference runs, and the thresholds that they support: no page
    WATCH_REWRITE=1 …                           thresholds anew, after a change of what decides a run
    WATCH_RETRY=1 …                             runs that failed once more, also where no source was changed
    WATCH_WORKERS=2 …                           runs at a time
    WATCH_TINY=1 …                              a few runs of each, on seeds of pilots, into .bench/watch/tiny

Each run is written down when it ends, so all of it can be stopped and goes on. All thresholds that are asked for are
frozen first, in docs/results/watch/thresholds-E*.json. Nothing is run or judged by them before they are committed, and
they are rewritten only when that is asked for, and no run was seen yet that they judge.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from watching import extras, figures, freezing, report, running, sources, suite, trial
from watching.experiments import EXPERIMENTS, KEPT, Experiment, Session
from watching.figures import Figures
from watching.freezing import Frozen
from watching.lines import Line, absent
from watching.running import Ran
from watching.suite import Counts, Job, Unfair

from darklantern.watch import Signal

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
    retry: bool = False

    @property
    def counts(self) -> Counts:
        return suite.TINY if self.tiny else suite.WHOLE

    @property
    def folder(self) -> Path:
        return KEPT / "tiny" if self.tiny else trial.FOLDER

    def thresholds(self, name: str) -> Path:
        return trial.path(name, self.folder)


def asked(given: Mapping[str, str] = os.environ) -> Asked:
    """From the environment. Raises SystemExit for a name that is nothing here."""
    every = (*EXPERIMENTS, *extras.NAMES)
    names = given.get("WATCH", "").split() or list(every)
    if unknown := sorted(set(names) - set(every)):
        raise SystemExit(f"WATCH names {', '.join(unknown)}; there are {', '.join(every)}")
    stage = given.get("WATCH_STAGE", "judge")
    if stage not in STAGES:
        raise SystemExit(f"WATCH_STAGE is one of {', '.join(STAGES)}, got {stage!r}")
    flags = {name: given.get(f"WATCH_{name}", "") not in ("", "0") for name in ("REWRITE", "TINY", "RETRY")}
    workers = int(given.get("WATCH_WORKERS", "2"))
    return Asked(frozenset(names), stage, flags["REWRITE"], flags["TINY"], workers, flags["RETRY"])


def run() -> list[Line]:
    """Do what is asked, write the page, return the lines."""
    torch.set_num_threads(1)
    now = asked()
    refused = {name: why for name, each in EXPERIMENTS.items() if (why := _frozen_first(each, now))}
    found: list[Figures] = []
    lines: list[Line] = []
    curves: dict[str, Any] = {}
    for name, experiment in EXPERIMENTS.items():
        try:
            if name in refused:
                raise Unfair(refused[name])
            signals, runs, frozen = _judged(experiment, now)
        except Unfair as why:
            lines += [absent(f"{line} · {name}", "", bar, str(why)) for line, bar in BARS.items()]
            continue
        made = figures.figures(experiment, signals, runs, frozen)
        found.append(made)
        lines += figures.lines(made)
        curves[name] = report.chosen(made, runs)
    lines.append(figures.leading(found))
    if now.stage == "references":
        return lines  # the page is of what was judged: it stays as it is

    def write(rest: list[Line]) -> None:
        report.write(now.folder, found, [*lines, *rest], curves, _provenance(now), now.tiny, now.counts)

    write(extras.lines((), now.tiny))  # as they were last: what follows takes hours
    rest = extras.lines(now.names, now.tiny)
    write(rest)
    return [*lines, *rest]


def _frozen_first(experiment: Experiment, now: Asked) -> str:
    """Freeze the thresholds of an experiment where that is asked for; why that could not be, or nothing."""
    name = experiment.name
    if name not in now.names:
        return ""
    path = now.thresholds(name)
    try:
        if not path.exists() or now.rewrite:
            if now.rewrite and not now.tiny:
                trial.check_rewrite(experiment, now.counts)
            _freeze(experiment, now)
    except Unfair as why:
        print(f"{name}: {why}", file=sys.stderr)
        return str(why)
    return ""


def _judged(experiment: Experiment, now: Asked) -> tuple[Sequence[Signal], figures.Runs, Frozen]:
    """All runs beyond the references, and the thresholds they are judged by. Raises Unfair where they may not be."""
    name, counts, path = experiment.name, now.counts, now.thresholds(experiment.name)
    if name not in now.names and not (path.exists() and any((KEPT / "runs").glob(f"*/{name}"))):
        raise Unfair(f"no runs are written down: WATCH={name} makes them")
    if now.stage == "references":
        raise Unfair("only references were asked for")
    frozen = trial.thresholds(experiment, path, counts, committed=not now.tiny)
    held = suite.written(experiment, counts)
    lacking = {part: each for part, each in held.items() if part in suite.AFTER and not each.whole}
    if lacking and name not in now.names:
        raise Unfair(_lacking(lacking, name))
    after = [part for part in suite.AFTER if part in held]
    runs = suite.collect(experiment, after, now.workers, counts, frozen, now.retry)
    return _signals(experiment), _by_part(runs), frozen


def _freeze(experiment: Experiment, now: Asked) -> None:
    name, counts, path = experiment.name, now.counts, now.thresholds(experiment.name)
    runs = dict(suite.collect(experiment, suite.BEFORE, now.workers, counts, again=now.retry))
    by_arm = _by_part(runs.items())
    clean = experiment.harmless[0]
    references = by_arm["references"][clean, experiment.rates[0]]
    strata = {arm: held for (arm, _), held in by_arm.get("strata", {}).items()}
    seeds = {arm: sorted(job.seed for job in runs if job.arm == arm) for arm in (clean, *strata)}
    mark, source = suite.mark(experiment), sources.source(experiment)
    under = suite.made_under(runs, mark)
    if other := sum(count for each, count in under.items() if each != source):
        said = f"{name}: {other} of {len(runs)} reference runs were made under another source than the one frozen now"
        print(f"{said}; {KEPT / 'runs' / mark / name} has them, in case that matters", file=sys.stderr)
    made = freezing.freeze(
        name,
        experiment.every,
        mark,
        (clean, references),
        strata,
        seeds,
        _signals(experiment),
        counts.standardise,
        source,
        under,
        trial.judged_by(experiment, counts),
        running.digested(_session(experiment), experiment.every),
    )
    freezing.write(path, made)
    print(f"{name}: thresholds frozen in {path}: commit them, then new seeds are run", file=sys.stderr)


def _session(experiment: Experiment) -> Session:
    return experiment.session(experiment.harmless[0], experiment.rates[0], 0)


def _signals(experiment: Experiment) -> list[Signal]:
    return [signal for probe in _session(experiment).probes for signal in probe.signals]


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
    return {path.name: _said(path) for name in EXPERIMENTS if (path := now.thresholds(name)).exists()}


def _said(path: Path) -> str:
    commit = trial.commit(path)
    return f"{freezing.digest(path)[:16]}…, {f'committed in {commit}' if commit else 'not committed'}"
