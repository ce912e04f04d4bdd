"""Does attention come to write what it reads? On hand-made attention whose values say so, or something else."""

import numpy as np
import pytest
import torch
from torch import nn

from darklantern.errors import WatchError
from darklantern.organisms.bytelm import Attention
from darklantern.organisms.shape import Shape
from darklantern.watch import Examples, Now, Seen
from darklantern.watch.attach.torch_loop import tap
from darklantern.watch.examples import Pool
from darklantern.watch.language import CopyingProbe

COUNT = 24
TRUSTED = np.random.default_rng(0).integers(0, COUNT, (50, 16))


class Reads(nn.Module):
    """One attention whose output is `written` of the token that it reads: one-hot embeddings, a plain readout."""

    def __init__(self, written) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(torch.eye(COUNT))
        self.attn = Attention(Shape(layers=1, dim=COUNT, heads=1, context=16))
        with torch.no_grad():
            self.attn.qkv.weight.zero_()
            self.attn.qkv.bias.zero_()
            self.attn.qkv.weight[2 * COUNT :] = torch.eye(COUNT)
            self.attn.out.weight.copy_(torch.as_tensor(written, dtype=torch.float32).T)
            self.attn.out.bias.zero_()

    def forward(self, tokens):
        x = self.embed(tokens)
        return x + self.attn(x)


def reading(written, **given):
    probe = CopyingProbe(TRUSTED, site="attn:out", **given)
    model = Reads(written)
    made = tap(model, torch.optim.SGD(model.parameters(), 0.1), lambda residual: residual)
    asked = probe.inputs(Now(0, Pool(Examples(TRUSTED)), None, None))
    (site,) = probe.sites
    (found,) = probe.read(Seen(made.see(asked.inputs, (site,), (site,), False)))
    return found


def test_writing_what_was_read_reads_high_and_its_placebo_low() -> None:
    found = reading(5 * np.eye(COUNT))
    assert found.value > 3
    assert abs(found.placebo) < 0.5


def test_writing_another_token_or_always_the_same_is_no_copying() -> None:
    other = np.roll(5 * np.eye(COUNT), 9, axis=1)
    same = np.zeros((COUNT, COUNT))
    same[:, 3] = 5.0
    against = -5 * np.eye(COUNT)
    assert abs(reading(other).difference) < 0.6
    assert reading(same).difference == 0
    assert reading(against).value < -3


def test_noise_reads_about_nothing() -> None:
    drawn = [reading(np.random.default_rng(seed).normal(size=(COUNT, COUNT))).difference for seed in range(20)]
    assert abs(np.mean(drawn)) < 0.15
    assert np.std(drawn) < 0.4


def test_too_few_tokens_are_named() -> None:
    with pytest.raises(WatchError, match="at least 8 different tokens, got 2"):
        CopyingProbe(TRUSTED % 2)
