"""Clean reference runs of the demo's recipe, in parallel and resumable: one JSON file for each seed."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from darklantern import __version__
from darklantern.demo import scenario
from darklantern.demo.scenario import RECIPE
from darklantern.errors import StoreError
from darklantern.files import write_whole
from darklantern.models import shim
from darklantern.organisms import text
from darklantern.records.exact import decode
from darklantern.records.references import Origin, References
from darklantern.watch import Examples, calibrate
from darklantern.watch.digests import digests
from darklantern.watch.judging import calibration

EVERY = scenario.SETTINGS.every or 10
STANDARDISE = tuple(range(1000, 1011))
CALIBRATE = tuple(range(1011, 1050))


@cache
def shipped() -> References:
    """The references that come with the package, made by `darklantern watch calibrate`."""
    return decode(References, files("darklantern.demo").joinpath("references.json").read_bytes())


def collect(
    seeds: Iterable[int], folder: Path, workers: int, done: Callable[[int], None] = lambda seed: None
) -> dict[int, dict[str, list[float]]]:
    """Contrasts of a clean run from each seed.

    A run whose file is already in `folder` is not repeated if it is of this recipe, text and software.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = {"recipe": scenario.run_hash(), "data": text.standard_library().sha256, **calibration.versions()}
    runs: dict[int, dict[str, list[float]]] = {}
    missing = []
    for seed in seeds:
        path = folder / f"{seed}.json"
        held = _held(path)
        if held.get("run") == mark:
            runs[seed] = held["contrasts"]
            done(seed)
        else:
            missing.append(seed)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_worker) as pool:
        try:
            with _ctrl_c_is_ours():
                waiting = {pool.submit(scenario.reference_run, seed): seed for seed in missing}
            for future in _as_they_end(waiting):
                seed = waiting[future]
                runs[seed] = future.result()
                write_whole(folder / f"{seed}.json", json.dumps({"run": mark, "contrasts": runs[seed]}).encode())
                done(seed)
        except BaseException:
            for worker in active_children():  # or leaving the pool waits for all that is queued: an hour
                worker.terminate()
            raise
    return dict(sorted(runs.items()))


def references(runs: dict[int, dict[str, list[float]]]) -> References:
    """The calibration that `runs` support: the first 20 seeds standardise, the rest give the maxima."""
    signals = [signal for probe in scenario.probes() for signal in probe.signals]
    standardise = [seed for seed in runs if seed in STANDARDISE]
    return calibrate(
        runs,
        signals,
        standardise,
        scenario.recipe_hash(),
        text.standard_library().sha256,
        every=scenario.SETTINGS.every,
        steps=range(RECIPE.branch + EVERY, RECIPE.end + 1, EVERY),
        origin=Origin(code=__version__, made="darklantern watch calibrate"),
        digests=digests(scenario.probes(), Examples(scenario.trusted()), scenario.SETTINGS),
    )


def _held(path: Path) -> dict[str, Any]:
    """What an earlier call left there, if anything. Raises StoreError for what no call left."""
    try:
        held = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict):
        raise StoreError(f"expected a reference run in {path}, got something else", hint="remove it, and call again")
    return held


def _as_they_end(futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
    """Each future once it is done. A wait without an end misses a Ctrl-C that comes as it begins; this one wakes."""
    left = set(futures)
    while left:
        done, left = wait_for(left, timeout=0.5, return_when=FIRST_COMPLETED)
        yield from done


@contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """Processes started within never hear Ctrl-C: they would print a traceback each, and take up the next run."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # one that came meanwhile is raised now


def _worker() -> None:
    """One thread for each worker, and none outlives the command, however that ends."""
    shim.keep_to_one_thread()
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
