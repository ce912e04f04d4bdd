"""Which workers there are, and what each one's environment holds.

Standard library only: `make bench-env` runs before anything is installed.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH, TRANSFORMERS = "torch==2.13.0", "transformers==5.23.0"


@dataclass(frozen=True)
class Peer:
    """A worker's name, its module, and the pin and folder of its environment; none means the project's own."""

    name: str
    module: str
    pin: str | None = None
    folder: str | None = None


OURS = Peer("darklantern", "models.ours")
RAW = Peer("raw_hooks", "models.raw_hooks")
PEERS = (
    Peer("nnsight", "models.nnsight_worker", "nnsight==0.8.1", "nnsight"),
    Peer("transformer_lens", "models.transformerlens_worker", "transformer-lens==4.3.0", "tl"),
    Peer("pyvene", "models.pyvene_worker", "pyvene==0.1.8", "pyvene"),
    Peer("captum", "models.captum_worker", "captum==0.9.0", "captum"),
)
WORKERS = (OURS, RAW, *PEERS)


def environments() -> Path:
    """`.bench`, or where BENCH_ENVS says that ready-made environments are."""
    return Path(os.environ.get("BENCH_ENVS", ROOT / ".bench"))


def python(peer: Peer) -> Path:
    """The interpreter that runs a worker."""
    return environments() / peer.folder / "bin" / "python" if peer.folder else Path(sys.executable)


def why_absent(peer: Peer) -> str | None:
    """None where a worker can start; otherwise the reason that goes into the results."""
    if python(peer).exists() and not failure(peer).exists():
        return None
    return failure(peer).read_text().strip() if failure(peer).exists() else "not installed; run `make bench-env`"


def failure(peer: Peer) -> Path:
    """Where a failed installation leaves its reason."""
    return environments() / f"{peer.folder}.failed"
