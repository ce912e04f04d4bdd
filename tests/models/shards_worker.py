"""What each rank of test_shards does: cases on a model cut over two gloo ranks, each compared with one process.

    python -m torch.distributed.run --nproc_per_node=2 shards_worker.py FOLDER SUITE

Rank r writes FOLDER/r.json after each case: its name → "ok", or what went wrong.
"""

import copy
import gc
import json
import sys
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch_cut import KINDS, TOKENS, WIDTH, cut, llama, near, raises, tokens_of

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits

Edits = dict[str, Any]
EDITS: dict[str, Edits] = {
    "zero a head": {"layers.1.attn:z[head=1]": edits.zero()},
    "add at a position": {"layers.0:out[pos=3]": edits.add(torch.linspace(-1, 1, WIDTH))},
    "a row of the pattern": {"layers.1.attn:pattern[head=3,pos=-1]": lambda v: v.flip(-1)},
    "scores": {"layers.0.attn:scores[head={0,2}]": edits.scale(0.5)},
    "q and k before rotary": {"layers.1.attn:q_pre[head=2]": edits.scale(2.0), "layers.2.attn:k_pre": edits.scale(0.5)},
    "v": {"layers.1.attn:v[head=1]": edits.zero()},
    "a head's result": {"layers.1.attn:result[head=3]": edits.zero()},
    "resid_mid": {"layers.1:resid_mid[pos=2]": edits.scale(1.5)},
    "neurons": {"layers.2.mlp:neurons[neuron=3:40]": edits.zero()},
    "post": {"layers.2.mlp:post[neuron=50]": edits.put(1.0)},
    "a sum's part": {"layers.1.mlp.down_proj:out": edits.scale(2.0)},
    "cut columns": {"layers.1.mlp.up_proj:out[dim=40]": edits.put(2.0)},
    "a norm's scale": {"layers.1.norm2:scale": edits.scale(1.1)},
    "embedding": {"embed:out[pos=0]": edits.zero()},
    "logits": {"unembed:out": edits.scale(3.0)},
}
GRADIENTS = (
    "embed:out", "layers.0:out[pos=2]", "layers.1.attn:q", "layers.1.attn:k[head=1]", "layers.1.attn:v",
    "layers.1.attn:pattern", "layers.0.attn:scores[head=2]", "layers.2.attn:z[head=3]", "layers.1.attn:result",
    "layers.1.attn:k_pre", "layers.1:resid_mid", "layers.1.mlp:neurons", "layers.1.mlp:pre", "layers.0.norm1:scale",
    "layers.1.mlp.down_proj:out", "layers.1.attn.o_proj:in", "unembed:in",
)  # fmt: skip


