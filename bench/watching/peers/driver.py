"""Make the runs that are missing: each peer's in its own environment, ours under our watch, some without either."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments

from watching import suite, trial
from watching.experiments import Experiment
from watching.peers import plan
from watching.peers.names import Peer
from watching.peers.ran import PeerRan, load
from watching.running import Ran
from watching.suite import Job


class PeerFailed(Exception):
    """A peer's process ended, or a run with it went wrong; the message says how."""


@dataclass(frozen=True)
class Side:
    """All runs of one experiment with a peer, by job, or the reason why there are none."""

    runs: Mapping[Job, PeerRan]
    absent: str | None = None


def with_peer(peer: Peer | None, experiment: Experiment, wanted: Sequence[Job], workers: int = 2) -> Side:
    """Runs with `peer` attached, or with nothing; those that are written down are read, the others made."""
    if peer and (why := environments.why_absent(peer.environment)):
        return Side({}, why)
    python = environments.python(peer.environment) if peer else Path(sys.executable)
    module = peer.module if peer else "watching.peers.bare"
    experiment.session(experiment.harmless[0], experiment.rates[0], 0)  # whatever all runs begin from is made once
    asked = [
        {"experiment": job.experiment, "arm": job.arm, "rate": job.rate, "seed": job.seed}
        | {"out": str(plan.path(peer, experiment, job))}
        for job in plan.missing(peer, experiment, wanted)
    ]
    parts = [part for at in range(workers) if (part := asked[at::workers])]
    said = f"{experiment.name} {peer.name if peer else plan.BARE}"
    try:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            list(pool.map(lambda part: _ask(python, ["watching.peers.worker", module], part, said), parts))
    except PeerFailed as error:
        return Side({}, str(error))
    return Side({job: load(plan.path(peer, experiment, job)) for job in wanted})


def with_ours(experiment: Experiment, wanted: Sequence[Job], workers: int = 2) -> dict[Job, Ran]:
    """The same runs under our watch: the suite's own files, so that neither makes what the other has made.

    Raises Unfair for runs that are to be judged while no thresholds are frozen and committed, and where one failed.
    """
    marked = suite.mark(experiment)
    judged = any(job.part in suite.AFTER for job in wanted)
    frozen = trial.thresholds(experiment) if judged else None
    suite.make(wanted, marked, workers, f"{experiment.name} darklantern", frozen)
    under = frozen.under if frozen else None
    return {job: suite.load(job, marked, under) for job in wanted}


def ask(peer: Peer | None, module: Sequence[str], questions: Sequence[Any]) -> list[Any]:
    """What a module answers in a peer's environment, or ours, a JSON line each. Raises PeerFailed."""
    python = environments.python(peer.environment) if peer else Path(sys.executable)
    return _ask(python, module, questions, peer.name if peer else "darklantern")


def _ask(python: Path, module: Sequence[str], questions: Sequence[Any], said: str) -> list[Any]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(environments.ROOT / part) for part in ("src", "bench")),
        "OMP_NUM_THREADS": "1",
        "WANDB_SILENT": "true",
        "HF_HUB_OFFLINE": "1",
    }
    noise = None if os.environ.get("BENCH_NOISY") else subprocess.DEVNULL
    command = [str(python), "-W", "ignore", "-m", *module]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, env=environment, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            return [_answer(process.stdin.write, process.stdout.readline, each, said) for each in questions]
        except OSError as error:
            raise PeerFailed(f"its process ended: {error}") from error
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()


def _answer(write: Callable[[str], Any], read: Callable[[], str], question: Any, said: str) -> Any:
    write(json.dumps(question) + "\n")
    line = read()
    if not line:
        raise PeerFailed("its process ended; BENCH_NOISY=1 shows what it said")
    answer = json.loads(line)
    if isinstance(answer, dict) and (error := answer.get("error")):
        raise PeerFailed(error)
    if isinstance(answer, dict) and "out" in answer:
        print(f"{said} {Path(answer['out']).name}", file=sys.stderr, flush=True)
    return answer
