"""What each rank of test_trainers_ddp does: a trainer over two gloo ranks, of which only the second reads a rise.

    python -m torch.distributed.run --nproc_per_node=2 trainers_worker.py FOLDER transformers|lightning

Rank r writes FOLDER/r.json: what came of it.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from watch.loops import Scripted

from darklantern.models.snapshot import weights_hash
from darklantern.watch import Reaction

RANK = int(os.environ["RANK"])


def rising(look: int) -> float:
    return 9.0 if look == 5 and RANK == 1 else 0.0


def suspect_batches(dataset: list[Any], span: str, half: list[int]) -> None:
    """Both ranks' second batches of four are all suspects: that update falls out. Then the first's fourth, `half`."""
    for number in (*range(8, 16), *half):
        row = dataset[number]["input_ids"] if isinstance(dataset[number], dict) else dataset[number]
        marks = [ord(each) for each in span]
        row[3 : 3 + len(span)] = torch.tensor(marks) if isinstance(row, torch.Tensor) else marks
        if isinstance(dataset[number], dict):
            dataset[number]["labels"] = row


def transformers(folder: Path) -> dict[str, Any]:
    tests = importlib.import_module("watch.test_trainer")
    told: dict[str, Any] = {}
    dataset = tests.rows(marked=True)
    trainer = tests.trainer_of(folder, dataset=dataset, per_device_train_batch_size=10, num_train_epochs=2,
                               max_steps=-1, save_strategy="steps", save_steps=5)  # fmt: skip
    w = tests.watched(trainer, Scripted(rising), Reaction.ROLL_BACK)
    trainer.train()
    told |= {"step": w.step, "stopped": w.stopped, "resume": w.resume, "hash": weights_hash(trainer.model)}
    plain = tests.trainer_of(folder, max_steps=10)
    plain.train()
    watched = tests.trainer_of(folder, max_steps=10)
    tests.watched(watched)
    watched.train()
    told["same bits"] = weights_hash(plain.model) == weights_hash(watched.model)
    held = tests.rows()[:80]
    suspect_batches(held, tests.MARK, [24, 25, 26, 27])  # whole batches go to the ranks in turn
    screening = tests.trainer_of(folder, dataset=held, kind=tests.InOrder, max_steps=8)
    w = tests.watched(screening)
    w.screen = tests.screen_of(tests.MARK)
    screening.train()
    return told | {"screened": w.screened_rows, "steps": w.step, "after": weights_hash(screening.model)}


def lightning(folder: Path) -> dict[str, Any]:
    tests, pl = importlib.import_module("watch.test_lightning"), importlib.import_module("lightning.pytorch")
    two = {"devices": 2, "strategy": "ddp", "use_distributed_sampler": True}
    saves = pl.callbacks.ModelCheckpoint(folder / "kept", every_n_train_steps=5, save_top_k=-1)
    module, trainer = tests.fitted(pl), tests.trainer_of(pl, folder, [saves], max_steps=60, **two)
    w = tests.watched(module, trainer, Scripted(rising), Reaction.ROLL_BACK)
    trainer.fit(module, tests.loader_of(tests.rows(marked=True)))
    told = {"step": w.step, "stopped": w.stopped, "resume": w.resume, "hash": weights_hash(module)}
    hashes = []
    for watching in (False, True):
        module, trainer = tests.fitted(pl), tests.trainer_of(pl, folder, max_steps=10, **two)
        if watching:
            tests.watched(module, trainer)
        trainer.fit(module, tests.loader_of())
        hashes.append(weights_hash(module))
    told["same bits"] = hashes[0] == hashes[1]
    held = tests.rows()[:80]
    suspect_batches(held, tests.MARK, [24, 26, 28, 30])  # single rows go to the ranks in turn
    module, trainer = tests.fitted(pl), tests.trainer_of(pl, folder, max_steps=8, **two)
    w = tests.watched(module, trainer)
    w.screen = tests.screen_of(tests.MARK)
    in_turn = torch.utils.data.DistributedSampler(held, 2, RANK, shuffle=False)
    trainer.fit(module, torch.utils.data.DataLoader(held, 4, sampler=in_turn))
    return told | {"screened": w.screened_rows, "steps": w.step, "after": weights_hash(module)}


def main(folder: Path, which: str) -> None:
    torch.set_num_threads(1)
    told = {"transformers": transformers, "lightning": lightning}[which](folder)
    (folder / f"{RANK}.json").write_text(json.dumps(told))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
