"""`darklantern watch calibrate`: of one's own runs, or of the demo's."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darklantern.cli.bars import count_bar
from darklantern.cli.options import check_place
from darklantern.cli.output import tell, tell_json
from darklantern.errors import StoreError, WatchError

if TYPE_CHECKING:
    from darklantern.records.references import References


def of_runs(
    given: Sequence[Path],
    command: str | None,
    seeds: str | None,
    harmless: Sequence[str],
    standardise: int | None,
    recipe: str,
    data: str,
    out: Path,
    folder: Path,
    workers: int,
    as_json: bool,
) -> None:
    """Collect runs that are there, or run a script for each seed first; write the references whole."""
    from darklantern.watch.collecting import check_seeds, collect
    from darklantern.watch.repeating import parse_seeds

    check_place(out)  # now, and not after hours
    arms: dict[str, list[Path]] = {}
    for name, arm_folder in map(_arm, harmless):
        arms.setdefault(name, []).append(arm_folder)
    made = "`darklantern watch calibrate`, of runs that were there"
    if command is not None:
        if given or seeds is None:
            raise WatchError(
                "expected folders of runs, or --run with --seeds",
                hint='--run "python train.py --seed {seed}" --seeds 1000-1049',
            )
        wanted = parse_seeds(seeds)
        check_seeds(wanted, arms, standardise=standardise)  # now, and not after hours
        given = _repeated(command, wanted, folder, workers)
        made = f"darklantern watch calibrate --run {command!r} --seeds {seeds}"
    elif given and seeds is not None:
        raise WatchError("--seeds is for --run, and folders say their own", hint="leave it out, or give --run")
    references = collect(given, arms, recipe=recipe, data=data, standardise=standardise, made=made)
    _write(references, out)
    _tell(references, out, as_json)


def of_demo(out: Path, folder: Path, workers: int, as_json: bool) -> None:
    """Collect the demo's reference runs, show progress, write the references whole."""
    from darklantern.demo import reference_runs
    from darklantern.demo.scenario import ALPHA
    from darklantern.watch.judging import detectors

    check_place(out)  # now, and not after an hour
    _make(folder)
    seeds = reference_runs.STANDARDISE + reference_runs.CALIBRATE
    done: list[int] = []
    with count_bar("clean runs", lines=True) as progress:
        progress(0, len(seeds))

        def one(seed: int) -> None:
            done.append(seed)
            progress(len(done), len(seeds))

        runs = reference_runs.collect(seeds, folder, workers, one)
    references = reference_runs.references(runs)
    _write(references, out)
    limit = detectors.threshold(references.maxima, ALPHA)
    if as_json:
        tell_json({"references": str(out), "runs": len(runs), "threshold": limit.value, "alpha": limit.alpha})
    else:
        rate = detectors.percent(limit.alpha)
        tell(f"{out}: threshold {limit.value:.2f}, false-alarm rate at most {rate} a run ({limit.reason})")


def _repeated(command: str, seeds: Sequence[int], folder: Path, workers: int) -> list[Path]:
    from darklantern.watch.repeating import repeat

    _make(folder)
    with count_bar("reference runs", lines=True) as progress:
        return repeat(command, seeds, folder, workers, progress)


def _arm(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or not folder:
        raise WatchError(f"expected --harmless NAME=FOLDER, got {text!r}", hint="the folder of that arm's runs")
    return name, Path(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the folder {folder} for the runs: {error.strerror}",
            hint="choose a folder that you may write to, with --runs",
        ) from error


def _write(references: "References", out: Path) -> None:
    from darklantern.files import write_whole
    from darklantern.records.exact import encode

    write_whole(out, encode(references))


def _tell(references: "References", out: Path, as_json: bool) -> None:
    from darklantern.watch.judging.detectors import percent

    arms = [references.calibrated_on, *(arm.calibrated_on for arm in references.strata)]
    rate = 1 / (1 + min(map(len, arms)))
    of = len(references.standardised_on), sum(map(len, arms))
    if as_json:
        tell_json({"references": str(out), "standardised_on": of[0], "calibrated_on": of[1], "alpha": rate})
    else:
        tell(
            f"{out}: of {sum(of)} runs {of[0]} say what is usual, and {of[1]} how far harmless runs stray. An alarm "
            f"can claim a false-alarm rate of {percent(rate)} a run or more. Several channels of one watch share its "
            "rate: for the same rate over all, twice as many channels take twice as many runs"
        )
