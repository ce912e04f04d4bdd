"""Patching against cases whose answer follows from how they were built."""

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from darklantern import models
from darklantern.methods import patch, sweep
from darklantern.models import parse
from darklantern.models.edits import take


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
    found = sweep(models.open(Copier()), CLEAN, CORRUPT, ["first:out", "second:out"], range(6), metric)
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
    from darklantern.errors import SiteError

    with pytest.raises(SiteError, match="same metric"):
        sweep(models.open(Copier()), CLEAN, CLEAN, ["first:out"], range(6), metric)


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
    one, several = (sweep(model, clean, corrupt, sites, range(6), metric, at_once=n) for n in (1, 4))
    assert one.sites == several.sites
    for site, row, other in zip(one.sites, one.effects, several.effects, strict=True):
        for position in range(6):
            patched = metric(model.run(corrupt, {site.at(pos=position): take(source)}))
            truth = (patched - one.corrupt) / (one.clean - one.corrupt)
            assert row[position] == pytest.approx(truth, abs=1e-5), site
            assert other[position] == pytest.approx(truth, abs=1e-5), site
