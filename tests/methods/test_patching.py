"""Patching against cases whose answer follows from how they were built."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from words import LONG, SWAPPED, WORDS, Words

from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import linearise, patch, sweep
from darklantern.models import parse
from darklantern.models.edits import take
from darklantern.models.on_torch.opened import Model


class Copier(nn.Module):
    """Position 5 sums what two ports carry from positions 1 (weight 3) and 2 (weight 1); nothing else matters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        out = torch.zeros_like(x)
        out[:, 5] = 3 * a[:, 1] + b[:, 2]
        return out


def metric(output: Tensor) -> float:
    return float(output[:, 5].sum(-1).mean())


CLEAN, CORRUPT = torch.ones(4, 6, 2), torch.zeros(4, 6, 2)


def test_each_path_gets_exactly_its_share_of_the_effect() -> None:
    found = sweep(models.open(Copier()), CLEAN, CORRUPT, ["first:out", "second:out"], metric, range(6))
    assert (found.clean, found.corrupt) == (8.0, 0.0)
    assert found.effects == ((0, 0.75, 0, 0, 0, 0), (0, 0, 0.25, 0, 0, 0))
    assert [(str(site), effect) for site, effect in found.ranked()[:2]] == [
        ("first:out[pos=1]", 0.75),
        ("second:out[pos=2]", 0.25),
    ]


def test_patching_all_carriers_restores_everything() -> None:
    model = models.open(Copier())
    source = model.record(CLEAN, "first:out", "second:out")
    sites = [parse("first:out[pos=1]"), parse("second:out[pos=2]")]
    assert patch(model, CORRUPT, source, sites, metric) == 8.0


def test_inputs_without_a_difference_are_refused() -> None:
    with pytest.raises(SiteError, match="same metric"):
        sweep(models.open(Copier()), CLEAN, CLEAN, ["first:out"], metric, range(6))


@torch.no_grad()
def test_replaying_the_suffix_several_positions_at_once_is_one_whole_run_a_cell() -> None:
    torch.manual_seed(0)
    module = GPT2LMHeadModel(GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=30, bos_token_id=0, eos_token_id=0))
    for parameter in module.parameters():
        parameter.data.mul_(5 if parameter.ndim > 1 else 1)
    model = models.open(module.eval())
    clean, corrupt = (torch.randint(0, 30, (2, 6), generator=torch.Generator().manual_seed(s)) for s in (1, 2))

    def metric(output: object) -> float:
        return float(output.logits[:, -1, 3].mean())  # type: ignore[attr-defined]

    sites = ["layers.*:out", "layers.1.attn:z[head=1]", "layers.2.mlp:out", "norm:out", "embed:out"]
    source = model.record(clean, "layers.*:out", "layers.1.attn:z", "layers.2.mlp:out", "norm:out", "embed:out")
    one, several = (sweep(model, clean, corrupt, sites, metric, range(6), at_once=n) for n in (1, 4))
    assert one.sites == several.sites
    for site, row, other in zip(one.sites, one.effects, several.effects, strict=True):
        for position in range(6):
            patched = metric(model.run(corrupt, {site.at(pos=position): take(source)}))
            truth = (patched - one.corrupt) / (one.clean - one.corrupt)
            assert row[position] == pytest.approx(truth, abs=1e-5), site
            assert other[position] == pytest.approx(truth, abs=1e-5), site


def opened() -> Model:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=len(WORDS), bos_token_id=0, eos_token_id=0)
    module = GPT2LMHeadModel(config)
    for parameter in module.parameters():
        parameter.data.mul_(5 if parameter.ndim > 1 else 1)
    return models.open(module.eval(), Words())


def last_mary(output: object) -> float:
    """At the second of two prompts, which is short: the last of its own positions is 3."""
    return float(output.logits[1, 3, 2] - output.logits[1, 3, 4])  # type: ignore[attr-defined]


def by_hand(model: Model, clean: object, corrupt: object, site: str, metric: Callable[[object], float]) -> float:
    source = model.record(clean, site)
    return metric(model.run(corrupt, {site: take(source)}))


@torch.no_grad()
def test_in_a_padded_batch_several_at_once_patch_what_one_at_a_time_does() -> None:
    model = opened()
    clean, corrupt = (
        model.batch([LONG, "When Anna and John"]),
        model.batch([SWAPPED, "When John and Anna"], align=[LONG, "When Anna and John"]),
    )
    one, three = (
        sweep(model, clean, corrupt, ["layers.*:out", "layers.1.attn:z"], last_mary, [1, -1, -2], n) for n in (1, 3)
    )
    assert three.array == pytest.approx(one.array, abs=1e-5)
    # The very last layer's output at each example's own last position is all that the logits there depend on.
    assert one.effects[2] == pytest.approx((0.0, 1.0, 0.0), abs=1e-5)
    for site in ("layers.1:out[pos=-1]", "layers.1:out[pos=1]", "layers.1.attn:z[pos=-2]"):
        patched = by_hand(model, clean, corrupt, site, last_mary)
        cells = {str(cell): effect for cell, effect in three.ranked()}
        assert cells[site] == pytest.approx((patched - one.corrupt) / (one.clean - one.corrupt), abs=1e-5)


