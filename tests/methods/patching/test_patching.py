"""Patching against cases whose answer follows from how they were built."""

import itertools
from collections.abc import Callable
from dataclasses import replace

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
