"""Which runs are made with a peer, and where each is written down: the suite's own seeds, fewer of them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from environments import TORCH

from watching.experiments import KEPT, Experiment
from watching.peers.names import Peer
from watching.suite import FIRST, Job

FORMAT = 1
"""of what is written down; another one begins anew"""
BARE = "bare"


@dataclass(frozen=True)
class Counts:
    """How many runs of each part. At the rate 1/20 a threshold needs 19 to calibrate on."""

    standardise: int = 10
    calibrate: int = 19
    further: int = 10
    """clean ones beyond both"""
    poisoned: int = 10

    @property
    def references(self) -> int:
        return self.standardise + self.calibrate


def jobs(experiment: Experiment, counts: Counts) -> list[Job]:
    """Clean references, further clean runs, poisoned ones at the headline rate: the suite's first of each part."""
    name, rate, clean = experiment.name, experiment.rates[0], experiment.harmless[0]
    parts = (("references", clean, counts.references), ("further", clean, counts.further))
    parts += (("poisoned", "poisoned", counts.poisoned),)
    return [Job(name, part, arm, rate, FIRST[part] + i) for part, arm, count in parts for i in range(count)]


def path(peer: Peer | None, experiment: Experiment, job: Job) -> Path:
    """Where a run with `peer` is written down; without one, where nothing was attached."""
    name = peer.name if peer else BARE
    return KEPT / "peers" / _mark(peer, experiment) / name / experiment.name / f"{job.arm}-{job.rate:g}-{job.seed}.json"


def _mark(peer: Peer | None, experiment: Experiment) -> str:
    """What decides a run besides its seed and arm: recipe, cadence, software, the peer's version."""
    said = {
        "format": FORMAT,
        "recipe": asdict(experiment.recipe),
        "every": experiment.every,
        "software": [TORCH, f"numpy=={version('numpy')}"],
        "peer": peer.environment.pin if peer else "",
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def missing(peer: Peer | None, experiment: Experiment, wanted: Sequence[Job]) -> list[Job]:
    """Those that are not written down yet."""
    return [job for job in wanted if not path(peer, experiment, job).exists()]
