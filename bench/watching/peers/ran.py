"""What is written down of one run with a peer attached. Standard library only: every environment reads this file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Given:
    """What a peer gave over a run."""

    steps: list[int]
    """at which it was looked at: updates done"""
    streams: dict[str, list[float]]
    """name → its value at each of `steps`; sizes as logarithms"""
    alarms: list[int] = field(default_factory=list)
    """updates done whenever the peer raised its own alarm"""
    estimates: list[float] = field(default_factory=list)
    """processor seconds of each estimate, where the peer is asked for some"""


@dataclass(frozen=True)
class PeerRan:
    """One run: what the peer gave, and what the run was."""

    steps: list[int]
    streams: dict[str, list[float]]
    alarms: list[int]
    estimates: list[float]
    overt: dict[str, float]
    """step → how far the overt behaviour had come; of bare runs only, as those with a peer train alike"""
    weights: str
    """SHA-256 of the weights at the end: a peer that only looks leaves them as they are without it"""
    seconds: float
    """processor time of training, with what was attached, in this process and those that it started"""
    version: str


def save(path: Path, ran: PeerRan) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    rounded = {name: [round(value, 9) for value in values] for name, values in ran.streams.items()}
    part.write_text(json.dumps(asdict(ran) | {"streams": rounded}))
    part.replace(path)


def load(path: Path) -> PeerRan:
    """What `save` wrote."""
    return PeerRan(**json.loads(path.read_bytes()))
