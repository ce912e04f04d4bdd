"""Start the workers, one after the other, each on one thread."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_jax.names import SUBJECTS

BENCH = Path(__file__).parents[1]
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclass(frozen=True)
class Results:
    """What each worker said; {"error": …} of one that failed."""

    subjects: dict[str, dict[str, Any]]
    memory: dict[str, Any]
    silent: dict[str, Any]


def collect() -> Results:
    """Everything."""
    found = {name: said("on_jax.worker", name) for name in SUBJECTS}
    return Results(found, said("on_jax.memory"), said("on_jax.silent"))


def said(*worker: str) -> dict[str, Any]:
    """The last line that a worker printed."""
    own = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(BENCH), *filter(None, [own])]),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": ONE_THREAD,
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *worker], env=environment, capture_output=True, text=True, check=False
    )
    print(" ".join(worker), file=sys.stderr, flush=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
