"""Does attention come to write what it reads further back? On hand-made attention that does so, or something else."""

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
from darklantern.watch.seen import Values
from darklantern.watch.table import made, stated

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
    model = Reads(written)
    probe, on = CopyingProbe(TRUSTED, site="attn:out[pos=-1]", **given), tapped(model)
    asked = probe.inputs(Now(0, Pool(Examples(TRUSTED)), None, None))
    (found,) = probe.read(Seen(on.see(asked.inputs, probe.sites, probe.sites, False)))
    return found


def tapped(model):
    return tap(model, torch.optim.SGD(model.parameters(), 0.1), lambda residual: residual)


def test_writing_what_was_read_reads_high_and_its_placebo_low() -> None:
    found = reading(5 * np.eye(COUNT))
    assert found.value > 0.9
    assert found.placebo < -0.9


def test_writing_another_token_or_always_the_same_is_no_copying() -> None:
    other = np.roll(5 * np.eye(COUNT), 9, axis=1)
    same = np.zeros((COUNT, COUNT))
    same[:, 3] = 5.0
    assert reading(other).difference < 0.2
    assert reading(same).difference == 0


def test_writing_against_what_was_read_is_as_harmless_as_writing_nothing() -> None:
    assert reading(-5 * np.eye(COUNT)).difference == 0


def test_noise_reads_about_nothing() -> None:
    drawn = [reading(np.random.default_rng(seed).normal(size=(COUNT, COUNT))).difference for seed in range(20)]
    assert np.mean(drawn) < 0.15
    assert max(drawn) < 0.6


def test_the_token_where_a_head_stands_and_the_one_before_do_not_count() -> None:
    probe = CopyingProbe(TRUSTED, rows=16)
    rows = probe.inputs(Now(0, Pool(Examples(TRUSTED)), None, None)).inputs
    drawn = {}
    for back in (1, 2, 3, rows.shape[1]):
        drawn[back] = np.zeros((len(rows), COUNT))
        drawn[back][np.arange(len(rows)), rows[:, -back]] = 5.0
    for back, logits in drawn.items():
        found = seen(logits)
        assert (probe.read(found)[0].difference > 0.2) == (back > 2), back


def test_the_first_of_several_layers_is_left_out_and_the_highest_of_the_others_counts() -> None:
    probe = CopyingProbe(TRUSTED, rows=16)
    rows = probe.inputs(Now(0, Pool(Examples(TRUSTED)), None, None)).inputs
    copies, nothing = np.zeros((len(rows), COUNT)), np.zeros((len(rows), COUNT))
    np.put_along_axis(copies, rows, 5.0, axis=1)
    assert probe.read(seen(copies, nothing))[0].difference == 0
    assert probe.read(seen(nothing, copies))[0].difference > 1
    assert probe.read(seen(nothing, copies, nothing)) == probe.read(seen(nothing, nothing, copies))
    assert probe.read(seen(copies))[0].difference > 1


def seen(*lenses):
    """A look at which the layers' attention was read out as these logits (rows, tokens)."""
    held = {f"layers.{i}.attn:out[pos=-1]": each for i, each in enumerate(lenses)}
    return Seen(Values(held, None, held))


def test_its_rows_have_no_token_twice_and_its_settings_make_it_again() -> None:
    probe = CopyingProbe(TRUSTED, rows=9, seed=4)
    rows = probe.inputs(Now(0, Pool(Examples(TRUSTED)), None, None)).inputs
    assert rows.shape == (9, 12)
    assert all(len(set(row)) == 12 for row in rows.tolist())
    again = made("copying", stated(probe), Examples(TRUSTED))
    assert np.array_equal(again.inputs(Now(0, Pool(Examples(TRUSTED)), None, None)).inputs, rows)


@pytest.mark.parametrize(
    ("trusted", "given", "match"),
    [
        (TRUSTED % 2, {}, "got 64, 2 and 16"),
        (TRUSTED[:, :2], {}, "got 64, 24 and 2"),
        (TRUSTED, {"rows": 1}, "got 1, 24 and 16"),
    ],
)
def test_too_few_rows_or_tokens_are_named(trusted, given, match) -> None:
    with pytest.raises(WatchError, match=match):
        CopyingProbe(trusted, **given)