class Cases:
    """The cases of one way to cut, as methods; a case's name is its method's."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        whole = llama()
        self.tokens = tokens_of(kind)
        self.true = models.open(whole)
        self.module = cut(whole, kind)
        self.model = models.open(self.module)
        self.tensor_parallel = kind in ("tp", "transformers", "fsdp 1 × tp 2")

    def every_port(self) -> None:
        """Every site that one process can record is whole, and the output keeps its bits."""
        sites = []
        for site in self.true.sites():
            try:
                self.true.record(self.tokens, site)
            except SiteError:
                continue
            sites.append(site)
        assert len(sites) > 120, len(sites)
        plain = self.module(self.tokens).logits
        true, found = self.true.record(self.tokens, *sites), self.model.record(self.tokens, *sites)
        assert torch.equal(found.output.logits, plain)
        for site in sites:
            near(found[site].array, true[site].array, str(site))
            assert found[site].axes == true[site].axes

    def every_edit(self) -> None:
        for name, asked in EDITS.items():
            sites = [*asked, "layers.2:out"]
            true, found = (model.record(self.tokens, *sites, edits=asked) for model in (self.true, self.model))
            near(found.output.logits, true.output.logits, name)
            assert not torch.allclose(true.output.logits, self.true.run(self.tokens).logits, atol=1e-4), name
            for site in sites:
                near(found[site].array, true[site].array, f"{name}, {site}")

    def patches(self) -> None:
        other = self.tokens.flip(0)
        site = "layers.1.attn:z[head=2,pos=3]"
        for model in (self.true, self.model):
            asked = {site: edits.take(model.record(other, site))}
            outputs = [each.run(self.tokens, asked).logits for each in (self.true, self.model)]
            near(outputs[1], outputs[0], site)

    def gradients(self) -> None:
        self._gradients({"layers.1.attn:z[head=0]": edits.scale(0.5)})

    def gradients_under_checkpointing(self) -> None:
        for model in (self.true.module, self.module):
            model.train()
            model.gradient_checkpointing_enable({"use_reentrant": False})
        try:
            self._gradients({"layers.1.attn:z[head=0]": edits.scale(0.5), "layers.0.mlp:neurons": edits.scale(2.0)})
        finally:
            for model in (self.true.module, self.module):
                model.gradient_checkpointing_disable()
                model.eval()

    def _gradients(self, asked: Edits) -> None:
        def metric(output: Any) -> Tensor:
            return output.logits.log_softmax(-1)[:, -1, 3].sum()

        true, found = (m.gradient(self.tokens, metric, *GRADIENTS, edits=asked) for m in (self.true, self.model))
        assert abs(found.metric - true.metric) < 1e-4
        for site in GRADIENTS:
            near(found.gradients[site].array, true.gradients[site].array, f"gradient at {site}")
            near(found.values[site].array, true.values[site].array, f"value at {site}")
        assert all(each.grad is None for each in self.module.parameters())

    def products(self) -> None:
        cotangents = {"layers.2:out": torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(2))}
        true, found = (m.vjp(self.tokens, cotangents, "layers.0.attn:z") for m in (self.true, self.model))
        near(found.gradients["layers.0.attn:z"].array, true.gradients["layers.0.attn:z"].array, "vjp")

    def training_under_an_edit(self) -> None:
        """A backward pass of one's own, after the run: the parameters' gradients are right."""
        asked = {"layers.1.attn:z[head=0]": edits.scale(0.5), "layers.0.mlp:neurons": edits.scale(2.0)}
        for model in (self.true, self.model):
            model.record(self.tokens, "layers.1:out", edits=asked).output.logits.square().mean().backward()
        mean = self.kind in ("fsdp", "fsdp 2 × tp 1")  # over the ranks' batches
        for (name, true), found in zip(self.true.module.named_parameters(), self.module.parameters(), strict=True):
            expected = true.grad
            if mean:
                dist.all_reduce(expected)
                expected = expected / 2
            gradient = found.grad.full_tensor() if isinstance(found.grad, DTensor) else found.grad
            near(gradient, expected, f"gradient of {name}")
        for model in (self.true, self.model):
            model.module.zero_grad()

    def stop(self) -> None:
        for site in ("layers.1.attn:z", "layers.1.mlp.gate_proj:out", "embed:out"):
            true, found = (model.record(self.tokens, site, stop=True) for model in (self.true, self.model))
            assert found.output is None
            near(found[site].array, true[site].array, site)
            near(self.module(self.tokens).logits, self.true.run(self.tokens).logits, f"after a stop at {site}")
        self.training_under_an_edit()

    def start(self) -> None:
        true, found = (model.start(self.tokens, "layers.2") for model in (self.true, self.model))
        asked = {"layers.2.attn:z[head=1]": edits.zero()}
        near(self.model.run(found, asked).logits, self.true.run(true, asked).logits, "from layers.2")
        near(self.module(self.tokens).logits, self.true.run(self.tokens).logits, "after a start")

    def generation(self) -> None:
        options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "use_cache": True}
        asked, site = {"layers.1.attn:z[head=1]": edits.zero()}, "layers.1.attn:z"
        true, found = (m.generate(self.tokens, site, edits=asked, **options) for m in (self.true, self.model))
        assert torch.equal(found.output, true.output)
        near(found[site].array, true[site].array, site)

    def reduced_values(self) -> None:
        reduced = [
            m.record(self.tokens, "layers.*:out", reduce=lambda v: v.mean("pos")) for m in (self.true, self.model)
        ]
        near(reduced[1]["layers.1:out"].array, reduced[0]["layers.1:out"].array, "reduced")

    def pieces_that_are_all_the_same(self) -> None:
        """Zeros on both ranks do not pass for the whole."""
        asked = {"layers.1.mlp:in": edits.zero(), "layers.1.attn:in": edits.zero()}
        sites = ["layers.1.mlp:pre", "layers.1.mlp:post", "layers.1.mlp:neurons", "layers.1.mlp.up_proj:out",
                 "layers.1.attn:q", "layers.1.attn:k", "layers.1.attn:z", "layers.1.attn:q_pre"]  # fmt: skip
        true, found = (model.record(self.tokens, *sites, edits=asked) for model in (self.true, self.model))
        for site in sites:
            near(found[site].array, true[site].array, site)

    def local_values(self) -> None:
        sites = ["layers.1.attn:z", "layers.1.mlp:post", "layers.1.mlp.down_proj:out", "layers.1:out"]
        true, found = self.true.record(self.tokens, *sites), self.model.record(self.tokens, *sites, local=True)
        if self.tensor_parallel:
            rank = dist.get_rank()
            near(found[sites[0]].array, true[sites[0]].array.chunk(2, 2)[rank], sites[0])
            near(found[sites[1]].array, true[sites[1]].array.chunk(2, 2)[rank], sites[1])
            summed = found[sites[2]].array.clone()
            if self.kind != "transformers":  # which adds up inside
                dist.all_reduce(summed)
            near(summed, true[sites[2]].array, sites[2])
            raises(SiteError, "records only", lambda: self._local_edit())
        near(found[sites[3]].array, true[sites[3]].array, sites[3])

    def _local_edit(self) -> None:
        self.model.execute(self.model.plan(edits={"layers.1:out": edits.zero()}), self.tokens, local=True)

    def an_edit_fails_on_one_rank(self) -> None:
        def explode(value: Tensor) -> Tensor:
            if dist.get_rank() == 1:
                raise ZeroDivisionError("at last")
            return value

        call = lambda: self.model.run(self.tokens, {"layers.1.attn:z": explode})  # noqa: E731
        if dist.get_rank() == 1:
            raises(ZeroDivisionError, "at last", call)
        else:
            raises(SiteError, "rank 1 failed in this run: ZeroDivisionError: at last", call)
        near(self.model.run(self.tokens).logits, self.true.run(self.tokens).logits, "afterwards")

    def a_metric_fails_on_one_rank(self) -> None:
        def metric(output: Any) -> Tensor:
            return output.logits.sum() if dist.get_rank() == 0 else output.logits

        said = "rank 1 failed in this run: SiteError: the metric must" if dist.get_rank() == 0 else "one number"
        raises(SiteError, said, lambda: self.model.gradient(self.tokens, metric, "layers.1:out"))
        near(self.module(self.tokens).logits, self.true.run(self.tokens).logits, "afterwards")

    def plans_differ(self) -> None:
        said = "rank 0 asks for «record  layers.0:out"
        raises(SiteError, said, lambda: self.model.record(self.tokens, f"layers.{dist.get_rank()}:out"))
        near(self.model.run(self.tokens).logits, self.true.run(self.tokens).logits, "afterwards")

    def an_edit_differs_by_rank(self) -> None:
        asked = {"layers.1:out": edits.add(torch.full((WIDTH,), float(dist.get_rank())))}
        if self.tensor_parallel:
            raises(SiteError, "gave different values on ranks", lambda: self.model.run(self.tokens, asked))
        else:
            near(self.model.run(self.tokens, asked).logits, self.true.run(self.tokens, asked).logits, "its own edit")

    def refused_on_one_rank(self) -> None:
        """Before its run begins: the other one does not wait for it."""
        mask = torch.ones_like(self.tokens)
        mask[:, -1] = 1 - dist.get_rank()
        said = "end in padding" if dist.get_rank() else "rank 1 failed in this run: SiteError: layers.1:out[pos=-1]"
        given = {"input_ids": self.tokens, "attention_mask": mask}
        raises(SiteError, said, lambda: self.model.record(given, "layers.1:out[pos=-1]"))

    def refusals(self) -> None:
        tangents = {"embed:out": torch.ones(WIDTH)}
        raises(SiteError, "jvp is not written", lambda: self.model.jvp(self.tokens, tangents, "layers.0:out"))
        raises(SiteError, "declare is not written", lambda: self.model.declare("layers.0:out"))

    def a_model_is_freed(self) -> None:
        """What is known of how a model is cut does not keep the model."""
        module = cut(llama(), self.kind)
        gone = weakref.ref(module)
        models.open(module).record(self.tokens, "layers.*:out")
        del module
        gc.collect()
        assert gone() is None, [type(each).__name__ for each in gc.get_referrers(gone())]


class Block(nn.Module):
    """An MLP between norms, with a residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.mlp(self.norm(x)))


