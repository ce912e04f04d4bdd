"""What makes a trial fair: thresholds that were frozen and committed first, and are of what is judged by them now."""

import hashlib
import inspect
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from darklantern.watch.judging import calibration, detectors
from watching import freezing, judging, suite
from watching.experiments import Experiment
from watching.freezing import Frozen
from watching.suite import Counts, Unfair

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "results"
DECIDING: tuple[ModuleType, ...] = (detectors, calibration, judging)
"""modules that make alarms and figures of readings"""


def path(name: str, folder: Path = FOLDER) -> Path:
    """Where the thresholds of an experiment lie."""
    return folder / "watch" / f"thresholds-{name}.json"


def judged_by(experiment: Experiment, counts: Counts = suite.WHOLE) -> str:
    """Hash of what turns readings into alarms and figures, all of it frozen with the thresholds."""
    said: dict[str, Any] = {
        "constants": detectors.constants(),
        "sources": [inspect.getsource(module) for module in DECIDING],
        "onset": experiment.onset,
        "end": experiment.end,
        "arms": [experiment.harmless, experiment.controls, experiment.variants, experiment.rates],
        "counts": asdict(counts),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=dict).encode()).hexdigest()


def thresholds(
    experiment: Experiment, at: Path | None = None, counts: Counts = suite.WHOLE, committed: bool = True
) -> Frozen:
    """Those that are frozen. Raises Unfair where there are none, or what would be judged by them is another thing."""
    file = at or path(experiment.name)
    again = f"WATCH={experiment.name} WATCH_REWRITE=1 makes it anew, and all runs"
    if not file.exists():
        raise Unfair(f"there is no {file.name} yet")
    frozen = freezing.loads(file.read_bytes())
    if frozen.mark != suite.mark(experiment):
        raise Unfair(f"{file.name} is of another recipe, probes or software: {again}")
    if frozen.judged_by != judged_by(experiment, counts):
        raise Unfair(f"{file.name} was frozen with other detectors, onset, end, arms or numbers of runs: {again}")
    if frozen.sha256 != freezing.digest(file):
        raise Unfair(f"{file.name} is not as it was written: {again}")
    if committed and not commit(file):
        raise Unfair(f"{file.name} is not committed as it is: commit it before anything is judged by it")
    return frozen


def check_rewrite(experiment: Experiment, counts: Counts = suite.WHOLE) -> None:
    """Raises Unfair where runs that new thresholds would judge are there to be seen already."""
    held = suite.written(experiment, counts)
    seen: Mapping[str, int] = {part: held[part].done for part in suite.AFTER if part in held and held[part].done}
    if seen:
        said = ", ".join(f"{count} {part}" for part, count in seen.items())
        raise Unfair(
            f"thresholds of {experiment.name} are not made anew: runs that they judge were seen ({said}). Give its "
            "parts new seeds in suite.FIRST"
        )


def commit(file: Path) -> str:
    """The commit that a file is in as it lies there, and its day; empty where it is in none."""
    said = _git("log", "-1", "--format=%h of %cs", "--", str(file))
    return "" if _git("status", "--porcelain", "--", str(file)) else said


def _git(*given: str) -> str:
    command = ["git", "-C", str(ROOT), *given]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
