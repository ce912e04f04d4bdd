"""Which workers there are, and what each one's environment holds.

Standard library only: `make bench-env` runs before anything is installed.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import environments
from environments import ROOT, Environment

__all__ = ["OURS", "PEERS", "RAW", "ROOT", "WORKERS", "Peer", "python", "why_absent"]

TRANSFORMERS = "transformers==5.23.0"


@dataclass(frozen=True)
class Peer:
    """A worker's name, its module, and its environment; none means the project's own."""

    name: str
    module: str
    environment: Environment | None = None


def _peer(name: str, module: str, pin: str, folder: str) -> Peer:
    return Peer(name, module, Environment(name, pin, folder, beside=(TRANSFORMERS,)))


OURS = Peer("darklantern", "models.ours")
RAW = Peer("raw_hooks", "models.raw_hooks")
PEERS = (
    _peer("nnsight", "models.nnsight_worker", "nnsight==0.8.1", "nnsight"),
    _peer("transformer_lens", "models.transformerlens_worker", "transformer-lens==4.3.0", "tl"),
    _peer("pyvene", "models.pyvene_worker", "pyvene==0.1.8", "pyvene"),
    _peer("captum", "models.captum_worker", "captum==0.9.0", "captum"),
)
WORKERS = (OURS, RAW, *PEERS)


def python(peer: Peer) -> Path:
    """The interpreter that runs a worker."""
    return environments.python(peer.environment) if peer.environment else Path(sys.executable)


def why_absent(peer: Peer) -> str | None:
    """None where a worker can start; otherwise the reason that goes into the results."""
    return environments.why_absent(peer.environment) if peer.environment else None
