"""What each rank of test_methods_sharded does: every method on a model cut over two gloo ranks, and on it whole.

    python -m torch.distributed.run --nproc_per_node=2 methods_shards_worker.py FOLDER KIND

Rank r writes FOLDER/r.json after each method: its name → "ok", or what went wrong. Every rank is given the same data.
"""

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch_cut import TOKENS, WIDTH, cut, llama, raises

from darklantern import methods, models
from darklantern.errors import SiteError
from darklantern.models.opened import Model

LAYERS, FIT, CHECK, CONTRAST = 2, 40, 24, 4
STREAM, HEAD = "layers.*:out", "layers.*.attn:z[head=*]"


def tokens(count: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 64, (count, TOKENS), generator=torch.Generator().manual_seed(seed))


def metric(output: Any) -> Any:
    return (output.logits[:, -1, 3] - output.logits[:, -1, 5]).mean()


def likelier(output: Any) -> Any:
    return output.logits[:, -1, 3] > output.logits[:, -1, 5]


def other(done: Any, answer: Any, else_: Any) -> Any:
    return else_


def transcoder(layer: int) -> methods.Transcoder:
    rng = np.random.default_rng(layer)
    enc, dec = rng.normal(size=(2, 24, WIDTH)) / 8
    return methods.Transcoder(enc, rng.normal(size=24) / 8, dec, np.zeros(WIDTH))


class Methods:
    """One way to call each method, on any model; a case's name is its method's."""

    def __init__(self, earlier: Model) -> None:
        self.earlier = earlier
        self.clean, self.corrupt = tokens(CONTRAST, 1), tokens(CONTRAST, 2)
        self.fit, self.check = tokens(FIT, 3), tokens(CHECK, 4)
        self.kinds, self.true = (each[:, -1].numpy() > 31 for each in (self.fit, self.check))
        self.contrast = methods.Contrast(self.clean, self.corrupt, metric)

    def direction(self, model: Model) -> list[methods.Result]:
        positive, negative = (self.fit[torch.from_numpy(each)] for each in (self.kinds, ~self.kinds))
        ways = ("means", "lda", "logistic")
        return [methods.direction(model, positive, negative, "layers.1:out[pos=-1]", way) for way in ways]

    def directions(self, model: Model) -> list[methods.Result]:
        positive, negative = (self.fit[torch.from_numpy(each)] for each in (self.kinds, ~self.kinds))
        return [methods.directions(model, positive, negative, "layers.*:out[pos=-1]")]

    def leace(self, model: Model) -> list[methods.Result]:
        return [methods.leace(model, self.fit, list(self.kinds), "layers.1:out[pos=-1]")]

    def lens(self, model: Model) -> list[methods.Result]:
        return [methods.lens(model, self.clean)]

    def fit_lens(self, model: Model) -> list[methods.Result]:
        batches = [self.fit[:8], self.fit[8:16], self.fit[16:24]]
        tuned = methods.fit_lens(model, batches, steps=6)
        return [tuned, methods.lens(model, self.clean, tuned), methods.fit_lens(model, batches, "jacobian", probes=2)]

    def attribute(self, model: Model) -> list[methods.Result]:
        ways = ("patching", "relp", "ig")
        found = [methods.attribute(model, self.clean, self.corrupt, HEAD, metric, way, steps=4) for way in ways]
        gradient = methods.attribute(model, self.clean, None, "embed:out[pos=*]", metric, "gradient")
        return [*found, gradient, found[1].verify(6)]

    def sweep(self, model: Model) -> list[methods.Result]:
        return [
            methods.sweep(model, self.clean, self.corrupt, sites, metric, at_once=at_once)
            for sites in ([STREAM], [HEAD])
            for at_once in (2, 5)
        ]

    def ablate(self, model: Model) -> list[methods.Result]:
        sites = "layers.*.mlp:out"
        return [
            methods.ablate(model, self.clean, sites, metric),
            methods.ablate(model, self.clean, sites, metric, "mean", reference=self.fit),
            methods.ablate(model, self.clean, sites, metric, "resample", reference=self.fit, draws=2),
        ]

    def path_patch(self, model: Model) -> list[methods.Result]:
        senders, receivers = ["embed", "layers.0.attn:result"], ["layers.1.attn:{q,k,v}[head=0]", "logits"]
        return [methods.path_patch(model, self.clean, self.corrupt, senders, receivers, metric)]

    def circuits(self, model: Model) -> list[methods.Result]:
        found = [methods.edge_scores(model, self.contrast, way) for way in ("eap", "eap-ig", "relp", "exact")]
        circuit = methods.select(found[1], 12)
        return [*found, circuit, methods.faithfulness(model, circuit, self.contrast)]

    def minimal(self, model: Model) -> list[methods.Result]:
        scores = methods.edge_scores(model, self.contrast, "eap-ig")
        return [methods.minimal(model, scores, self.contrast, faithfulness=0.2)]

    def attribution_graph(self, model: Model) -> list[methods.Result]:
        coders = [transcoder(layer) for layer in range(LAYERS)]
        return [methods.attribution_graph(model, self.clean[:1], coders, [3, 5], how=how) for how in ("adjoint", "vjp")]

    def label(self, model: Model) -> list[methods.Result]:
        return [methods.label(model, self.fit, "layers.1.mlp:neurons[neuron=7]", text=str)]

    def ask(self, model: Model) -> list[methods.Result]:
        question = methods.Question("Is the last token large?", "layers.1:out[pos=-1]", other, likelier)
        return [
            methods.ask(model, question, self.fit, self.kinds, self.check, truth=self.true, how="means", partners=2)
        ]

    def read_out(self, model: Model) -> list[methods.Result]:
        return [
            methods.read_out(model, self.check, "layers.1:out[pos=-1]", self.clean[:1], "layers.1:out[pos=2]", [3, 5])
        ]

    def train_reader(self, model: Model) -> list[methods.Result]:
        labels, truth = {"large": self.kinds}, {"large": self.true}
        return [methods.train_reader(model, "layers.1:out[pos=-1]", self.fit, labels, self.check, truth, steps=20)]

    def diff(self, model: Model) -> list[methods.Result]:
        return [methods.diff(self.earlier, model, self.fit)]

    def ranks_that_differ(self, model: Model) -> None:
        """Other data on each rank end in an error on both, as soon as they ask for different things."""
        own = (tokens(CONTRAST, seed + dist.get_rank()) for seed in (10, 20))
        contrast = methods.Contrast(*own, metric)
        raises(SiteError, "rank", lambda: methods.minimal(model, methods.edge_scores(model, contrast), contrast))