class Own:
    """A small model of one's own: biases, sequence parallelism, and what cannot be known."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        whole = Block()
        self.x = torch.randn(2, 6, 8)
        self.true = models.open(whole)
        self.mesh = init_device_mesh("cpu", (2,))
        plan = {"mlp.0": ColwiseParallel(), "mlp.2": RowwiseParallel()}
        self.module = parallelize_module(copy.deepcopy(whole), self.mesh, plan)
        self.model = models.open(self.module)

    def biases_and_activations(self) -> None:
        sites = ["mlp.0:out", "mlp.1:in", "mlp.1:out", "mlp.1:slope", "mlp.2:in", "mlp.2:out", "mlp:out", "norm:scale"]
        asked = {"mlp.1:slope": edits.scale(0.5), "mlp.2:out": edits.scale(2.0)}
        true, found = (model.record(self.x, *sites, edits=asked) for model in (self.true, self.model))
        for site in sites:
            near(found[site].array, true[site].array, site)
        near(found.output, true.output, "output")
        metric = lambda output: output.square().sum()  # noqa: E731
        true, found = (model.gradient(self.x, metric, *sites, edits=asked) for model in (self.true, self.model))
        for site in sites:
            near(found.gradients[site].array, true.gradients[site].array, f"gradient at {site}")

    def sequence_parallelism(self) -> None:
        """Norms on pieces of the sequence: their sites are whole, the bare stream between them is refused."""
        norm = PrepareModuleInput(input_layouts=(Replicate(),), desired_input_layouts=(Shard(1),))
        plan = {
            "norm": SequenceParallel(),
            "mlp.0": ColwiseParallel(input_layouts=Shard(1)),
            "mlp.2": RowwiseParallel(),
        }
        module = copy.deepcopy(self.true.module)
        parallelize_module(module, self.mesh, {"norm": norm})
        model = models.open(parallelize_module(module, self.mesh, plan))
        sites = ["norm:in", "norm:out", "norm:scale", "mlp.0:in", "mlp.2:out", "mlp:out"]
        asked = {"norm:out[pos=4]": edits.zero(), "norm:scale[pos=1]": edits.scale(2.0)}
        true, found = (each.record(self.x, *sites, edits=asked) for each in (self.true, model))
        for site in sites:
            near(found[site].array, true[site].array, site)
        near(found.output, true.output, "output")

    def multihead_attention_under_fsdp(self) -> None:
        """Its ports are computed from its own weights, which FSDP gathers only for the time of a forward."""
        whole = nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)).eval()
        module = copy.deepcopy(whole)
        for each in (module[1], module):
            fully_shard(each, mesh=self.mesh)
        sites = ["1.self_attn:pattern", "1.self_attn:z", "1.self_attn:result", "1.norm1:scale", "1:out"]
        asked = {"1.self_attn:z[head=1]": edits.scale(0.5)}
        metric = lambda output: output.square().sum()  # noqa: E731
        true, found = (models.open(m).gradient(self.x, metric, *sites, edits=asked) for m in (whole, module))
        for site in sites:
            near(found.values[site].array, true.values[site].array, site)
            near(found.gradients[site].array, true.gradients[site].array, f"gradient at {site}")

    def unknown_pieces(self) -> None:
        module = copy.deepcopy(self.true.module)
        plan = {"mlp.0": ColwiseParallel(), "mlp.2": RowwiseParallel(output_layouts=Shard(1))}
        model = models.open(parallelize_module(module, self.mesh, plan))
        near(model.record(self.x, "mlp.2:out", stop=True)["mlp.2:out"].array,
             self.true.record(self.x, "mlp.2:out")["mlp.2:out"].array, "the sum")  # fmt: skip
        raises(SiteError, "nothing around says how the pieces fit", lambda: model.record(self.x, "mlp:out", stop=True))
        pieces = model.record(self.x, "mlp:out", stop=True, local=True)["mlp:out"].array
        near(pieces, self.true.record(self.x, "mlp:out")["mlp:out"].array.chunk(2, 1)[dist.get_rank()], "pieces")

    def uneven_pieces(self) -> None:
        """Widths that the ranks cannot share alike are whole where torch marks them, else refused."""
        torch.manual_seed(4)
        whole = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 8))
        module = parallelize_module(copy.deepcopy(whole), self.mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
        model = models.open(module)
        true, found = (each.record(self.x, "0:out", stop=True) for each in (models.open(whole), model))
        near(found["0:out"].array, true["0:out"].array, "0:out")
        raises(SiteError, "nothing around says how the pieces fit", lambda: model.record(self.x, "1:out", stop=True))


class Break:
    """The model's own code fails on one rank while the other waits in a collective, which ends the groups for good."""

    def __init__(self, kind: str) -> None:
        mesh = init_device_mesh("cpu", (2,))
        module = Block()
        if kind == "tp":
            parallelize_module(module, mesh, {"mlp.0": ColwiseParallel(), "mlp.2": RowwiseParallel()})
        else:
            fully_shard(module.mlp, mesh=mesh)
            fully_shard(module, mesh=mesh)
        self.model, self.module = models.open(module), module

    def the_model_fails_on_one_rank(self) -> None:
        def explode(*_: Any) -> None:
            if dist.get_rank() == 1:
                raise ZeroDivisionError("in the model")

        self.module.norm.register_forward_pre_hook(explode)
        said = "in the model" if dist.get_rank() == 1 else "rank 1 failed in this run: ZeroDivisionError: in the model"
        error: Any = ZeroDivisionError if dist.get_rank() == 1 else SiteError
        raises(error, said, lambda: self.model.record(torch.randn(2, 6, 8), "mlp:out"))