@torch.no_grad()
def test_without_positions_all_that_every_example_has_are_swept() -> None:
    model = opened()
    clean, corrupt = (
        model.batch([LONG, "When Anna and John"]),
        model.batch([SWAPPED, "When John and Anna"], align=[LONG, "When Anna and John"]),
    )
    found = sweep(model, clean, corrupt, ["layers.*:out"], last_mary)
    assert (found.axis, found.indices) == ("pos", (0, 1, 2, 3))
    assert found.tokens == (("When", "When"), ("·", "·"), ("and", "and"), ("John", "·"))
    same = model.batch([LONG]), model.batch([SWAPPED], align=[LONG])
    assert sweep(model, *same, ["layers.0:out"], lambda output: output.logits[0, -1, 2]).indices == tuple(range(10))
    numbers = clean["input_ids"][:1], corrupt["input_ids"][:1, :9]  # tensors: as many as both have
    assert sweep(model, *numbers, ["layers.0:out"], lambda output: output.logits[0, 8, 2]).indices == tuple(range(9))


@torch.no_grad()
def test_prompts_as_text_are_batches_that_correspond() -> None:
    model, site = opened(), "layers.1:out"
    found = sweep(model, LONG, SWAPPED, [site], lambda output: output.logits[0, -1, 2])
    assert found.tokens[8] == ("John", "Mary")
    batches = model.batch(LONG), model.batch(SWAPPED)
    assert found.effects == sweep(model, *batches, [site], lambda output: output.logits[0, -1, 2]).effects
    with pytest.raises(SiteError, match=r"has 4 tokens, .* has 10, so positions do not correspond: 'When' 'John'"):
        sweep(model, [LONG], ["When John and Anna"], [site], lambda output: output.logits[0, -1, 2])


def test_prompts_that_are_not_aligned_are_refused() -> None:
    model = opened()
    with pytest.raises(SiteError, match=r"clean prompts have 10 tokens and the corrupt ones 4"):
        sweep(model, model.batch([LONG]), model.batch(["When John and Anna"]), ["layers.0:out"], lambda output: 0.0)


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_starred_head_gives_layers_by_heads_at_all_positions_or_at_the_pinned_one(at_once: int) -> None:
    model = opened()
    clean, corrupt = model.batch([LONG]), model.batch([SWAPPED])

    def metric(output: object) -> float:
        return float(output.logits[0, -1, 2])  # type: ignore[attr-defined]

    for pins in ("head={}", "head={},pos=-1"):
        asked = f"layers.*.attn:z[{pins.format('*')}]"
        found = sweep(model, clean, corrupt, [asked], metric, at_once=at_once)
        assert (found.axis, found.indices, len(found.sites)) == ("head", (0, 1), 3)
        for layer, head in itertools.product(range(3), range(2)):
            patched = by_hand(model, clean, corrupt, f"layers.{layer}.attn:z[{pins.format(head)}]", metric)
            truth = (patched - found.corrupt) / (found.clean - found.corrupt)
            assert found.array[layer, head] == pytest.approx(truth, abs=1e-5)


@torch.no_grad()
def test_heads_are_swept_at_each_examples_own_position() -> None:
    model = opened()
    clean, corrupt = model.batch([LONG, "When Anna and John"]), model.batch([SWAPPED, "When John and Anna"])
    site = parse("layers.*.attn:z[head=*]").at(pos=(8, 3))
    one, two = (sweep(model, clean, corrupt, [site], last_mary, at_once=n) for n in (1, 2))
    assert (one.axis, one.array.shape) == ("head", (3, 2))
    assert two.array == pytest.approx(one.array, abs=1e-5)
    patched = by_hand(model, clean, corrupt, "layers.1.attn:z[head=1,pos=(8,3)]", last_mary)
    assert one.array[1, 1] == pytest.approx((patched - one.corrupt) / (one.clean - one.corrupt), abs=1e-5)


@torch.no_grad()
def test_heads_and_positions_together_make_each_head_a_row() -> None:
    model = opened()
    clean, corrupt = model.batch([LONG]), model.batch([SWAPPED])
    asked = {"sites": ["layers.{1,2}.attn:z[head=*]"], "metric": lambda output: output.logits[0, -1, 2]}
    found = sweep(model, clean, corrupt, **asked, positions=[8, -1], at_once=2)
    assert [str(site) for site in found.sites] == [f"layers.{i}.attn:z[head={h}]" for i in (1, 2) for h in (0, 1)]
    assert found.array.shape == (4, 2)
    every = sweep(model, clean, corrupt, ["layers.{1,2}.attn:z[head=*,pos=*]"], asked["metric"])
    assert every.array[:, [8, 9]] == pytest.approx(found.array, abs=1e-5)


