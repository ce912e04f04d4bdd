"""What people see of a run: its released steps, how far it is, what it spent. Nothing else of a box is ever shown."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from darklantern.cli.output import tell, tell_json
from darklantern.errors import StoreError
from darklantern.records.exact import plain

if TYPE_CHECKING:
    from darklantern.box.folders import Run
    from darklantern.box.running.releasing import Released
    from darklantern.box.spec import Spec

_LOOK_S = 0.2


def tell_released(folder: Path, follow: bool, as_json: bool) -> None:
    """What a run has released, and how far it is; as it is released, where it is to be followed."""
    from darklantern.box.running.releasing import read_released

    run = run_in(folder)
    spec, shown = run.spec, 0
    while True:
        goes_on = supervisor(run.project) is not None and not run.report.exists()
        steps = read_released(run.released)
        for each in () if as_json else steps[shown:]:
            tell(step_line(each, spec))
        shown = len(steps)
        if not follow or not goes_on or _over(steps):
            break
        time.sleep(_LOOK_S)
    if as_json:
        tell_json([plain(each) for each in steps])
        return
    tell(f"{_state(steps, goes_on)}; {bits(sum(each.microbits for each in steps))} so far, {_left(run)} left")


def step_line(step: "Released", spec: "Spec") -> str:
    """One step in words, with what it cost."""
    told = {
        "silent": "silence",
        "invalid": f"{step.channel}: nothing valid" if step.channel else "invalid: no channel's symbol",
        "said": f"{step.channel}: {step.meaning}",
        "finished": f"over at time {(step.symbol or 0) + 1} of {spec.outlet.epochs}",
        "ended": f"ended: {step.how}",
        "closed": "closed: what is left of the budget does not allow another step",
    }[step.what]
    number = (
        ""
        if step.what in ("ended", "closed") or spec.outlet.mode == "final"
        else f"{step.step + 1} of {spec.outlet.slots}: "
    )
    return f"{number}{told}" + (f" ({bits(step.microbits)})" if step.microbits else "")


def bits(microbits: int) -> str:
    """An amount as people read it."""
    from darklantern.box.outlet.pricing import shown

    return shown(microbits)


def run_in(folder: Path) -> "Run":
    """The run in a folder, or the last one of a project. Raises StoreError where there is none."""
    from darklantern.box.folders import Run, runs

    if earlier := runs(folder):
        folder = earlier[-1].folder
    if not (folder / "spec.json").is_file():
        raise StoreError(f"{folder} is no run of a box", hint="a folder in PROJECT/runs")
    return Run(folder.resolve())


def supervisor(project: Path) -> int | None:
    """The process that holds a project's ledger. A number in a file may be anybody's by now: it must have it open."""
    lock = project / "ledger.lock"
    with suppress(OSError, ValueError):
        pid = int(lock.read_text())
        if any(each.samefile(lock) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists()):
            return pid
    return None


def _over(steps: "tuple[Released, ...]") -> bool:
    return bool(steps) and steps[-1].what in ("ended", "closed")


def _state(steps: "tuple[Released, ...]", goes_on: bool) -> str:
    if _over(steps):
        return "over"
    return "goes on" if goes_on else "was broken off"


def _left(run: "Run") -> str:
    from darklantern.box.ledger import read

    return bits(read(run.project)[1].left)
