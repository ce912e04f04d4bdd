"""Sweeps run the rest of the model from the patched site on, in models of every build, as whole runs would."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from words import LONG, SWAPPED, WORDS, Words

from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import sweep
from darklantern.models.edits import take
from darklantern.models.on_torch.opened import Model


class Mixing(nn.Module):
    """A residual block in which each position reads the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor, more: Tensor | float = 0.0) -> Tensor:
        return x + torch.tanh(self.linear(x.roll(1, 1))) + more


class Stack(nn.Module):
    """Four blocks and a head; what else reads a block's output is said by those that inherit."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(Mixing() for _ in range(4))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> object:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class FeatureLayer(Stack):
    """The head reads an earlier block's output besides, as models on features of a vision tower do."""

    def forward(self, x: Tensor) -> Tensor:
        kept = x
        for number, layer in enumerate(self.layers):
            x = layer(x)
            kept = x if number == 1 else kept
        return self.head(x + 3 * kept)


class SkipInto(Stack):
    """A later block is given an earlier one's output besides, as in a U-Net, and nothing else is."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.layers[0](x)
        x = self.layers[1](first)
        x = self.layers[2](x, first)
        return self.head(self.layers[3](x))


INPUTS = tuple(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))


def last_first(output: object) -> float:
    return float(getattr(output, "logits", output)[:, -1, 0].mean())  # type: ignore[index]


def by_hand(model: Model, clean: object, corrupt: object, site: str, metric: Callable[[object], float]) -> float:
    source = model.record(clean, site)
    return metric(model.run(corrupt, {site: take(source)}))


def assert_it_sweeps_as_by_hand(module: nn.Module, sites: list[str], at_once: int) -> None:
    model, (clean, corrupt) = models.open(module.eval()), INPUTS
    found = sweep(model, clean, corrupt, sites, last_first, at_once=at_once)
    for row, site in enumerate(found.sites):
        for position in range(5):
            patched = by_hand(model, clean, corrupt, str(site.at(pos=position)), last_first)
            truth = (patched - found.corrupt) / (found.clean - found.corrupt)
            assert found.array[row, position] == pytest.approx(truth, abs=1e-5), site


@torch.no_grad()
@pytest.mark.parametrize("kind", [Stack, FeatureLayer, SkipInto])
@pytest.mark.parametrize("at_once", [1, 5])
def test_a_patched_output_reaches_all_that_read_it_not_the_next_block_alone(kind: type[Stack], at_once: int) -> None:
    assert_it_sweeps_as_by_hand(kind(), ["layers.*:out"], at_once)


@torch.no_grad()
def test_where_only_the_next_block_reads_outputs_each_patch_starts_there_and_costs_two_runs_a_sweep() -> None:
    model, (clean, corrupt) = models.open(Stack().eval()), INPUTS
    calls = [0] * 4
    for number, layer in enumerate(model.module.layers):  # type: ignore[arg-type]
        layer.linear.register_forward_hook(lambda *_, number=number: calls.__setitem__(number, calls[number] + 1))

    def cost(positions: range) -> list[int]:
        calls[:] = [0] * 4
        sweep(model, clean, corrupt, ["layers.{0,1,2}:out"], last_first, positions)
        return list(calls)

    one, five = cost(range(1)), cost(range(5))
    assert [more - less for less, more in zip(one, five, strict=True)] == [0, 4, 8, 12]
    calls[:] = [0] * 4
    model.starts(corrupt, "layers.0", "layers.1", "layers.2", "layers.3")
    starting = calls[0]
    # The clean run, the corrupt one, and the two that try out whether others read the outputs.
    assert one[0] == starting + 2 + 2


@torch.no_grad()
def test_another_member_of_a_blocks_output_is_patched_where_it_is() -> None:
    class Pair(Mixing):
        def forward(self, x: Tensor, more: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().forward(x, more), 2 * x[..., :3]

    class Pairs(Stack):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Pair() for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            beside = 0.0
            for layer in self.layers:
                x, found = layer(x)
                beside = beside + found.sum(-1, keepdim=True)
            return self.head(x) + beside

    assert_it_sweeps_as_by_hand(Pairs(), ["layers.1:out.1"], at_once=1)


@dataclass
class Answer:
    logits: Tensor


class Opaque:
    """What nobody can see into."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class Returning(Stack):
    """A stack whose output is of some kind."""

    def __init__(self, kind: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> object:
        return self.kind(super().forward(x))


@torch.no_grad()
@pytest.mark.parametrize("kind", [Answer, Opaque], ids=["dataclass", "opaque"])
def test_several_at_once_each_get_their_own_share_of_an_output_of_any_kind(kind: Callable[[Tensor], object]) -> None:
    assert_it_sweeps_as_by_hand(Returning(kind), ["layers.*:out", "layers.1.linear:out"], at_once=5)


@torch.no_grad()
def test_a_model_whose_output_shows_no_tensors_runs_whole() -> None:
    class Hiding(SkipInto):
        def forward(self, x: Tensor) -> object:  # type: ignore[override]
            return Opaque(super().forward(x))

    assert_it_sweeps_as_by_hand(Hiding(), ["layers.*:out"], at_once=5)


@torch.no_grad()
def test_several_at_once_are_one_by_one_where_the_output_is_not_that_of_separate_examples() -> None:
    model, (clean, corrupt) = models.open(Returning(lambda logits: logits[:, -1, 0].mean()).eval()), INPUTS
    one, five = (sweep(model, clean, corrupt, ["layers.1:out"], float, at_once=n) for n in (1, 5))
    assert five.effects == one.effects


class Given(Stack):
    """Its blocks are given a tensor, (pos, pos) or (examples, dim), that is as long as a batch of five."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        size = {"positions": (5, 5, 1), "memory": (5, 8), "summed": (5, 8)}[kind]
        self.register_buffer("given", torch.randn(size, generator=torch.Generator().manual_seed(3)))
        self.layers = nn.ModuleList(Giving(kind) for _ in range(3))

    def forward(self, x: Tensor) -> object:
        for layer in self.layers:
            x = layer(x, self.given)
        return self.head(x)


class Giving(Mixing):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor, more: Tensor | float = 0.0) -> Tensor:
        assert isinstance(more, Tensor)
        if self.kind == "positions":
            more = (more * x[:, None]).sum(2)
        elif self.kind == "summed":
            more = more.sum(0)  # of two copies twice as much, and no error
        else:
            more = (x @ more.T).softmax(-1) @ more  # of two copies the same
        return super().forward(x, more)


@torch.no_grad()
@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("kind", ["positions", "memory", "summed"])
def test_a_tensor_that_happens_to_be_as_long_as_the_batch_changes_no_effect(size: int, kind: str) -> None:
    model = models.open(Given(kind).eval())
    clean, corrupt = (torch.randn(size, 5, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    one, five = (sweep(model, clean, corrupt, ["layers.*:out"], last_first, at_once=n) for n in (1, 5))
    assert five.array == pytest.approx(one.array, abs=1e-4)


class Centring(Stack):
    """Each example sees the others: copies of a batch do not keep apart."""

    def forward(self, x: Tensor) -> object:
        for layer in self.layers:
            x = layer(x)
            x = x - 0.5 * x.mean(0)
        return self.head(x)


@torch.no_grad()
def test_in_a_model_that_mixes_examples_cells_do_not_share_a_run() -> None:
    assert_it_sweeps_as_by_hand(Centring(), ["layers.*:out", "layers.*:in"], at_once=5)


@torch.no_grad()
def test_no_more_than_at_once_copies_are_in_a_run() -> None:
    model, (clean, corrupt) = models.open(Stack().eval()), INPUTS
    sizes: list[int] = []
    model.module.head.register_forward_hook(lambda _, args, __: sizes.append(len(args[0]) // 2))  # type: ignore[union-attr]
    sweep(model, clean, corrupt, ["layers.*:out"], last_first, at_once=4)
    assert max(sizes) == 4


def test_dropout_is_refused_since_every_effect_would_be_noise() -> None:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    model = models.open(GPT2LMHeadModel(config).train(), Words())
    with pytest.raises(SiteError, match="two runs on the corrupt inputs differ") as refused:
        sweep(model, LONG, SWAPPED, ["layers.*:out"], lambda output: output.logits[0, -1, 2], at_once=10)
    assert "model.eval()" in refused.value.hint
    model.module.eval()
    model.module.transformer.h[1].mlp.train()  # type: ignore[union-attr]
    with pytest.raises(SiteError, match="would be noise"):
        sweep(model, LONG, SWAPPED, ["layers.*:out"], lambda output: output.logits[0, -1, 2], at_once=10)


@torch.no_grad()
def test_training_mode_without_random_numbers_is_swept_as_any() -> None:
    (clean, corrupt), model = INPUTS, models.open(Stack().train())
    found = sweep(model, clean, corrupt, ["layers.*:out"], last_first)
    model.module.eval()
    assert sweep(model, clean, corrupt, ["layers.*:out"], last_first).effects == found.effects