def shown(found: list[methods.Result]) -> list[tuple[str, float]]:
    """All numbers of results, by name: figures and tables."""
    told: list[tuple[str, float]] = []
    for turn, each in enumerate(found):
        told += [(f"{turn} {figure.name}", figure.value) for figure in each.figures]
        for grid in each.grids:
            names = [f"{turn} {grid.name} {row} {column}" for row in grid.rows for column in grid.columns]
            told += zip(names, np.ravel(grid.values).tolist(), strict=True)
    return sorted(told)


def agree(found: list[methods.Result], true: list[methods.Result]) -> None:
    """Raises AssertionError for numbers further apart than float32 allows, other names, and another provenance."""
    ours, theirs = shown(found), shown(true)
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    assert found[0].evidence().provenance == true[0].evidence().provenance
    for (name, here), (_, there) in zip(ours, theirs, strict=True):
        off = abs(here - there) / (1 + abs(there)) if here == here or there == there else 0.0
        assert off <= 2e-4, f"{name}: {here}, of a whole model {there}"


WHOLE = {"label_each", "linearise", "load_circuit", "pair_spans", "patch", "trigger_circuit"}
"""what others of the cases do for them, and what reads text or the watch's own model alone"""
CASES = [name for name in vars(Methods) if not name.startswith("_")]


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
    on_whole, on_given = Methods(models.open(earlier)), Methods(models.open(cut(earlier, kind)))
    for case in only or CASES:
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