@torch.no_grad()
def test_a_site_pinned_to_a_position_is_patched_there_in_one_column() -> None:
    model = opened()
    found = sweep(
        model,
        model.batch([LONG]),
        model.batch([SWAPPED]),
        ["layers.*:out[pos=-1]"],
        lambda output: output.logits[0, -1, 2],
    )
    assert (found.axis, found.array.shape) == ("", (3, 1))
    assert found.effects[2] == (1.0,)
    assert "layer" in found.show().svg and "whole" in repr(found)


def test_images_are_swept_over_channels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    clean, corrupt = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = sweep(models.open(net), clean, corrupt, ["1:out[channel=*]"], lambda output: output[0, 0])
    assert (found.axis, found.array.shape) == ("channel", (1, 4))
    assert found.array.sum() == pytest.approx(1.0, abs=1e-4)  # what follows is linear
    with pytest.raises(SiteError, match="has axes batch channel height width, so it cannot be swept over pos"):
        sweep(models.open(net), clean, corrupt, ["1:out"], lambda output: output[0, 0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sites": "first:out"}, "expected a list of sites, got 'first:out'"),
        ({"sites": []}, "at least one site"),
        ({"metric": range(6)}, "expected a function from the model's output to a number as metric, got range"),
        ({"metric": lambda output: output}, "the metric must return one number, got a Tensor of shape"),
        ({"metric": lambda output: float("nan")}, "the metric is nan on the clean inputs"),
        ({"positions": []}, "at least one position"),
        ({"positions": 5}, "expected a list of positions, got int 5"),
        ({"positions": "last"}, "expected a list of positions, got str 'last'"),
        ({"at_once": 0}, "at_once must be 1 or more cells in a run, got 0"),
        ({"at_once": 2.0}, "got 2.0"),
        ({"sites": ["first:out", "second:out[pos=1]"]}, "no one table holds both"),
    ],
)
def test_a_sweep_that_cannot_be_says_why(changed: dict[str, object], message: str) -> None:
    asked = {"sites": ["first:out"], "metric": metric, "positions": None} | changed
    with pytest.raises(SiteError, match=message):
        sweep(models.open(Copier()), CLEAN, CORRUPT, **asked)  # type: ignore[arg-type]


def test_a_sweep_prints_as_a_table_and_shows_as_a_picture() -> None:
    found = sweep(models.open(Copier()), CLEAN, CORRUPT, ["first:out", "second:out"], metric)
    assert repr(found).split("\n") == [
        "share of the effect restored: 0 is the corrupt run (metric 0), 1 the clean one (8)",
        "pos            0     1     2     3     4     5",
        "first:out   0.00  0.75  0.00  0.00  0.00  0.00",
        "second:out  0.00  0.00  0.25  0.00  0.00  0.00",
    ]
    assert "Strongest: 0.75 at first:out[pos=1]" in repr(found.show())
    assert found.show().svg in found._repr_html_()
    assert "0.25: site 1 “second:out”, pos 2" in found.show().svg


@torch.no_grad()
def test_the_picture_has_a_field_for_each_kind_of_site_and_tokens_across() -> None:
    model = opened()
    clean, corrupt = model.batch([LONG]), model.batch([SWAPPED])
    found = sweep(
        model, clean, corrupt, ["layers.*:out", "layers.*.mlp:out"], lambda output: output.logits[0, -1, 2], at_once=10
    )
    shown = found.show()
    assert ">layers.*:out<" in shown.svg and ">layers.*.mlp:out<" in shown.svg
    assert "layer 2, pos 8 “John/Mary”" in shown.svg
    assert "Where the runs differ, clean/corrupt: John/Mary at 8." in shown.says
    wide = replace(
        found, indices=tuple(range(600)), tokens=(), effects=tuple((0.0,) * 599 + (1.0,) for _ in found.sites)
    )
    assert "Each cell is the strongest of 3 along pos." in wide.show().says
    assert repr(wide).endswith("…")


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


def test_a_module_that_was_not_opened_says_so() -> None:
    calls: list[Callable[[object], object]] = [
        lambda model: sweep(model, CLEAN, CORRUPT, ["first:out"], metric),  # type: ignore[arg-type]
        lambda model: patch(model, CORRUPT, None, [parse("first:out")], metric),  # type: ignore[arg-type]
        lambda model: linearise(model, {"norm"}),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(SiteError, match="expected an opened model, got Copier") as refused:
            call(Copier())
        assert "darklantern.open(model)" in refused.value.hint
