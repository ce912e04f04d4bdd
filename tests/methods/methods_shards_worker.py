"""What each rank of test_methods_sharded does: every method on a model cut over two gloo ranks, and on it whole.

    python -m torch.distributed.run --nproc_per_node=2 methods_shards_worker.py FOLDER KIND

Rank r writes FOLDER/r.json after each method: its name → "ok", or what went wrong. Every rank is given the same data.
"""

import json
import sys
import time
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from each_method import CASES, CONTRAST, LAYERS, Methods, agree, metric, tokens
from torch.distributed.tensor import DTensor
from torch_cut import cut, llama, raises

from darklantern import methods, models
from darklantern.errors import SiteError
from darklantern.models.opened import Model


class OnTorch(Methods):
    def ranks_that_differ(self, model: Model) -> None:
        """Other data on each rank end in an error on both, as soon as they ask for different things."""
        own = (self.array(tokens(CONTRAST, seed + dist.get_rank())) for seed in (10, 20))
        contrast = methods.Contrast(*own, metric)
        raises(SiteError, "rank", lambda: methods.minimal(model, methods.edge_scores(model, contrast), contrast))


def main(folder: Path, kind: str, *only: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, told = dist.get_rank(), {}
    module, earlier = llama(LAYERS), llama(LAYERS)
    for weights in earlier.model.layers[1].parameters():
        weights.data *= 0.9
    pieces = cut(module, kind)
    assert any(isinstance(each, DTensor) for each in pieces.parameters())
    whole, given = models.open(module), models.open(pieces)
    on_whole, on_given = (OnTorch(models.open(each), torch.from_numpy) for each in (earlier, cut(earlier, kind)))
    for case in only or (*CASES, "ranks_that_differ"):
        began = time.perf_counter()
        try:
            if case == "ranks_that_differ":
                getattr(on_given, case)(given)
            else:
                agree(getattr(on_given, case)(given), getattr(on_whole, case)(whole))
            told[case] = "ok"
        except Exception:  # noqa: BLE001 - what went wrong is the result
            told[case] = traceback.format_exc()
        print(f"{case}, rank {rank}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        (folder / f"{rank}.json").write_text(json.dumps(told))
    # Nobody leaves before all are done: an exit would end the others' collectives, and hide that they hang.
    while not all((folder / f"{each}.json").exists() for each in range(2)):
        time.sleep(0.05)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
