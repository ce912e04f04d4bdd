"""`darklantern watch calibrate`."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from darklantern.cli.options import check_place
from darklantern.cli.output import tell, tell_json
from darklantern.errors import StoreError
from darklantern.records.exact import encode


def run(out: Path, folder: Path, workers: int, as_json: bool) -> None:
    """Collect the reference runs, show progress, write the references whole."""
    from darklantern.demo import reference_runs
    from darklantern.demo.scenario import ALPHA
    from darklantern.files import write_whole
    from darklantern.watch.judging import detectors

    check_place(out)  # now, and not after an hour
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the folder {folder} for the runs: {error.strerror}",
            hint="choose a folder that you may write to, with --runs",
        ) from error
    seeds = reference_runs.STANDARDISE + reference_runs.CALIBRATE
    columns = (TextColumn("clean runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(seeds))
        runs = reference_runs.collect(seeds, folder, workers, lambda seed: bar.advance(task))
    references = reference_runs.references(runs)
    write_whole(out, encode(references))
    limit = detectors.threshold(references.maxima, ALPHA)
    rate = detectors.percent(limit.alpha)
    if as_json:
        tell_json({"references": str(out), "runs": len(runs), "threshold": limit.value, "alpha": limit.alpha})
    else:
        tell(f"{out}: threshold {limit.value:.2f}, false-alarm rate at most {rate} a run ({limit.reason})")
