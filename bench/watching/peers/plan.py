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
    harmless: int = 5
    """of each other harmless arm, to see whether what is new but harmless raises an alarm"""
    strata: int = 0
    """of each other harmless arm behind the threshold, as our own references have: none, or 19 and more"""

    @property
    def references(self) -> int:
        return self.standardise + self.calibrate


def jobs(experiment: Experiment, counts: Counts) -> list[Job]:
    """Clean references, further clean runs, other harmless arms, the headline rate: the suite's first of each part."""
    clean, *others = experiment.harmless
    parts = [("references", clean, 0, counts.references), ("further", clean, 0, counts.further)]
    parts += [("strata", arm, 100 * at, counts.strata) for at, arm in enumerate(others)]
    parts += [("again", arm, 100 * at, counts.harmless) for at, arm in enumerate(others)]
    parts += [("poisoned", "poisoned", 0, counts.poisoned)]
    return [
        Job(experiment.name, part, arm, experiment.rates[0], FIRST[part] + first + i)
        for part, arm, first, count in parts
        for i in range(count)
    ]


def path(peer: Peer | None, experiment: Experiment, job: Job) -> Path:
    """Where a run with `peer` is written down; without one, where nothing was attached."""
    folder = KEPT / "peers" / _mark(peer, experiment) / (peer.name if peer else BARE) / experiment.name
    return folder / f"{job.arm.replace(' ', '-')}-{job.rate:g}-{job.seed}.json"


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
