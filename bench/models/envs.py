"""`make bench-env`: one virtual environment a peer, torch first and by its exact pin.

A peer that cannot be installed leaves its reason for the results; it is no error here. Arguments name some of them.
"""

import subprocess
import sys
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import peers


def make(peer: peers.Peer) -> None:
    """Install a peer unless its stamp says that just this was installed."""
    folder = peers.environments() / str(peer.folder)
    stamp, holds = folder / "installed.txt", "\n".join((peers.TORCH, peers.TRANSFORMERS, str(peer.pin)))
    if stamp.exists() and stamp.read_text() == holds:
        print(f"{peer.name}: there already")
        return
    print(f"{peer.name}: installing into {folder.name}", flush=True)
    peers.failure(peer).unlink(missing_ok=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
        constraints = folder / "constraints.txt"
        constraints.write_text(peers.TORCH + "\n")
        # As a peer's own dependency an open range would bring another torch.
        _pip(peer, peers.TORCH, "numpy")
        _pip(peer, "-c", str(constraints), str(peer.pin), peers.TRANSFORMERS)
        stamp.write_text(holds)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (
            (error.stderr or "").strip().splitlines()
            if isinstance(error, subprocess.CalledProcessError)
            else [str(error)]
        )
        reason = next((line for line in said if line.startswith("ERROR")), said[-1] if said else "pip failed")
        peers.failure(peer).write_text(f"could not be installed: {reason}\n")
        print(f"{peer.name}: {reason}")


def _pip(peer: peers.Peer, *arguments: str) -> None:
    command = [str(peers.python(peer)), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    peers.environments().mkdir(parents=True, exist_ok=True)
    for wanted in peers.PEERS:
        if wanted.name in (sys.argv[1:] or [peer.name for peer in peers.PEERS]):
            make(wanted)
