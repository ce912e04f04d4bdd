"""One peer's process: trains run after run with the peer attached, and writes each down. A JSON line a job on stdin.

→ {"experiment": "E5", "arm": "clean", "rate": 0.6, "seed": 1000, "out": "a file"}
← {"out": "a file"}     or {"out": "a file", "error": "what went wrong"}
"""

import contextlib
import hashlib
import importlib
import json
import os
import sys
import tempfile
import traceback
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from watching.experiments import EXPERIMENTS
from watching.peers import clock
from watching.peers.attached import Loop
from watching.peers.ran import PeerRan, save


def seconds() -> float:
    """Processor time of this process and those it started."""
    return clock.own() + clock.helpers()


def train(peer: ModuleType, experiment: str, arm: str, rate: float, seed: int) -> PeerRan:
    """One run with `peer` attached. Overt behaviour is asked for where nothing is attached, off the clock."""
    of = EXPERIMENTS[experiment]
    session = of.session(arm, rate, seed)
    with tempfile.TemporaryDirectory() as folder:
        attached = peer.attach(Loop(session.model, session.optimizer, of.every, Path(folder)))
        bare, overt, spent = peer.__name__.endswith(".bare"), {}, 0.0
        started = seconds()
        for step, batch in enumerate(session.loader):
            attached.after(step + 1, session.step(step, batch), batch)
            if bare and (step + 1) % of.every == 0:
                spent += seconds() - started
                overt[str(step + 1)] = session.overt()
                started = seconds()
        attached.close()
        spent += seconds() - started
        given = attached.given()
    return PeerRan(
        given.steps,
        given.streams,
        given.alarms,
        given.estimates,
        overt,
        _sha256(session.model),
        spent,
        version(peer.PACKAGE),
    )


def _sha256(model: Any) -> str:
    made = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        made.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return made.hexdigest()


def main() -> None:
    """Answer jobs until stdin ends. What a peer prints goes to stderr: stdout belongs to the protocol."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(1)
    peer = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        job = json.loads(line)
        out = Path(job.pop("out"))
        try:
            with contextlib.chdir(tempfile.gettempdir()):
                save(out, train(peer, **job))
            print(json.dumps({"out": str(out)}), file=answers)
        except Exception as error:  # noqa: BLE001 - a peer may raise anything, and it is a result
            traceback.print_exc()
            print(json.dumps({"out": str(out), "error": f"{type(error).__name__}: {error}"}), file=answers)


if __name__ == "__main__":
    main()