SUITES: dict[str, Callable[[], Any]] = {
    **{kind: lambda kind=kind: Cases(kind) for kind in KINDS},
    "own": Own,
    "break tp": lambda: Break("tp"),
    "break fsdp": lambda: Break("fsdp"),
}
LAUNCHES = {
    "whole": ("tp", "own", "transformers", "fsdp", "fsdp 1 × tp 2", "fsdp 2 × tp 1"),
    "break tp": ("break tp",), "break fsdp": ("break fsdp",),
}  # fmt: skip
_OF = {"own": Own, "break tp": Break, "break fsdp": Break}


def cases(suite: str) -> list[str]:
    return [name for name in vars(_OF.get(suite, Cases)) if not name.startswith("_")]


def main(folder: Path, launch: str, only: str = "") -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    told: dict[str, str] = {}
    for suite in LAUNCHES[launch]:
        made = SUITES[suite]()
        for case in cases(suite):
            if only and case != only:
                continue
            try:
                getattr(made, case)()
                told[f"{suite}: {case}"] = "ok"
            except Exception:  # noqa: BLE001 - what went wrong is the result
                told[f"{suite}: {case}"] = traceback.format_exc()
            (folder / f"{rank}.json").write_text(json.dumps(told))
    # Nobody leaves before all are done: an exit would end the others' collectives, and hide that they hang.
    while not all((folder / f"{each}.json").exists() for each in range(2)):
        time.sleep(0.05)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
