"""One of two ranks of test_faults: `faults_rank_worker.py RANK PORT`. Rank 1 is killed in the midst of a look.

Rank 0 prints what came of it, then the hash of its weights and that of the same steps with nobody watching.
"""

import os
import signal
import sys
from datetime import timedelta

import torch.distributed as dist
from watch.loops import RECIPE, Scripted, parts, start

from darklantern.errors import WatchError
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training

if __name__ == "__main__":
    rank, port = map(int, sys.argv[1:])
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )

    def reads(look: int) -> float:
        if look == 3 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    w, (model, optimizer, loader) = start(Scripted(reads))
    try:
        for batch in w.over(loader):
            training.train_step(model, optimizer, RECIPE, w.step, batch)
    except WatchError as error:
        print(error)
    plain = parts(end=w.step)
    for step, batch in enumerate(plain[2]):
        training.train_step(plain[0], plain[1], RECIPE, step, batch)
    print(w.step, loader.state()["step"], weights_hash(model), weights_hash(plain[0]), sep="\n", flush=True)
    os._exit(0)  # the other end of its group is gone, and to leave it properly would wait for that
