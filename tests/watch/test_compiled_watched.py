"""A watch over models that are compiled or forget activations: it reads what the plain model gives, bit for bit."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from torch.utils.checkpoint import checkpoint
from watch.loops import CORPUS, RECIPE, TRUSTED, Marked, Scripted

from darklantern.organisms import training
from darklantern.watch import Asked, Probe, Reading, Settings, Signal, watch

# Of dynamo itself, where a compiled block is given what is no leaf.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
SITES = ("embed:out", "layers.0:out")
STEPS = 12


class Compiler:
    """A backend that runs what it is given as it is, and counts the graphs: bits stay, recompilation shows."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, _: list) -> Callable:
        self.graphs += 1
        return graph.forward


class Reads(Probe):
    signals = (Signal("mean", "I0", "signal", "", ""),)
    sites, output = SITES, True
    settings = {}  # noqa: RUF012

    def __init__(self, sites: tuple[str, ...] = SITES) -> None:
        self.sites = sites
        self.seen: list[list[np.ndarray]] = []

    def inputs(self, now):
        return Asked(TRUSTED[:4, :-1])

    def read(self, seen):
        self.seen.append([*(seen[site].copy() for site in self.sites), seen.output.copy()])
        return (Reading(float(seen.output.mean())),)


class Forgetting(nn.Module):
    """A block that torch.utils.checkpoint runs once more in the backward pass."""

    def __init__(self, block: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.block, self.reentrant = block, reentrant

    def forward(self, x):
        return checkpoint(self.block, x, use_reentrant=self.reentrant)


def train(dress: Callable[[nn.Module], nn.Module], probe: Probe | None, every: int = 3):
    """The weights after a short run of the model that `dress` makes, watched or not."""
    inner, _ = training.new(RECIPE, 1)
    model = dress(inner)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loader = Marked(CORPUS, RECIPE, (1,), end=STEPS)
    batches = loader
    if probe is not None:
        w = watch(
            model, state=(optimizer, loader), trusted=TRUSTED, signals=[probe], settings=Settings(every=every)
        )  # fmt: skip
        batches = w.over(loader)
    for batch in batches:
        training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return [value.tolist() for value in inner.state_dict().values()]  # by any names


def in_place(model: nn.Module, backend: Compiler) -> nn.Module:
    model.compile(backend=backend)
    return model


def blocks(model: nn.Module, backend: Compiler) -> nn.Module:
    for layer in model.layers:
        layer.compile(backend=backend)
    return model


COMPILED = {
    "torch.compile": lambda model, backend: torch.compile(model, backend=backend),
    "torch.compile, fullgraph": lambda model, backend: torch.compile(model, backend=backend, fullgraph=True),
    "compile in place": in_place,
    "blocks": blocks,
}


@pytest.mark.parametrize("how", COMPILED)
def test_a_compiled_model_is_seen_as_the_plain_one_and_never_compiled_anew(how: str) -> None:
    torch._dynamo.reset()
    true = Reads()
    plain = train(lambda model: model, true)
    alone, watched, probe = Compiler(), Compiler(), Reads()
    without = train(lambda model: COMPILED[how](model, alone), None)
    torch._dynamo.reset()
    assert train(lambda model: COMPILED[how](model, watched), probe) == without == plain
    assert alone.graphs == watched.graphs > 0, "no hook makes another graph, and none is left out of one"
    assert len(probe.seen) == 1 + STEPS // 3
    for found, expected in zip(probe.seen, true.seen, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_hook_that_is_set_after_compiling_does_see_nothing_there_so_the_watch_does_not_rely_on_it() -> None:
    """The trap itself, so that it is known when torch closes it: then the uncompiled forward could go."""
    torch._dynamo.reset()
    model, _ = training.new(RECIPE, 1)
    made = torch.compile(model, backend="eager", fullgraph=True)
    tokens = torch.from_numpy(TRUSTED[:2, :-1].astype(np.int64))
    made(tokens)
    seen = []
    model.layers[0].register_forward_hook(lambda *_: seen.append(1))
    made(tokens)
    assert seen == []


def wrapped(model: nn.Module, reentrant: bool) -> nn.Module:
    kind = CheckpointImpl.REENTRANT if reentrant else CheckpointImpl.NO_REENTRANT
    apply_activation_checkpointing(
        model,
        checkpoint_wrapper_fn=lambda block: checkpoint_wrapper(block, checkpoint_impl=kind),
        check_fn=lambda part: any(part is layer for layer in layers),
    ) if (layers := list(model.layers)) else None
    return model


def by_hand(model: nn.Module, reentrant: bool) -> nn.Module:
    model.layers = nn.ModuleList(Forgetting(layer, reentrant) for layer in model.layers)
    return model


@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize(
    ("dress", "site"),
    [(wrapped, "layers.0._checkpoint_wrapped_module:out"), (by_hand, "layers.0.block:out")],
    ids=["torch's wrapper", "by hand"],
)
def test_a_model_that_forgets_activations_is_seen_as_the_plain_one(dress, site: str, reentrant: bool) -> None:
    true, probe = Reads(), Reads(("embed:out", site))
    plain = train(lambda model: model, true)
    assert train(lambda model: dress(model, reentrant), None) == plain
    assert train(lambda model: dress(model, reentrant), probe) == plain
    for found, expected in zip(probe.seen, true.seen, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_both_together_are_seen_too() -> None:
    torch._dynamo.reset()
    probe, backend = Reads(("layers.0.block:out",)), Compiler()

    def dress(model: nn.Module) -> nn.Module:
        return torch.compile(by_hand(model, False), backend=backend)

    assert train(dress, probe) == train(lambda model: model, None)
    assert len(probe.seen) == 1 + STEPS // 3


def test_what_torch_compile_puts_around_a_model_is_seen_through() -> None:
    from darklantern.watch.attach.torch_loop import unwrapped

    model, _ = training.new(RECIPE, 1)
    assert unwrapped(torch.compile(model, backend="eager")) is model
    assert unwrapped(model) is model
    w = watch(torch.compile(model, backend="eager"), trusted=TRUSTED, signals=[Scripted(lambda look: 0.0)])
    assert w._tap.model.module is model
